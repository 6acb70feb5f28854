"""What the checks of all regression figures share: runs, best rates, distances, levels."""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import by_setting, judge, not_run, select


def of_panel(records, panel):
    """The records of a panel."""
    return [record for record in records if record.panel == panel]


def rates(runs, curve):
    """The runs of a curve, a group for each learning rate; a flow is none of them."""
    return by_setting(select(runs, curve=curve, flow=False), "learning_rate")


def as_stated(runs, curve):
    """What the paper's text says to plot of a curve: the runs at the rate that it gives, or else
    at that of least final distance, the median over the seeds. None where all of them diverge.
    """
    groups = rates(runs, curve).values()
    if any(group[0].settings["stated"] is not None for group in groups):
        return select(runs, curve=curve, stated=True) or None
    return min(
        (group for group in groups if np.isfinite(final(group))),
        key=final,
        default=None,
    )


def plotted(runs, curve):
    """The runs to be laid over the paper's curve: known beforehand, or else `as_stated`."""
    return select(runs, curve=curve, plotted=True) or as_stated(runs, curve) or []


def final(group):
    """Median over the seeds of the distance after the last iteration; infinite if diverged."""
    ends = (dict(map(tuple, _curve(r))).get(r.settings["steps"], np.inf) for r in group)
    return float(np.median(list(ends)))


def distances(records):
    """RMS of log10(ours/paper) for every curve that the paper plots: curve to seed to number.

    Over all digitised points from 1 % of the axis on. None where a run ended before.
    """
    result: dict[str, dict] = {}
    for panel, curve in paper.names():
        for record in plotted(of_panel(records, panel), curve):
            last = paper.iterations(panel)[-1]
            result.setdefault(f"{panel} {curve}", {})[record.seed] = distance(record, last / 100)
    return result


def distance(record, first):
    """RMS of log10(ours/paper) from iteration `first` on, or None if the run ended before."""
    reference = paper.curve(record.panel, record.settings["curve"])
    points = (reference.iteration, reference["median"])
    return curves.rms_log10(_curve(record), points, first)


def close_to_the_paper(records, panel, curve, first, bound, source, command):
    """The verdict on a run that is to lie on the paper's curve."""
    statement = f"{curve} of {panel}, as plotted"
    found = [distance(record, first) for record in plotted(of_panel(records, panel), curve)]
    finite = [number for number in found if number is not None]
    if not finite:
        return not_run(statement, source, command)
    median = float(np.median(finite))
    ended = len(found) - len(finite)
    return judge(
        statement,
        source,
        f"at most {bound}, from iteration {first} on",
        f"RMS of log10(ours/paper) {median:.3f}, median of {seeds(finite)}"
        + (f"; {ended} more diverged" if ended else ""),
        median <= bound,
    )


def iterations_to(group, level):
    """The first plotted iteration whose median over the seeds is at most `level`, or None."""
    t, _, median, _ = curves.median_curve([_curve(record) for record in group])
    return curves.first_at_most(t, median, level)


def largest_gap(group, other, first=0):
    """Largest |log10| between the runs of two series, seed by seed, from an iteration on.

    NaN where no seed of one has a point in common with that of the other.
    """
    others = {record.seed: dict(map(tuple, _curve(record))) for record in other}
    gaps = (
        abs(np.log10(value / others[record.seed][t]))
        for record in group
        for t, value in _curve(record)
        if record.seed in others and t >= first and t in others[record.seed]
    )
    return max(gaps, default=float("nan"))


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
    groups = rates(of_panel(records, panel), curve)
    if len(groups) < 2:
        return None
    row = {"series": curve}
    for horizon in horizons:
        ends = {
            rate: np.median([_before(record, horizon) for record in group])
            for rate, group in groups.items()
        }
        best = min(ends, key=lambda rate: ends[rate])
        row[f"after {horizon}"] = f"{best:g} ({ends[best]:.3g})"
    return row


def _before(record, horizon):
    diverged_at = record.results["diverged_at"]
    if diverged_at is not None and diverged_at <= horizon:
        return np.inf
    return [value for t, value in _curve(record) if t <= horizon][-1]


def seeds(group):
    """`1 seed`, `5 seeds`."""
    return "1 seed" if len(group) == 1 else f"{len(group)} seeds"


def _curve(record):
    return record.curves[record.panel]
