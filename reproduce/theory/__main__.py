"""`python -m reproduce.theory`: compute every row, print the table, write the summary."""

from reproduce.harness import cli, interrupts

cli.quiet_tensorflow()

import argparse  # noqa: E402
import functools  # noqa: E402
import pathlib  # noqa: E402
import time  # noqa: E402

import reproduce.theory  # noqa: E402
from reproduce.claims import format_table  # noqa: E402
from reproduce.theory import (  # noqa: E402
    gradient_flow,
    line_integral,
    preconditioner,
    results,
    singular_modes,
    sublevel_sets,
    two_points,
    warmup,
)

NAME = "theory"
TITLE = "The theory, statement by statement"
STATEMENTS = (
    warmup.observation_1,
    functools.partial(gradient_flow.equation_7, 0.0),
    functools.partial(gradient_flow.equation_7, gradient_flow.WEIGHT_DECAY),
    functools.partial(gradient_flow.theorem_1, 0.0),
    functools.partial(gradient_flow.theorem_1, gradient_flow.WEIGHT_DECAY),
    preconditioner.claim_1,
    gradient_flow.hidden_widths,
    preconditioner.claim_2,
    line_integral.lemma_3,
    line_integral.lemma_3_beyond,
    line_integral.theorem_2,
    line_integral.footnote_1,
    two_points.special_case,
    singular_modes.sigmoidal_dynamics,
    sublevel_sets.connected_sublevel_sets,
)


def main(arguments=None):
    """Compute, write and print."""
    parser = argparse.ArgumentParser(
        prog=f"python -m reproduce.{NAME}",
        description=reproduce.theory.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=cli.path,
        default=pathlib.Path("runs", NAME, "results"),
        metavar="DIR",
        help=f"results folder (default: runs/{NAME}/results)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the results only")
    arguments = parser.parse_args(arguments)
    with cli.reported_errors(interrupted=cli.REPEATABLE):
        folder = results.results_folder(arguments.out)
        started = time.time()
        with cli.progress_bar(arguments, TITLE, len(STATEMENTS) + 1) as bar:
            verdicts = []
            for statement in STATEMENTS:
                verdicts.append(statement())
                bar.update()
            table = two_points.iterations_table()
            verdicts += [two_points.slowdown(table), two_points.relief(table)]
            bar.update()
        with results.writing_to(folder):
            results.write_summary(
                folder,
                NAME,
                TITLE,
                verdicts,
                seconds=round(time.time() - started, 1),
                drawn=False,
                tables={"Section 7: fewest iterations over all learning rates": table},
            )
        print(format_table(verdicts))
        print(f"\nSummary: {folder / 'summary.json'}")


if __name__ == "__main__":
    interrupts.run(main)
