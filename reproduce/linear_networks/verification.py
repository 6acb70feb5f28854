"""The first iterations of recorded linear networks, once more."""

import dataclasses
import math

import numpy as np

from reproduce import linear_networks
from reproduce.harness.prefix import Prefix, start
from reproduce.harness.records import rebuilt
from reproduce.linear_networks.exact import end_to_end, gradient_flow, optimum

# A sum over 2565 examples differs, in another order, by about the root of their number in last
# bits; measured on data for other machines: up to 46. Four times that.
MARGIN = 200


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A recorded curve, and what it is of.

    Attributes:
        panel: That it is drawn in. `name`: of the curve.
        run: The `Run`; or the network whose gradient flow it is, at the pace of its learning rate.
        curve: List of `[iteration, distance from the optimum]`.
        flow: Whether it is a gradient flow.
    """

    panel: str
    name: str
    run: linear_networks.Run
    curve: list
    flow: bool = False


def recorded(record):
    """The curves of a record: of one run; or of each depth at its best rate, from each seed."""
    settings = record.settings
    if "depths" not in settings:
        run = rebuilt(linear_networks.Run, settings)
        (curve,) = record.curves.values()
        return [Recorded(record.panel, record.name, run, curve, settings["flow"])]
    p, stddev = settings["p"], settings["stddev"]
    runs = [
        linear_networks.Run(p, int(depth), rate, seed, stddev=stddev)
        for depth, rate in record.results["rates"].items()
        for seed in record.results["seeds"]
    ]
    return [
        Recorded(record.panel, name, run, record.curves[name])
        for name, run in ((f"depth {run.depth}, seed {run.seed}", run) for run in runs)
    ]


def prefixes(curves, task, iterations, bar):
    """Recompute the first iterations of the curves of a panel.

    Args:
        curves: List of `Recorded`, all of the same p.
        task: The regression task that they were trained on.
        iterations: How many.
        bar: Called with a description and a total: a context with a method `update(count)`.

    Returns:
        A list of `Prefix`.
    """
    _, least = optimum(task.features, task.targets, curves[0].run.p)
    descents = [each for each in curves if not each.flow]
    flows = [each for each in curves if each.flow]
    result = []
    if descents:
        result += _descents(descents, task, least, iterations, bar)
    if flows:
        with bar("gradient flow", len(flows)) as shown:
            for each in flows:
                result.append(_flow(each, task, least, iterations))
                shown.update(1)
    return result


def _descents(curves, task, least, iterations, bar):
    def trained(curves, what):
        with bar(what, iterations) as shown:
            trajectories = linear_networks.train(
                [each.run for each in curves],
                task.features,
                task.targets,
                iterations,
                {t for each in curves for t, _ in start(each.curve, iterations)},
                on_progress=lambda iteration, _: shown.update(iteration - shown.n),
            )
        return {
            each.name: _prefix(each, trajectory.losses, least, iterations)
            for each, trajectory in zip(curves, trajectories)
        }

    found = trained(curves, "descent")
    suspects = [_nudged(each) for each in curves if not found[each.name].agrees()]
    moved = trained(suspects, "what rounding does") if suspects else {}
    for name, other in moved.items():
        found[name] = found[name].with_rounding([other], MARGIN)
    for each in curves:
        prefix = found[each.name]
        diverged = len(prefix.iterations) == len(each.curve) > 1
        # Whether sums overflow in this iteration or in the next depends on their order.
        if diverged and math.isinf(prefix.recomputed[-1]):
            found[each.name] = prefix.without_last_point()
    return list(found.values())


def _flow(recorded, task, least, iterations):
    d = task.features.shape[1]
    times = np.array([t for t, _ in start(recorded.curve, iterations)])

    def solved(recorded):
        run, data = recorded.run, (task.features, task.targets, recorded.run.p)
        factors = linear_networks.initial_factors(run, d)
        states = gradient_flow(factors, *data, times * run.learning_rate)
        values = linear_networks.losses(end_to_end(states, d).T, *data)
        return _prefix(recorded, list(zip(times, values)), least, iterations)

    return solved(recorded).with_rounding([solved(_nudged(recorded))], MARGIN)


def _nudged(recorded):
    """At the next larger learning rate that the run's precision has."""
    precision = np.float64 if recorded.run.p == 2 else np.float32
    rate = recorded.run.learning_rate * float(1 + np.finfo(precision).eps)
    run = dataclasses.replace(recorded.run, learning_rate=rate)
    return dataclasses.replace(recorded, run=run)


def _prefix(recorded, losses, least, iterations):
    return Prefix.of(
        recorded.panel,
        recorded.name,
        start(recorded.curve, iterations),
        [(t, loss - least) for t, loss in losses],
    )
