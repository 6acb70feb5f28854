"""Figure 5 (left): depth 4 and 8, and the start that makes them trainable."""

import numpy as np

from reproduce import paper
from reproduce.claims import PARTLY, judge, not_run, regression, seeds

PANEL = "fig5L_l4"
SOURCE = "Section 8, Figure 5 left"
COMMAND = "python -m reproduce.figure5_left --everything"
LATE = (50_000, 100_000)  # iterations: the first version says 50K, the published one 65K
AT_ONCE = 100


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        *regression.curves_met(records, PANEL, SOURCE, COMMAND),
        _starts_late(runs),
        _never_starts(runs),
        *(_starts_at_once(runs, depth) for depth in (4, 8)),
        *(_accelerates(runs, depth) for depth in (4, 8)),
    ]


def _starts_late(runs):
    statement = "Depth 4 from near zero makes visible progress only after about 65,000 iterations"
    survived = {
        rate: group
        for rate, group in regression.rates(runs, "4-layer").items()
        if 2 * len(regression.surviving(group)) > len(group)
    }
    if not survived:
        return not_run(statement, SOURCE, COMMAND)
    group = survived[max(survived)]
    left = sorted(_left(record) for record in group if np.isfinite(_left(record)))
    diverged = [r.results["diverged_at"] for r in group if r.results["diverged_at"] is not None]
    low, high = LATE
    within = [low <= t <= high for t in left]
    return judge(
        statement,
        SOURCE,
        f"at the largest rate that most starts survive, they leave the plateau between iteration "
        f"{low} and {high}, and none before",
        f"at {group[0].learning_rate:g} {len(left)} of {seeds(group)} leave it within "
        f"{group[0].settings['steps']} iterations"
        + (f", at {_listed(left)}" if left else "")
        + (f"; {len(diverged)} diverge, at {_listed(sorted(diverged))}" if diverged else ""),
        bool(left) and all(within) and (2 * len(left) > len(group) or PARTLY),
        paper=_read("4-layer"),
    )


def _never_starts(runs):
    statement = "Depth 8 from near zero never starts"
    rates = list(regression.rates(runs, "8-layer").values())
    if not rates:
        return not_run(statement, SOURCE, COMMAND)
    found = [record for group in rates for record in group]
    survivors = regression.surviving(found)
    moved = [record for record in survivors if np.isfinite(_left(record))]
    return judge(
        statement,
        SOURCE,
        "at every rate of the grid each run diverges or stays on the plateau",
        f"{len(moved)} of {len(found)} runs leave the plateau, {len(found) - len(survivors)} "
        f"diverge ({len(rates)} rates, {seeds(rates[0])} each)",
        not moved,
        paper=_read("8-layer"),
    )


def _starts_at_once(runs, depth):
    statement = f"Depth {depth} from near the identity progresses at once"
    group = regression.as_stated(runs, f"{depth}-layer id-init")
    if not group:
        return not_run(statement, SOURCE, COMMAND)
    left = np.median([_left(record) for record in group])
    return judge(
        statement,
        SOURCE,
        f"below the loss at zero within {AT_ONCE} iterations",
        f"at iteration {left:.0f}, and at {regression.final(group):.3g} at the end (medians of "
        f"{seeds(group)}, rate {group[0].learning_rate:g})",
        bool(left <= AT_ONCE),
        paper=_read(f"{depth}-layer id-init", count=1),
    )


def _accelerates(runs, depth):
    statement = f"Depth {depth} from near the identity accelerates optimization"
    source = f"{SOURCE}; the authors' talk"
    name = f"{depth}-layer id-init"
    group, singles = regression.as_stated(runs, name), regression.baselines(runs, "1-layer")
    if not group or not singles:
        return not_run(statement, source, COMMAND)
    end = regression.final(group)
    lower = [end < theirs for _, theirs, _ in singles]
    return judge(
        statement,
        source,
        "a lower loss at the end than depth 1's at its best rate",
        f"{end:.3g} at {group[0].learning_rate:g}, depth 1 "
        + " and ".join(f"{theirs:.3g} {words}" for _, theirs, words in singles)
        + f" (medians of {seeds(group)})",
        all(lower) or (PARTLY if any(lower) else False),
        paper=regression.papers_ends([(PANEL, name), (PANEL, "1-layer")]),
    )


def _read(series, count=2):
    """The last points of a curve; where one is wanted, the first that tells of its start."""
    found = paper.points(PANEL, series)
    found = found[-count:] if count > 1 else [pair for pair in found if pair[0] >= AT_ONCE][:1]
    return ", ".join(f"{value:.3g} at iteration {t}" for t, value in found)


def _listed(numbers):
    return " and ".join(map(str, numbers))


def _left(record):
    at = record.results["left_plateau_at"]
    return np.inf if at is None else at
