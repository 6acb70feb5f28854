"""The common parts of the checks of all regression figures: runs, best rates, distances, levels."""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import (
    BOUND,
    CLAIM,
    CURVE,
    PARTLY,
    by_setting,
    judge,
    not_run,
    seeds,
    select,
)

PLATEAU = 0.99  # of the loss at zero: a run above this has not left the plateau
FROM = 0.01  # of the axis: before, one pixel column of the plots spans many iterations


def of_panel(records, panel):
    """The records of a panel."""
    return [record for record in records if record.panel == panel]


def rates(runs, curve):
    """The runs of a curve, a group for each learning rate; a flow is none of them."""
    return by_setting(select(runs, curve=curve, flow=False), "learning_rate")


def as_stated(runs, curve):
    """What the paper's text says to plot of a curve: the runs at the rate that it gives, or else
    at that of least final distance, the median over the seeds; of equals,
    as on a plateau, the first by name. None where all of them diverge.
    """
    groups = sorted(rates(runs, curve).values(), key=_name)
    if any(group[0].settings["stated"] is not None for group in groups):
        return select(runs, curve=curve, stated=True) or None
    return min(
        (group for group in groups if np.isfinite(final(group))),
        key=final,
        default=None,
    )


def best_surviving(runs, curve):
    """The runs of a curve that do not diverge, at the rate at which these end lowest, or None.

    At least two of them: this is the rate to be found by someone who tries again after a
    divergence, as the authors must have, whose 1-layer curve of Figure 5 (left) is at such a rate.
    """
    groups = (surviving(group) for group in rates(runs, curve).values())
    return min((group for group in groups if len(group) > 1), key=final, default=None)


def baselines(runs, curve):
    """What depth is compared with: the best rate of all starts, and that of those that survive.

    Returns:
        Tuples of the median curve, its end and words on its rate; one where both are the same.
    """
    result: dict = {}
    for group in (as_stated(runs, curve), best_surviving(runs, curve)):
        if group:
            rate = group[0].learning_rate
            survivors, all_ = surviving(group), rates(runs, curve)[rate]
            words = f"at {rate:g}, which {len(survivors)} of {len(all_)} starts survive"
            result.setdefault(rate, (median(survivors), final(group), words))
    return list(result.values())


def surviving(group):
    """Those of the runs that do not diverge."""
    return [record for record in group if record.results["diverged_at"] is None]


def plotted(runs, curve):
    """The descents to be laid over the paper's curve: known beforehand, or else `as_stated`."""
    known = select(runs, curve=curve, plotted=True, flow=False)
    return known or as_stated(runs, curve) or []


def final(group):
    """Median over the seeds of the distance after the last iteration; infinite if diverged."""
    ends = (dict(map(tuple, points(r))).get(r.settings["steps"], np.inf) for r in group)
    return float(np.median(list(ends)))


def median(group):
    """The median curve of runs, where all of them have a point: a list of `[iteration, value]`."""
    t, _, middle, _ = curves.median_curve([points(record) for record in group])
    return [[int(t), float(value)] for t, value in zip(t, middle)]


def points(record):
    """A run's curve, a list of `[iteration, value]`."""
    return record.curves[record.panel]


def distances(records):
    """RMS of log10(ours/paper) for every curve that the paper plots: curve to seed to number.

    Over all digitized points from 1 % of the axis on. None where a run ended before.
    """
    return {
        f"{panel} {curve}": {record.seed: distance(record, first(panel)) for record in group}
        for panel, curve in paper.names()
        if (group := plotted(of_panel(records, panel), curve))
    }


def distance(record, start):
    """RMS of log10(ours/paper) from iteration `start` on, or None if the run ended before."""
    reference = paper.points(record.panel, record.settings["curve"])
    return curves.rms_log10(points(record), reference, start)


def first(panel):
    """The iteration from which on a panel's curves are compared."""
    return int(FROM * paper.iterations(panel)[-1])


def curves_met(records, panel, source, command):
    """Whether our runs lie on the paper's curves: a verdict for each curve of a panel."""
    runs, plot = of_panel(records, panel), paper.PLOTS[panel]
    return [
        lies_on_the_paper(
            plotted(runs, curve), panel, curve, f"{curve} of {plot}, as plotted", source, command
        )
        for name, curve in paper.names()
        if name == panel
    ]


def lies_on_the_paper(group, panel, curve, statement, source, command, kind=CURVE):
    """Whether runs lie on the paper's curve, from 1 % of its axis on, or from some later point."""
    reference = paper.points(panel, curve)
    last = reference[-1][0]
    starts = [first(panel), *(t for t, _ in reference if first(panel) < t <= last / 2)]
    if not group:
        return not_run(statement, source, command, kind)
    found = {start: _median_distance(group, start) for start in starts}
    met = next((start for start, (rms, _) in found.items() if rms <= BOUND), None)
    rms, count = found[starts[0]]
    measured = f"RMS of log10(ours/paper) {rms:.3f}" if count else "every run ends before"
    if met not in (None, starts[0]):
        measured += f", {found[met][0]:.3f} from iteration {met} on"
    measured += f", median of {seeds(range(count))} at {group[0].learning_rate:g}"
    measured += f" ({sum(t >= starts[0] for t, _ in reference)} points)"
    if count < len(group):
        measured += f"; {len(group) - count} more diverged"
    outcome = met is not None and (met == starts[0] or PARTLY)
    expected = f"at most {BOUND}, from iteration {starts[0]} on"
    return judge(statement, source, expected, measured, outcome, kind)


def _median_distance(group, start):
    """Median over the runs that do not end before, and how many these are."""
    found = [d for d in (distance(record, start) for record in group) if d is not None]
    return (float(np.median(found)) if found else np.inf), len(found)


def is_faster(runs, statement, source, faster, slower, command, kind=CLAIM, elsewhere=None):
    """Whether one curve ends lower than another, each at its best rate, ours and the paper's.

    Args:
        runs: The records of a panel. `faster`, `slower`: names of curves.
        elsewhere: From a name to panel and name of a curve that the paper has elsewhere.
    """
    found = [as_stated(runs, name) for name in (faster, slower)]
    if not all(found):
        return not_run(statement, source, command, kind)
    ours, theirs = (final(group) for group in found)
    steps = found[0][0].settings["steps"]
    sooner = steps / curves.iterations_to(median(found[0]), theirs)
    measured = ", ".join(
        f"{name} {end:.3g} at {group[0].learning_rate:g}"
        for name, end, group in zip((faster, slower), (ours, theirs), found)
    )
    return judge(
        statement,
        source,
        "a lower loss at the end, each at its best rate",
        measured
        + (f", reached {sooner:.1f} times sooner" if ours < theirs else "")
        + f" (medians of {seeds(found[0])})",
        ours < theirs,
        kind,
        papers_ends([(elsewhere or {}).get(n, (runs[0].panel, n)) for n in (faster, slower)]),
    )


def papers_ends(names):
    """Where curves of the paper's are when the first of them ends: text; empty if it has not all.

    Args:
        names: Pairs of panel and series.
    """
    found = [paper.points(*name) for name in names]
    if not all(found):
        return ""
    end = min(curve[-1][0] for curve in found)
    values = (
        f"{series} {curves.value_at(curve, end):.3g}" for (_, series), curve in zip(names, found)
    )
    return ", ".join(values) + f" at iteration {end}"


def table(records, panel):
    """A row for each series of a panel: what became of its runs."""
    groups: dict[str, list] = {}
    for record in of_panel(records, panel):
        groups.setdefault(record.series, []).append(record)
    rows = []
    for series, group in groups.items():
        diverged = [r.results["diverged_at"] for r in group if r.results["diverged_at"] is not None]
        left = [r.results["left_plateau_at"] for r in group]
        left = sorted(t for t in left if t is not None)
        end = final(group)
        rows.append(
            {
                "series": series,
                "rate": f"{group[0].learning_rate:g}",
                "seeds": len(group),
                "at the end": f"{end:.4g}" if np.isfinite(end) else "diverged",
                "diverged": f"{len(diverged)}, from iteration {min(diverged)}" if diverged else "0",
                "leaves the plateau": f"{left[0]} to {left[-1]}" if left else "never",
            }
        )
    return sorted(rows, key=lambda row: row["series"])


def best_rates(records, panel, curve, horizons):
    """The best rate of a curve for runs of other lengths: a row for the report, or None.

    Best is the least distance, median over the seeds, at the last plotted iteration up to then.
    """
    groups = sorted(rates(of_panel(records, panel), curve).values(), key=_name)
    if len(groups) < 2:
        return None
    row = {"series": curve}
    for horizon in horizons:
        ends = {
            group[0].learning_rate: np.median([_before(record, horizon) for record in group])
            for group in groups
        }
        best = min(ends, key=lambda rate: ends[rate])
        row[f"after {horizon}"] = f"{best:g} ({ends[best]:.3g})"
    return row


def _name(group):
    return group[0].series


def _before(record, horizon):
    diverged_at = record.results["diverged_at"]
    if diverged_at is not None and diverged_at <= horizon:
        return np.inf
    return [value for t, value in points(record) if t <= horizon][-1]
