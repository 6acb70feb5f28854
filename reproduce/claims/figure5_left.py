"""Figure 5 (left): depth 4 and 8, and the start that makes them trainable."""

import numpy as np

from reproduce.claims import judge, not_run, regression

PANEL = "fig5L_l4"
SOURCE = "Section 8, Figure 5 left"
COMMAND = "python -m reproduce.figure5_left --seeds 0 1 2 3 4 5 6 7 8 9 10 11"
LATE = 10_000  # iterations on the plateau, a tenth of the plot
AT_ONCE = 100


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        regression.close_to_the_paper(records, PANEL, "1-layer", 1000, 0.02, SOURCE, COMMAND),
        _starts_late(runs),
        _never_starts(runs),
        *(_starts_at_once(runs, depth) for depth in (4, 8)),
    ]


def _starts_late(runs):
    statement = "Depth 4 from near zero starts late, if at all"
    survived = {
        rate: group
        for rate, group in regression.rates(runs, "4-layer").items()
        if 2 * len(_diverged(group)) < len(group)
    }
    if not survived:
        return not_run(statement, SOURCE, COMMAND)
    group = survived[max(survived)]
    left = sorted(_left(record) for record in group if np.isfinite(_left(record)))
    return judge(
        statement,
        SOURCE,
        f"not within {LATE} iterations, at the largest rate that most seeds survive",
        f"at rate {group[0].learning_rate:g} {len(left)} of {regression.seeds(group)} leave the "
        f"plateau within {group[0].settings['steps']} iterations"
        + (f", the first at {left[0]}" if left else "")
        + f"; {len(_diverged(group))} diverge",
        not left or left[0] >= LATE,
    )


def _never_starts(runs):
    statement = "Depth 8 from near zero never starts"
    rates = list(regression.rates(runs, "8-layer").values())
    if not rates:
        return not_run(statement, SOURCE, COMMAND)
    found = [record for group in rates for record in group]
    diverged = _diverged(found)
    moved = [
        record for record in found if record not in diverged and np.isfinite(_left(record))
    ]
    return judge(
        statement,
        SOURCE,
        "at every rate of the grid each run diverges or stays on the plateau",
        f"{len(moved)} of {len(found)} runs leave the plateau, {len(diverged)} diverge "
        f"({len(rates)} rates, {regression.seeds(rates[0])} each)",
        not moved,
    )


def _starts_at_once(runs, depth):
    statement = f"Depth {depth} from near the identity progresses at once"
    group = regression.as_stated(runs, f"{depth}-layer id-init")
    if not group:
        return not_run(statement, SOURCE, COMMAND)
    left = np.median([_left(record) for record in group])
    end = regression.final(group)
    return judge(
        statement,
        SOURCE,
        f"below the loss at zero within {AT_ONCE} iterations",
        f"at iteration {left:.0f}, and at {end:.3g} at the end (medians of "
        f"{regression.seeds(group)}, rate {group[0].learning_rate:g})",
        bool(left <= AT_ONCE),
    )


def _diverged(group):
    return [record for record in group if record.results["diverged_at"] is not None]


def _left(record):
    at = record.results["left_plateau_at"]
    return np.inf if at is None else at
