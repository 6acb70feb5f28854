"""From one number per iteration to the points that are kept, and back to what they say."""

import numpy as np


def smoothed(values, half_window, iterations=(), points=140):
    """Running medians of `values` at log-spaced iterations.

    Args:
        values: Array of shape (steps,), one number per iteration.
        half_window: A value is the median over iterations t - half_window ... t + half_window.
        iterations: Iterations to include in any case.
        points: Number of log-spaced iterations, fewer where they coincide.

    Returns:
        A list of `[iteration, value]`, ascending, up to the last finite value.
    """
    end = finite_length(values)
    wanted = {0, *iterations, *np.geomspace(1, len(values), points).astype(int) - 1}
    return [
        [t, rounded(np.median(values[max(0, t - half_window) : min(end, t + half_window + 1)]))]
        for t in sorted(map(int, wanted))
        if t < end
    ]


def epoch_means(values, iterations_per_epoch):
    """Means of `values` over each begun epoch; None where one is not finite."""
    epochs = np.floor(np.arange(len(values)) / iterations_per_epoch)
    means = (np.mean(values[epochs == epoch]) for epoch in np.unique(epochs))
    return [rounded(mean) if np.isfinite(mean) else None for mean in means]


def first_not_finite(values):
    """Index of the first NaN or infinity, or None."""
    bad = ~np.isfinite(values)
    return int(np.argmax(bad)) if bad.any() else None


def finite_length(values):
    """How many values come before the first that is not finite."""
    end = first_not_finite(values)
    return len(values) if end is None else end


def rounded(value):
    """Six significant digits: more than any comparison needs, and small on disk."""
    return float(f"{value:.6g}")


def median_curve(curves):
    """Median over runs, where all of them have a point.

    Args:
        curves: Lists of `[iteration, value]`, one per run.

    Returns:
        Arrays `(iterations, lowest, median, highest)` of equal length.
    """
    tables = [dict(map(tuple, curve)) for curve in curves]
    iterations = sorted(set.intersection(*(set(table) for table in tables)))
    values = np.array([[table[t] for t in iterations] for table in tables])
    return np.array(iterations), values.min(axis=0), np.median(values, axis=0), values.max(axis=0)


def rms_log10(curve, reference, first):
    """Root mean square of log10(curve / reference) over the reference's points.

    Args:
        curve: List of `[iteration, value]` that has a point at every iteration of the reference.
        reference: List of `[iteration, value]`.
        first: Iteration from which on they are compared.

    Returns:
        The distance in decades, rounded for good: summary, tables and verdicts all give this one;
        or None if the curve ends before the reference does.
    """
    values = dict(map(tuple, curve))
    pairs = [(values.get(t), value) for t, value in reference if t >= first]
    if not pairs or any(ours is None or ours <= 0 for ours, _ in pairs):
        return None
    return rounded(np.sqrt(np.mean([np.log10(ours / theirs) ** 2 for ours, theirs in pairs])))


def crossing(iterations, values, others, after=0):
    """The iteration from which on `values` lie below `others`, or None.

    All are arrays of equal length; in between, both are straight lines. `None` also where the
    first never lies above, or where it does not end below.
    """
    above = np.flatnonzero((values >= others) & (iterations >= after))
    if len(above) == 0 or above[-1] == len(values) - 1:
        return None
    last = above[-1]
    gap = values[last : last + 2] - others[last : last + 2]
    start, end = iterations[last : last + 2]
    return float(start + (end - start) * gap[0] / (gap[0] - gap[1]))


def value_at(curve, iteration):
    """The value of a list of `[iteration, value]`, interpolated in both logarithms.

    Infinity where the curve ends before.
    """
    before = curve[0]
    for t, value in curve:
        if t >= iteration:
            if t == iteration or before[0] <= 0:
                return value
            part = np.log(iteration / before[0]) / np.log(t / before[0])
            return float(before[1] * (value / before[1]) ** part)
        before = t, value
    return np.inf


def iterations_to(curve, level):
    """Iterations until a curve is at most `level`, interpolated in both logarithms; or infinity.

    At least 1, so that a ratio of two can be had.
    """
    before = None
    for t, value in curve:
        if value <= level:
            if before is None or before[0] == 0 or value <= 0:
                return float(max(t, 1))
            part = np.log(before[1] / level) / np.log(before[1] / value)
            return float(before[0] * (t / before[0]) ** part)
        before = t, value
    return np.inf


def times_sooner(curve, other, horizon):
    """How many times sooner a curve is where the other is after `horizon` iterations; 0: never."""
    return float(horizon / iterations_to(curve, value_at(other, horizon)))


def largest_gap(curve, other, first=0):
    """Largest |log10| between two curves where both have a point, from an iteration on; or NaN."""
    others = dict(map(tuple, other))
    gaps = (abs(np.log10(v / others[t])) for t, v in curve if t >= first and t in others)
    return float(max(gaps, default=np.nan))


def first_at_most(iterations, values, level):
    """The first iteration whose value is at most `level`, or None."""
    reached = np.flatnonzero(values <= level)
    return int(iterations[reached[0]]) if len(reached) else None
