"""`python -m reproduce.theory`: compute every row, print the table, write the summary."""

import functools

import reproduce.theory
from reproduce import experiment


class Theory(experiment.Experiment):
    """What this experiment differs in from others: statements in place of data and runs."""

    name = "theory"
    title = "The theory, statement by statement"
    description = reproduce.theory.__doc__
    drawn = False

    def conclude(self, records, settings, work):
        from reproduce.theory import conditioning, errata, two_points

        verdicts = []
        statements = _statements()
        with work.bar(self.title, len(statements) + 2) as bar:
            for statement in statements:
                verdicts.append(statement())
                bar.update()
            table = two_points.iterations_table()
            verdicts += [two_points.slowdown(table), two_points.relief(table)]
            bar.update()
            others = conditioning.table()
            verdicts += [
                conditioning.grows_with_the_ratio(table),
                conditioning.relief_at_every_tolerance(others),
                conditioning.only_above_one(),
                conditioning.other_algorithms(others),
            ]
            bar.update()
        return experiment.Conclusion(
            verdicts,
            {
                "Section 7: fewest iterations over all learning rates": table,
                "Section 7: other algorithms, other tolerances": others,
                "Errata of the sources": errata.table(),
                "Statements without a row": errata.without_a_row(),
            },
        )


def _statements():
    from reproduce.theory import (
        gradient_flow,
        line_integral,
        near_zero,
        preconditioner,
        price,
        singular_modes,
        sublevel_sets,
        two_points,
        warmup,
    )

    return (
        functools.partial(warmup.observation_1, True),
        functools.partial(warmup.observation_1, False),
        functools.partial(gradient_flow.equation_7, 0.0),
        functools.partial(gradient_flow.equation_7, gradient_flow.WEIGHT_DECAY),
        functools.partial(gradient_flow.theorem_1, 0.0),
        functools.partial(gradient_flow.theorem_1, gradient_flow.WEIGHT_DECAY),
        near_zero.balance,
        functools.partial(near_zero.small_rates, 0.0),
        functools.partial(near_zero.small_rates, gradient_flow.WEIGHT_DECAY),
        preconditioner.claim_1,
        gradient_flow.hidden_widths,
        preconditioner.claim_2,
        near_zero.vanishing_factor,
        line_integral.lemma_2,
        line_integral.lemma_3,
        line_integral.lemma_3_beyond,
        line_integral.theorem_2,
        line_integral.theorem_2_without_its_assumptions,
        line_integral.footnote_1,
        two_points.special_case,
        price.computational_price,
        singular_modes.sigmoidal_dynamics,
        sublevel_sets.connected_sublevel_sets,
    )


def main(arguments=None):
    """The command."""
    experiment.main(Theory(), arguments)


if __name__ == "__main__":
    main()
