"""On which data does depth help? A prediction: where least squares leaves the largest residuals."""

import numpy as np

from reproduce.claims import FAILS, HOLDS, OPEN, PARTLY, QUESTION, judge, not_run, select
from reproduce.claims.robustness import ENOUGH, curve_name, end
from reproduce.harness.curves import iterations_to

COMMAND = "python -m reproduce.robustness --everything"
SOURCE = "our question"
POWERS = (2, 4, 6)
PREDICTED = 4  # p of the prediction
SHARES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the loss at zero, to get to
FEWEST = 5  # tasks of which a rank correlation is worth its name
RESAMPLES, CONFIDENCE = 9999, 0.95


def verdicts(records):
    """All verdicts on the `reproduce.harness.records.Record`s of the tasks."""
    return [_rises(records), *(_accelerates(records, p) for p in POWERS)]


def tables(records):
    """The speed-up of each task, and what Spearman's rho is for other losses and levels."""
    if not records:
        return {}
    tasks = sorted({task(record) for record in records}, key=lambda name: _kurtosis(records, name))
    rows = [
        {
            "task": name,
            "kurtosis": f"{_kurtosis(records, name):.3g}",
            **{f"p = {p}": "" for p in POWERS},
            **{f"p = {r.settings['p']}": _cell(r) for r in select(records, problem=name)},
        }
        for name in tasks
    ]
    correlations = [
        {
            "p": p,
            **{
                f"to {share:g} of the loss at zero": _words(*correlation(found, share))
                for share in SHARES
            },
        }
        for p in POWERS
        if len(found := select(records, p=p)) >= FEWEST
    ]
    found = {
        "Tasks by the kurtosis of the residual of least squares: how many times sooner than depth "
        "1, each at its best rate, medians over the seeds": rows,
        "Spearman's rho of the kurtosis and the speed-up (95 % of resampled tasks), had other "
        "losses been the goal, at the same rates": correlations,
    }
    return {title: rows for title, rows in found.items() if rows}


def task(record):
    """The name of a record's task."""
    return record.settings["problem"]


def goal(record, share=None):
    """The distance from the optimum that iterations are counted to.

    It is a share of the loss at zero, by default that of the settings; where half of the runs of a
    single layer do not get there, it is where these end, the median of those that do not diverge.
    """
    share = record.settings["level"] if share is None else share
    ends = [end(curve, record.settings["steps"]) for curve in _curves(record, 1)]
    finite = [each for each in ends if np.isfinite(each)]
    return max(share * record.results["at_zero"], float(np.median(finite)) if finite else np.inf)


def _curves(record, depth):
    return [record.curves[curve_name(depth, seed)] for seed in record.results["seeds"]]


def iterations(record, depth, share=None):
    """Iterations of each run of a depth to the goal; infinite where it does not get there."""
    level = goal(record, share)
    return np.array([iterations_to(curve, level) for curve in _curves(record, depth)])


def speedup(record, share=None):
    """How many times sooner the better of depth 2 and 3 is there, medians; and that depth."""
    single = _median_arrival(record, 1, share)
    found = {depth: single / np.median(iterations(record, depth, share)) for depth in (2, 3)}
    depth = max(found, key=lambda depth: found[depth])
    return float(found[depth]), depth


def _median_arrival(record, depth, share=None):
    """The median iterations of those runs that get there."""
    found = iterations(record, depth, share)
    return np.median(found[np.isfinite(found)])


def correlation(records, share=None):
    """Spearman's rho of the kurtosis and the speed-up over the tasks, and its interval."""
    from scipy import stats

    def rho(x, y, axis=-1):
        x, y = (stats.rankdata(values, axis=axis) for values in (x, y))
        x, y = (values - values.mean(axis=axis, keepdims=True) for values in (x, y))
        norm = np.sqrt((x**2).sum(axis=axis) * (y**2).sum(axis=axis))
        return (x * y).sum(axis=axis) / np.where(norm > 0, norm, 1.0)  # 0 where nothing varies

    pairs = [(record.results["kurtosis"], speedup(record, share)[0]) for record in records]
    data = tuple(np.array(values) for values in zip(*pairs))
    interval = stats.bootstrap(
        data,
        rho,
        n_resamples=RESAMPLES,
        paired=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(rho(*data)), float(interval.low), float(interval.high)


def _kurtosis(records, name):
    return select(records, problem=name)[0].results["kurtosis"]


def _words(rho, low, high):
    return f"{rho:.2f} ({low:.2f} to {high:.2f})"


def _cell(record):
    factor, depth = speedup(record)
    single, deep = _median_arrival(record, 1), np.median(iterations(record, depth))
    rates = record.results["rates"]
    share = goal(record) / record.results["at_zero"]
    took = f"{deep:.0f}" if np.isfinite(deep) else "never"
    return (
        f"{factor:.2f}: depth {depth} {took} at {rates[str(depth)]:g}, depth 1 {single:.0f} at "
        f"{rates['1']:g}, to {share:.2g} of the loss at zero"
    )


def _rises(records):
    statement = (
        "The speed-up by depth rises with the kurtosis of the residual of least squares "
        f"(p = {PREDICTED})"
    )
    found = select(records, p=PREDICTED)
    if len(found) < FEWEST:
        return not_run(statement, SOURCE, COMMAND, QUESTION)
    rho, low, high = correlation(found)
    most = max(found, key=lambda record: record.results["kurtosis"])
    best = max(found, key=lambda record: speedup(record)[0])
    return judge(
        statement,
        SOURCE,
        f"Spearman's rho above 0, and {CONFIDENCE:.0%} of resampled tasks too; below 0, it does "
        "not hold; else it cannot be judged",
        f"over {len(found)} tasks rho is {rho:.2f} ({low:.2f} to {high:.2f}); of the largest "
        f"kurtosis, {most.results['kurtosis']:.3g}, is {task(most)} ({speedup(most)[0]:.2f} times "
        f"sooner), of the largest speed-up, {speedup(best)[0]:.2f} times, {task(best)} "
        f"({best.results['kurtosis']:.3g}); medians of {_seeds(found)} seeds",
        HOLDS if low > 0 else FAILS if high < 0 else OPEN,
        QUESTION,
    )


def _accelerates(records, p):
    helps = p > 2
    words = "accelerates" if helps else "does not accelerate"
    statement = f"Task by task, depth {words} for p = {p}"
    found = select(records, p=p)
    if len(found) < FEWEST:
        return not_run(statement, SOURCE, COMMAND, QUESTION)
    factors = {task(record): speedup(record)[0] for record in found}
    as_said = [(factor >= ENOUGH) == helps for factor in factors.values()]
    return judge(
        statement,
        SOURCE,
        f"the better of depth 2 and 3 {'at least' if helps else 'less than'} {ENOUGH} times sooner "
        "on each task",
        f"on {sum(as_said)} of {len(as_said)} tasks: "
        + ", ".join(
            f"{name} {factor:.2f}"
            for name, factor in sorted(factors.items(), key=lambda item: -item[1])
        )
        + f" times (medians of {_seeds(found)} seeds)",
        HOLDS if all(as_said) else PARTLY if any(as_said) else FAILS,
        QUESTION,
    )


def _seeds(records):
    return min(len(record.results["seeds"]) for record in records)
