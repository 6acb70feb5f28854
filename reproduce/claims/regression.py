"""What the checks of all regression figures share: runs, best rates, distances, levels."""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import judge, not_run


def groups(records, panel):
    """The records of a panel: a dict from series to a list, one a seed."""
    result: dict[str, list] = {}
    for record in records:
        if record.panel == panel:
            result.setdefault(record.series, []).append(record)
    return result


def final(group, steps):
    """Median over the seeds of the distance after `steps` iterations; infinite if diverged."""
    return float(np.median([dict(map(tuple, _curve(r))).get(steps, np.inf) for r in group]))


def best_of(groups_, name, steps):
    """The runs of a series at the rate with the least final distance, or None if all diverge.

    The final distance is the median over the seeds. A gradient flow is no such run.
    """
    best = min(_descents(groups_, name), key=lambda group: final(group, steps), default=None)
    return best if best and np.isfinite(final(best, steps)) else None


def _descents(groups_, name):
    """The runs of a series, a group for each learning rate."""
    return [
        group
        for series, group in groups_.items()
        if (series == name or series.startswith(f"{name} lr="))
        and not group[0].settings["flow"]
    ]


def distances(records):
    """RMS of log10(ours/paper) for every series that the paper plots: series to seed to number.

    Over all digitised points from 1 % of the axis on. None where a run ended before.
    """
    result: dict[str, dict] = {}
    for record in records:
        if len(paper.curve(record.panel, record.series)):
            name = f"{record.panel} {record.series}"
            last = paper.iterations(record.panel)[-1]
            result.setdefault(name, {})[record.seed] = distance(record, last / 100)
    return result


def distance(record, first):
    """RMS of log10(ours/paper) from iteration `first` on, or None if the run ended before."""
    reference = paper.curve(record.panel, record.series)
    points = (reference.iteration, reference["median"])
    return curves.rms_log10(_curve(record), points, first)


def close_to_the_paper(groups_, panel, series, first, bound, source, command):
    """The verdict on a run that is to lie on the paper's curve."""
    statement = f"{series} of {panel}, as plotted"
    found = [distance(record, first) for record in groups_.get(series, [])]
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


def table(records, panel, steps):
    """A row for each series of a panel: what became of its runs."""
    rows = []
    for series, group in groups(records, panel).items():
        diverged = [r.results["diverged_at"] for r in group if r.results["diverged_at"] is not None]
        left = [r.results["left_plateau_at"] for r in group]
        left = sorted(t for t in left if t is not None)
        end = final(group, steps)
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


def best_rates(records, panel, name, horizons):
    """The best rate of a series for runs of other lengths: a row for the report, or None.

    Best is the least distance, median over the seeds, at the last plotted iteration up to then.
    """
    rates = {group[0].learning_rate: group for group in _descents(groups(records, panel), name)}
    if len(rates) < 2:
        return None
    row = {"series": name}
    for horizon in horizons:
        ends = {
            rate: np.median([_before(record, horizon) for record in group])
            for rate, group in rates.items()
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
