"""The first iterations of finished runs, once more: each curve beside what is recomputed of it.

A figure's runs are read from its results folder: the settings in its records say what to train,
its config.yaml on what data. Runs are trained together as the figure's command does.
"""

import dataclasses
import json
import math
import pathlib

import numpy as np

from reproduce import data, figure1, regression, robustness
from reproduce.harness import config, curves, records
from reproduce import linear_networks
from reproduce import mnist_convnet
from reproduce.claims import robustness as robustness_checks
from reproduce.harness.errors import ConfigError, DataError, RecordsError
from reproduce.linear_networks.optimum import optimum

ROUNDED = 5e-6  # half a unit of the six digits that are kept, of a number that begins with 1
LAST_BIT = 1 + 2**-23
# A sum over 2565 examples differs, in another order, by about the root of their number in last
# bits; measured on stand-ins for other machines: up to 46. Four times that.
MARGIN = 200
# A ConvNet's longest sums, of batch normalization and of the first kernel's gradient, are over the
# 64 * 28 * 28 pixels of a batch: a root of 224 last bits. What that does is decided by max-pools
# and ReLUs, all or nothing, so several starts are moved by as much, up or down. Measured: up to
# twice what three of them show.
SUM_BITS = 2.0**-15
STARTS = 3
CONVNET_MARGIN = 5
REGRESSION = ("figure2", "figure3", "figure4_left", "figure4_right", "figure5_left")
FIGURES = ("figure1", *REGRESSION, "figure5_right", "robustness")


@dataclasses.dataclass(frozen=True)
class Prefix:
    """The start of a curve, twice.

    Attributes:
        panel: That it is drawn in.
        name: Of the run.
        iterations, committed, recomputed: Sequences of equal length. Where the recomputed curve
            has no point, because it diverged, there is infinity.
        rounding: How much rounding in another order may move each point, relative to it, as a
            curve that was recomputed with slightly different numbers has been moved. Zeros where
            the curve agrees anyway, and has been spared that.
    """

    panel: str
    name: str
    iterations: list
    committed: list
    recomputed: list
    rounding: list

    def deviations(self):
        """Of the recomputed from the committed values, relative to these: shape (points,)."""
        return relative(self.recomputed, self.committed)

    def agrees(self):
        """Whether all digits that are kept do."""
        return bool(np.all(self.deviations() <= ROUNDED))


def relative(values, others):
    """|values - others| / |others|; 0 where they are equal, infinity where one is infinite."""
    values, others = np.array(values, "float64"), np.array(others, "float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.where(values == others, 0.0, np.abs(values - others) / np.abs(others))
    return np.where(np.isnan(result), np.inf, result)


@dataclasses.dataclass(frozen=True)
class Sources:
    """What is read: the folder of all figures' results, and where the data sets are."""

    results: pathlib.Path
    ethanol_dir: str | None = None
    mnist_dir: str | None = None


def recomputed(figure, sources, iterations, progress):
    """Recompute the first `iterations` of every curve of a figure, one of `FIGURES`.

    Args:
        figure: Its name.
        sources: A `Sources`.
        iterations: How many; of Figure 1, which has none, everything is recomputed.
        progress: Called with a description and a total: a context with a method `update(count)`.

    Yields:
        `Prefix`, panel by panel.

    Raises:
        RecordsError: If there are no results.
        DataError: If the data that they were made from is not to be had.
    """
    folder = sources.results / figure
    if figure == "figure1":
        yield from _integrals(folder)
        return
    identity = _identity(folder)
    finished = records.read_records(folder)
    if figure == "figure5_right":
        dataset = _dataset(identity, data.load_mnist, sources.mnist_dir)
        yield from _convnets(finished, identity, dataset, iterations, progress)
        return
    dataset = _dataset(identity, data.load_ethanol, sources.ethanol_dir)
    if figure == "robustness":
        yield from _robustness(finished, identity, dataset, iterations, progress)
    else:
        yield from _regression(finished, dataset, iterations, progress)


def _identity(folder):
    try:
        return config.read(folder / "config.yaml")
    except ConfigError as error:
        raise RecordsError(f"{folder} holds no results: {error}.") from error


def _dataset(identity, load, folder):
    """The data that the results were made from."""
    dataset = load(folder)
    if dataset.fingerprint != identity["data"]["fingerprint"]:
        raise DataError(
            f"{dataset.description}, from {dataset.location}, is not the data that the results of "
            f"{identity['figure']} were made from."
        )
    return dataset


def _regression(finished, dataset, iterations, progress):
    for panel in sorted({record.panel for record in finished}):
        mine = [record for record in finished if record.panel == panel]
        descents = {
            (panel, record.name): (
                records.rebuilt(linear_networks.Run, record.settings),
                record.curves[panel],
            )
            for record in mine
            if not record.settings["flow"]
        }
        least = _least(dataset, mine[0].settings["p"])
        yield from _descents(descents, dataset, least, iterations, progress)
        for record in mine:
            if record.settings["flow"]:
                committed = _start(record.curves[panel], iterations)
                run = records.rebuilt(linear_networks.Run, record.settings)
                times = [t for t, _ in committed]
                prefix, moved = (
                    _prefix(panel, record.name, committed, trajectory.losses, least)
                    for trajectory, _ in (
                        regression.flow(each, dataset, times) for each in (run, _nudged(run))
                    )
                )
                yield _with_rounding(prefix, [moved], MARGIN)


def _robustness(finished, identity, dataset, iterations, progress):
    panels = robustness.plan(robustness.Config(**identity["config"]))
    for record in finished:
        runs = {}
        for depth, rate in record.results["rates"].items():
            for seed in record.results["seeds"]:
                name = robustness_checks.curve_name(int(depth), seed)
                run = linear_networks.Run(
                    p=record.settings["p"],
                    depth=int(depth),
                    learning_rate=rate,
                    seed=seed,
                    stddev=record.settings["stddev"],
                )
                runs[record.panel, name] = run, record.curves[name]
        task = panels[record.panel].variant(dataset)
        least = _least(task, record.settings["p"])
        yield from _descents(runs, task, least, iterations, progress)


def _least(task, p):
    _, loss = optimum(task.features, task.targets, p)
    return loss


def _descents(runs, task, least, iterations, progress):
    """Of a dict from panel and name to run and committed curve: their prefixes."""
    starts = {key: _start(curve, iterations) for key, (_, curve) in runs.items()}
    diverged = {key for key, (_, curve) in runs.items() if len(starts[key]) == len(curve) > 1}
    runs = {key: run for key, (run, _) in runs.items()}

    def train(runs):
        with progress(next(iter(runs))[0], iterations) as bar:
            trajectories = linear_networks.train(
                list(runs.values()),
                task.features,
                task.targets,
                iterations,
                {t for start in starts.values() for t, _ in start},
                on_progress=lambda iteration, _: bar.update(iteration - bar.n),
            )
        return {
            key: _prefix(*key, starts[key], trajectory.losses, least)
            for key, trajectory in zip(runs, trajectories)
        }

    found = train(runs)
    suspects = {key: _nudged(runs[key]) for key, prefix in found.items() if not prefix.agrees()}
    moved = train(suspects) if suspects else {}
    for key, prefix in found.items():
        prefix = _with_rounding(prefix, [moved[key]], MARGIN) if key in moved else prefix
        # Whether sums overflow in this iteration or in the next depends on their order.
        if key in diverged and math.isinf(prefix.recomputed[-1]):
            prefix = _without_last_point(prefix)
        yield prefix


def _nudged(run):
    return dataclasses.replace(run, learning_rate=run.learning_rate * LAST_BIT)


def _start(curve, iterations):
    return [(t, value) for t, value in curve if t <= iterations]


def _prefix(panel, name, committed, curve, least=0.0):
    """From the committed points, and a list of `[iteration, value]`."""
    found = {t: value - least for t, value in curve}
    times, values = [t for t, _ in committed], [value for _, value in committed]
    again = [found.get(t, math.inf) for t in times]
    return Prefix(panel, name, times, values, again, rounding=[0.0] * len(times))


def _with_rounding(prefix, moved, margin):
    """From the prefixes of the same curve with slightly different numbers."""
    seen = [relative(other.recomputed, prefix.recomputed) for other in moved]
    return dataclasses.replace(prefix, rounding=list(margin * np.max(seen, axis=0)))


def _without_last_point(prefix):
    names = ("iterations", "committed", "recomputed", "rounding")
    return dataclasses.replace(prefix, **{name: getattr(prefix, name)[:-1] for name in names})


def _convnets(finished, identity, dataset, iterations, progress):
    half_window = identity["config"]["half_window"]

    def train(record, training, start=None):
        network = mnist_convnet.build_network(training)
        if start is not None:
            _move(network, start)
        with progress(record.name, training.steps) as bar:
            losses, _ = mnist_convnet.descend(
                network, training, dataset, lambda _, segment: bar.update(len(segment))
            )
        diverged_at = record.results["diverged_at"]
        for panel, series in zip(record.curves, losses.T):
            committed = record.curves[panel]
            if diverged_at is not None and diverged_at < training.steps:
                again = []
                if committed and abs(curves.finite_length(losses[:, 0]) - diverged_at) <= 1:
                    again = _medians_until(diverged_at, series, half_window, committed)
            else:
                # A point is a median over a window, which must lie within what is recomputed.
                if training.steps < record.settings["steps"]:
                    committed = _start(committed, training.steps - 1 - half_window)
                again = curves.smoothed(series, half_window, [t for t, _ in committed])
            yield _prefix(panel, record.name, committed, again)

    for record in finished:
        steps = min(iterations, record.settings["steps"])
        training = records.rebuilt(mnist_convnet.Training, record.settings, steps=steps)
        found = list(train(record, training))
        if not all(prefix.agrees() for prefix in found):
            moved = zip(*(train(record, training, start) for start in range(STARTS)))
            found = [
                _with_rounding(prefix, others, CONVNET_MARGIN)
                for prefix, others in zip(found, moved)
            ]
        yield from found


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


def _integrals(folder):
    path = folder / "summary.json"
    try:
        (rows,) = json.loads(path.read_text(encoding="utf-8"))["tables"].values()
    except (OSError, ValueError, KeyError) as error:
        raise RecordsError(f"{folder} holds no results: {error}.") from error
    found = [figure1.integrals(row["N"]) for row in rows]
    depths = [row["N"] for row in rows]
    for arc in (name for name in rows[0] if name.startswith("arc")):
        columns = ([row[arc] for row in table] for table in (rows, found))
        yield Prefix("integral over Gamma", arc, depths, *columns, rounding=[0.0] * len(rows))
