"""Figure 5 (right), what the paper does not show: what is accelerated, and under which settings."""

import numpy as np

from reproduce.harness import curves
from reproduce.claims import OPEN, QUESTION, REMARK, judge, not_run, seeds
from reproduce.claims.convnets import (
    DEPTHS,
    ORIGINAL,
    OVERPARAMETERIZED,
    alternative_cells,
    at_full_length,
    epochs,
    last,
    median_result,
    of_arm,
    on_common_points,
    pair,
    value_after,
)

QUESTIONS = "our question"
OUR_SETTINGS = "Section 8, which does not list its settings: these are ours"
COMMAND = "python -m reproduce.figure5_right"


def verdicts(records):
    """All verdicts, from the `reproduce.harness.records.Record`s of the figure's folder."""
    return [
        *_what_is_accelerated(*pair(records)),
        *_where_the_penalty_acts(records),
        *_alternative_settings(records),
        _second_network(records),
    ]


def _what_is_accelerated(original, deep):
    statement = "The fit to the data (the cross-entropy) is accelerated as the loss is"
    if not at_full_length(original, deep):
        yield not_run(statement, QUESTIONS, COMMAND, QUESTION)
        return
    yield _compare_fit(statement, original, deep, factor=2)
    l2 = [last(group, "l2_term") for group in (original, deep)]
    yield judge(
        "What falls faster than the original's is the L2 term",
        QUESTIONS,
        "it ends below half of the original's",
        f"at the end: original {l2[0]:.3g}, overparameterized {l2[1]:.3g}; test error "
        f"{median_result(original, 'test_error'):.2f} and "
        f"{median_result(deep, 'test_error'):.2f} %",
        l2[1] < l2[0] / 2,
        QUESTION,
    )


def _compare_fit(statement, original, deep, factor):
    """How much sooner `deep` reaches the cross-entropy of the original's last epoch."""
    theirs, ours = epochs(original), epochs(deep)
    reached = curves.first_at_most(np.arange(1, len(ours) + 1), ours, theirs[-1])
    speedup = len(ours) / reached if reached else 0.0
    when = f"is reached in epoch {reached} of {len(ours)}" if reached else "is never reached"
    return judge(
        statement,
        QUESTIONS,
        f"a factor of {factor} or more",
        f"the mean cross-entropy of the original's last epoch, {theirs[-1]:.3g}, "
        f"{when}; in the last it is {ours[-1]:.3g} (medians of {seeds(original)} and "
        f"{seeds(deep)})",
        speedup >= factor,
        QUESTION,
    )


def _where_the_penalty_acts(records):
    original = of_arm(records, ORIGINAL)
    for arm, target in (
        ("l2_on_first_factor", "the first factors"),
        ("l2_on_every_factor", "every factor"),
    ):
        statement = f"With L2 on {target} the loss falls faster than the original's"
        runs = of_arm(records, arm)
        if not at_full_length(runs, original):
            how = f"{COMMAND} --arms {ORIGINAL} {arm}"
            yield not_run(statement, QUESTIONS, how, QUESTION)
            continue
        _, ours, theirs = on_common_points(runs, original)
        yield judge(
            statement,
            QUESTIONS,
            "a visibly lower loss: below 0.9 of the original's at the end",
            f"{ours[-1] / theirs[-1]:.2f} of the original's at the end, "
            f"{np.min(ours / theirs):.2f} at the lowest (medians, {seeds(runs)})",
            ours[-1] < 0.9 * theirs[-1],
            QUESTION,
        )
    statement = "Without L2 overparameterization speeds up the fit"
    original, deep = pair(records, "no_l2")
    if at_full_length(original, deep):
        yield _compare_fit(statement, original, deep, factor=1.2)
    else:
        yield not_run(statement, QUESTIONS, f"{COMMAND} --arms no_l2", QUESTION)


def _alternative_settings(records):
    cells = alternative_cells(records)
    statement = "Under alternative learning rates and initial stds the outcome is similar"
    if not cells:
        yield not_run(statement, OUR_SETTINGS, f"{COMMAND} --arms alternative_rates")
    else:
        lower = [cell for cell in cells if cell[OVERPARAMETERIZED] < cell[ORIGINAL]]
        diverged = [cell for cell in cells if not np.isfinite(cell[OVERPARAMETERIZED])]
        yield judge(
            statement,
            OUR_SETTINGS,
            "lower loss than the original's in all of the paper's settings",
            f"in {len(lower)} of {len(cells)} of our settings, after {cells[0]['steps']} "
            f"iterations; in {len(diverged)} the overparameterized network diverges (one seed "
            "each)",
            OPEN,
        )
        standard = [cell for cell in cells if cell["stddev"] == 0.1]
        best = {s: min(standard, key=lambda c: c[s]) for s in DEPTHS}
        yield judge(
            "Each network at its own best learning rate, the outcome is similar",
            QUESTIONS,
            "lower loss than the original's",
            ", ".join(
                f"{network} {cell[network]:.3g} at {cell['learning_rate']:g}"
                for network, cell in best.items()
            ),
            best[OVERPARAMETERIZED][OVERPARAMETERIZED] < best[ORIGINAL][ORIGINAL],
            QUESTION,
        )
    yield _factor_stddevs(records)


def _factor_stddevs(records):
    statement = "Whatever the initial std of the factorized layers alone, the outcome is similar"
    deep = of_arm(records, "alternative_stddevs")
    # The same number of steps, the same learning rate and std in all other layers.
    shared = ("steps", "learning_rate", "stddev")
    same = {name: deep[0].settings[name] for name in shared if deep}
    original = of_arm(records, "alternative_rates", depth=DEPTHS[ORIGINAL], **same)
    if not deep or not original:
        how = f"{COMMAND} --arms alternative_rates alternative_stddevs"
        return not_run(statement, OUR_SETTINGS, how)
    steps = deep[0].settings["steps"]
    reference = value_after(original[0], steps)
    losses = {record.settings["factor_stddev"]: value_after(record, steps) for record in deep}
    lower = sum(loss < reference for loss in losses.values())
    return judge(
        statement,
        OUR_SETTINGS,
        "lower loss than the original's in all of the paper's settings",
        f"in {lower} of {len(losses)} of our settings, after {steps} iterations: original "
        f"{reference:.3g}; "
        + ", ".join(
            f"std {stddev:g}: {loss:.3g}" if np.isfinite(loss) else f"std {stddev:g} diverges"
            for stddev, loss in sorted(losses.items())
        ),
        OPEN,
    )


def _second_network(records):
    statement = "Other convolutional networks speed up too, but not nearly as prominently"
    source = "the authors' blog post, which does not say which: this one is ours"
    found = pair(records, "second_network")
    if not all(found):
        return not_run(statement, source, f"{COMMAND} --arms second_network", REMARK)
    original, deep = (epochs(runs) for runs in found)
    return judge(
        statement,
        source,
        "a lower mean cross-entropy in the networks of the authors",
        f"{original[0] / deep[0]:.2f} times lower in the first epoch, "
        f"{original[-1] / deep[-1]:.2f} times in the last (one batch-normalized network of ours, "
        f"no L2, {seeds(found[0])})",
        OPEN,
        REMARK,
    )
