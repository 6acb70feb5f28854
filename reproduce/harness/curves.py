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
        curves: Lists of `[iteration, value]`, one a run.

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
        reference: Arrays `(iterations, values)`.
        first: Iteration from which on they are compared.

    Returns:
        The distance in decades, rounded for good: summary, tables and verdicts all give this one;
        or None if the curve ends before the reference does.
    """
    values = dict(map(tuple, curve))
    pairs = [(values.get(int(t)), value) for t, value in zip(*reference) if t >= first]
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


def first_at_most(iterations, values, level):
    """The first iteration whose value is at most `level`, or None."""
    reached = np.flatnonzero(values <= level)
    return int(iterations[reached[0]]) if len(reached) else None
