"""The horizon: where do our curves for p = 4 cross, and how are the paper's to be stretched?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import FAILS, HOLDS, PARTLY, QUESTION, judge, not_run, regression, seeds

COMMAND = "python -m reproduce.horizon --everything"
SOURCE = "our question"
L4, ALGORITHMS = "fig3R_l4", "fig4L_l4"
CURVES = (
    *((L4, name) for name in ("1-layer", "2-layer", "3-layer")),
    *((ALGORITHMS, name) for name in ("AdaGrad 1-layer", "AdaDelta 1-layer", "GD 3-layer")),
)
PAIRS = (
    (L4, "2-layer", "1-layer"),
    (L4, "3-layer", "1-layer"),
    (L4, "3-layer", "2-layer"),
    (ALGORITHMS, "GD 3-layer", "AdaGrad 1-layer"),
    (ALGORITHMS, "GD 3-layer", "AdaDelta 1-layer"),
)
STARTED = 1000  # iterations: a run that diverges before has not survived its start
STANDS = (1_000_000, 2_000_000, 3_000_000, 3_600_000, 4_000_000)
STRETCHED = (100_000, 200_000, 400_000, 600_000, 800_000, 995_000)  # of the paper's points
LATE = 400_000  # from here on no curve of the paper's is near its plateau
CONSTANT = 1.1  # a factor that varies by no more than this is one factor


def verdicts(records):
    """All verdicts on this experiment, from the `harness.records.Record`s of its folder.

    On the panels of which there are records, or on both.
    """
    panels = {record.panel for record in records} or {L4, ALGORITHMS}
    found = []
    if L4 in panels:
        found += [_stretched(records, "of gradient descent", L4), _one_factor_for_all(records)]
    if ALGORITHMS in panels:
        found.append(_stretched(records, "of AdaGrad and AdaDelta", ALGORITHMS))
    return [*found, *(_gets_below(records, *pair) for pair in PAIRS if pair[0] in panels)]


def tables(records):
    """Where ours stand, where they cross, and by how much the paper's are to be stretched."""
    makers = {
        "Where ours stand, and where the paper's curves end": _stands,
        "From which iteration on one curve is below another": _crossings,
        "Our iterations, over the paper's, to the same distance from the optimum": _factors,
    }
    return {title: rows for title, of in makers.items() if (rows := of(records))}


def _groups(records, panel, curve):
    """Of each learning rate, the runs of a curve that survive their start."""
    groups = regression.rates(regression.of_panel(records, panel), curve)
    kept = {
        rate: [run for run in group if not _diverged(run) or _diverged(run) >= STARTED]
        for rate, group in sorted(groups.items(), reverse=True)
    }
    return {rate: group for rate, group in kept.items() if group}


def _diverged(run):
    return run.results["diverged_at"]


def _plotted(records, panel, curve):
    """The median curve at the highest rate that is run, and its runs; None if there are none."""
    for group in _groups(records, panel, curve).values():
        return regression.median(group), group
    return None


def _stands(records):
    rows = []
    for panel, curve in CURVES:
        for rate, group in _groups(records, panel, curve).items():
            median = regression.median(group)
            values = (curves.value_at(median, t) for t in STANDS)
            reference = paper.points(panel, curve)
            rows.append(
                {
                    "curve": f"{curve} at {rate:g}",
                    "seeds": len(group),
                    **{
                        f"after {t}": f"{value:.3g}" if np.isfinite(value) else "diverged"
                        for t, value in zip(STANDS, values)
                    },
                    "diverge": _when_diverged(group),
                    f"the paper's after {reference[-1][0]}": f"{reference[-1][1]:.3g}",
                }
            )
    return rows


def _when_diverged(group):
    times = sorted(_diverged(run) for run in group if _diverged(run))
    return f"{len(times)}, from iteration {times[0]}" if times else "0"


def _crossing(lower, upper):
    """From which iteration on one curve is below another, as far as both go; or None."""
    first, last = (of(curve[i][0] for curve in (lower, upper)) for of, i in ((max, 0), (min, -1)))
    t = np.array(sorted({t for t, _ in (*lower, *upper) if first <= t <= last}), float)
    values, others = (np.array([curves.value_at(curve, n) for n in t]) for curve in (lower, upper))
    return curves.crossing(t, values, others)


def _crossings(records):
    rows = []
    for panel, lower, upper in PAIRS:
        found = _plotted(records, panel, lower)
        if found is None:
            continue
        theirs = _crossing(*(paper.points(panel, name) for name in (lower, upper)))
        for rate, group in _groups(records, panel, upper).items():
            ours = _crossing(found[0], regression.median(group))
            rows.append(
                {
                    "curve": f"{lower} at {found[1][0].learning_rate:g}",
                    "below": f"{upper} at {rate:g}",
                    "ours": _words(ours),
                    "the paper's": _words(theirs),
                }
            )
    return rows


def _words(iteration):
    return "never" if iteration is None else f"{iteration:.0f}"


def _factor(ours, reference, iteration):
    value = dict(map(tuple, reference)).get(iteration)
    return np.nan if value is None else curves.iterations_to(ours, value) / iteration


def _factors(records):
    rows = []
    for panel, curve in CURVES:
        found = _plotted(records, panel, curve)
        if found is not None:
            reference = paper.points(panel, curve)
            row = {"curve": f"{curve} at {found[1][0].learning_rate:g}"}
            for t in STRETCHED:
                factor = _factor(found[0], reference, t)
                reached = np.isfinite(factor)
                row[f"at the paper's {t}"] = f"{factor:.2f}" if reached else "not reached"
            rows.append(row)
    return rows


def _late_factors(records, panel):
    """Of each curve of a panel, the factors at the paper's late points that ours reach."""
    result = {}
    for where, curve in CURVES:
        found = _plotted(records, panel, curve) if where == panel else None
        if found is not None:
            reference = paper.points(panel, curve)
            factors = (_factor(found[0], reference, t) for t in STRETCHED if t >= LATE)
            result[curve] = [factor for factor in factors if np.isfinite(factor)]
    return result


def _ranges(factors):
    return ", ".join(
        f"{curve} {min(found):.2f} to {max(found):.2f} ({len(found)} points)"
        for curve, found in factors.items()
    )


def _stretched(records, words, panel):
    statement = f"The curves {words} in {paper.PLOTS[panel]} are ours on a stretched axis"
    factors = _late_factors(records, panel)
    factors = {curve: found for curve, found in factors.items() if "GD" not in curve}
    if not factors or not all(factors.values()):
        return not_run(statement, SOURCE, COMMAND, QUESTION)
    constant = [max(found) <= CONSTANT * min(found) for found in factors.values()]
    return judge(
        statement,
        SOURCE,
        f"from the paper's iteration {LATE} on our iterations over the paper's, to the same "
        f"distance, vary by at most {CONSTANT} times along each curve",
        _ranges(factors),
        HOLDS if all(constant) else PARTLY if any(constant) else FAILS,
        QUESTION,
    )


def _one_factor_for_all(records):
    statement = f"One factor stretches all three curves of {paper.PLOTS[L4]}"
    factors = _late_factors(records, L4)
    if len(factors) < 3 or not all(factors.values()):
        return not_run(statement, SOURCE, COMMAND, QUESTION)
    together = [factor for found in factors.values() for factor in found]
    return judge(
        statement,
        SOURCE,
        f"the factors of all curves within {CONSTANT} times; then a count of iterations, or a unit "
        "of the rate, would explain the figure",
        _ranges(factors),
        max(together) <= CONSTANT * min(together),
        QUESTION,
    )


def _gets_below(records, panel, lower, upper):
    statement = f"Within four million iterations {lower} gets below {upper}, and stays there"
    found, others = _plotted(records, panel, lower), _groups(records, panel, upper)
    if found is None or not others:
        return not_run(statement, SOURCE, COMMAND, QUESTION)
    median, group = found
    at = {rate: _crossing(median, regression.median(other)) for rate, other in others.items()}
    measured = ", ".join(f"{_words(t)} ({upper} at {rate:g})" for rate, t in at.items())
    theirs = _crossing(*(paper.points(panel, name) for name in (lower, upper)))
    end = median[-1][0]
    lost = _when_diverged(group)
    return judge(
        statement,
        SOURCE,
        "the median curve is below the other's from some iteration on, up to the end of both, and "
        "no run diverges",
        f"from iteration {measured}; of {seeds(group)} up to {end}, runs that diverge: {lost}",
        all(at.values()) and (lost == "0" or PARTLY),
        QUESTION,
        f"from iteration {_words(theirs)} on" if theirs else "",
    )
