"""The first iterations of a recorded ConvNet, once more."""

import numpy as np

from reproduce import mnist_convnet
from reproduce.harness import curves
from reproduce.harness.prefix import Prefix, start
from reproduce.harness.records import rebuilt

# A ConvNet's longest sums, of batch normalization and of the first kernel's gradient, are over the
# 64 * 28 * 28 pixels of a batch: a root of 224 last bits. What that does is decided by max-pools
# and ReLUs, all or nothing, so several starts are moved by as much, up or down. Measured: up to
# twice what three of them show.
SUM_BITS = 2.0**-15
STARTS = 3
MARGIN = 5


def prefixes(record, half_window, dataset, iterations, bar):
    """Recompute the first iterations of a run.

    Args:
        record: A `harness.records.Record`.
        half_window: Of the running medians that its curves are.
        dataset: That it was trained on.
        iterations: How many.
        bar: Called with a description and a total: a context with a method `update(count)`.

    Returns:
        A list of `Prefix`, one for each of its curves.
    """
    training = rebuilt(
        mnist_convnet.Training,
        record.settings,
        steps=min(iterations, record.settings["steps"]),
    )

    def trained(what, start=None):
        network = mnist_convnet.build_network(training)
        if start is not None:
            _move(network, start)
        with bar(f"{record.name}{what}", training.steps) as shown:
            losses, _ = mnist_convnet.descend(
                network, training, dataset, lambda _, segment: shown.update(len(segment))
            )
        return [
            _prefix(record, panel, losses[:, 0], series, half_window)
            for panel, series in zip(record.curves, losses.T)
        ]

    found = trained("")
    if all(prefix.agrees() for prefix in found):
        return found
    moved = zip(*(trained(f": rounding, {i + 1} of {STARTS}", i) for i in range(STARTS)))
    return [prefix.with_rounding(others, MARGIN) for prefix, others in zip(found, moved)]


def _prefix(record, panel, loss, series, half_window):
    """From the loss and the series of the panel, one number per iteration."""
    committed, diverged_at = record.curves[panel], record.results["diverged_at"]
    if diverged_at is not None and diverged_at < len(series):
        again = []
        if committed and abs(curves.finite_length(loss) - diverged_at) <= 1:
            again = _medians_until(diverged_at, series, half_window, committed)
    else:
        # A point is a median over a window, which must lie within what is recomputed.
        if len(series) < record.settings["steps"]:
            committed = start(committed, len(series) - 1 - half_window)
        again = curves.smoothed(series, half_window, [t for t, _ in committed])
    return Prefix.of(panel, record.name, committed, again)


def _move(network, seed):
    """Move every value that is trained by `SUM_BITS`, up or down."""
    generator = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        values = variable.numpy()
        signs = generator.choice([-1.0, 1.0], values.shape)
        variable.assign((values * (1 + SUM_BITS * signs)).astype(values.dtype))


def _medians_until(diverged_at, series, half_window, committed):
    """The running medians of a series until it diverged, as a list of `[iteration, value]`.

    Where it diverged sooner than the committed one, or its kernels made something else of NaN,
    values are missing at its end: they are taken to be those, whatever they are, that make the
    medians most like the committed ones. Nothing, if they would be half of a window, and could
    make any median.
    """
    times = [t for t, _ in committed]
    kept = series[: max(diverged_at, times[-1] + 1)].astype("float64")
    known = np.isfinite(kept)
    if 2 * np.sum(~known) >= min(half_window + 1, len(kept)):
        return []
    largest = np.finfo(series.dtype).max
    low, high = (
        dict(curves.smoothed(np.where(known, kept, unknown), half_window, times))
        for unknown in (-largest, largest)
    )
    return [(t, min(max(value, low[t]), high[t])) for t, value in committed]
