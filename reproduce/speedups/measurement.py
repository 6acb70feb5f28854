"""The iterations that each depth takes at its own best rate."""

import numpy as np

from reproduce import linear_networks
from reproduce.claims import robustness as checks
from reproduce.harness import curves

POINTS = 80  # on a curve, log-spaced


def measure(run, task, work):
    """Choose each depth's rate, then count its iterations: its curves and results.

    The rate is that with the least final loss; where the settings name a `level`, the one that
    gets sooner to this share of the loss at zero, of the rates and of those of the `refinement`
    around the best of them. It is the worst of the selection seeds that counts.
    """
    from reproduce.linear_networks.exact import optimum

    settings, seeds = run.settings, run.settings["seeds"]
    p, steps, depths, rates = (settings[name] for name in ("p", "steps", "depths", "rates"))
    _, least = optimum(task.features, task.targets, p)
    at_zero = np.mean(task.targets**p) - least

    def train(what, settings_of):
        """Distances from the optimum over the iterations: a dict from (depth, rate) to a list."""
        runs = {
            (depth, rate, seed): linear_networks.Run(
                p, depth, rate, seed, stddev=settings["stddev"]
            )
            for depth, rate, seed in settings_of
        }
        with work.bar(f"{run.panel}, {what}", steps) as bar:
            found = linear_networks.train(
                list(runs.values()),
                task.features,
                task.targets,
                steps,
                {0, *np.geomspace(1, steps, POINTS).astype(int)},
                work.checkpoint(what),
                lambda iteration, alive: bar.update(iteration - bar.n),
            )
        result: dict = {}
        for (depth, rate, _), trajectory in zip(runs, found):
            curve = [[t, curves.rounded(loss - least)] for t, loss in trajectory.losses]
            result.setdefault((depth, rate), []).append(
                curve if trajectory.diverged_at is None else curve[:1]
            )
        return result

    def with_selection_seeds(pairs):
        return [(*pair, seed) for pair in pairs for seed in settings["selection_seeds"]]

    def best(selected):
        costs = _costs(selected, steps, settings.get("level"), at_zero)
        return {
            depth: min((rate for d, rate in selected if d == depth), key=lambda r: costs[depth, r])
            for depth in depths
        }

    pairs = [(depth, rate) for depth in depths for rate in rates]
    selected = train("selection", with_selection_seeds(pairs))
    more = {}
    if "refinement" in settings:
        pairs = [
            (depth, rate)
            for depth, found in best(selected).items()
            for rate in between(rates, found, settings["refinement"])
        ]
        selected |= train("refinement", with_selection_seeds(pairs))
        more["kurtosis"] = curves.rounded(kurtosis_of_residual(task))
    chosen = best(selected)
    measured = train(
        "measurement",
        [(depth, chosen[depth], seed) for depth in depths for seed in seeds],
    )
    measured_curves = {
        checks.curve_name(depth, seed): curve
        for (depth, _), group in measured.items()
        for seed, curve in zip(seeds, group)
    }
    return measured_curves, {
        "optimum": curves.rounded(least),
        "at_zero": curves.rounded(at_zero),
        "rates": {str(depth): rate for depth, rate in chosen.items()},
        "seeds": seeds,
        **more,
    }


def _costs(selected, steps, level, at_zero):
    """Of each (depth, rate), what is to be small, the worst of its seeds."""
    ends = {pair: max(checks.end(c, steps) for c in group) for pair, group in selected.items()}
    if level is None:
        return ends
    # Where a single layer does not get there, to where it ends.
    goal = max(level * at_zero, min(end for (depth, _), end in ends.items() if depth == 1))
    times = {
        pair: max(curves.iterations_to(c, goal) for c in group) for pair, group in selected.items()
    }
    return {pair: (times[pair], ends[pair]) for pair in selected}


def between(rates, best, count):
    """`count` rates between the best and each of its neighbors, log-spaced.

    >>> between([0.01, 0.1, 1.0], 0.1, 1)
    [0.0316, 0.316]
    >>> between([0.01, 0.1, 1.0], 1.0, 1)
    [0.316]
    """
    ascending = sorted(rates)
    at = ascending.index(best)
    around = ascending[max(0, at - 1) : at + 2]
    return [
        float(f"{rate:.3g}")
        for low, high in zip(around, around[1:])
        for rate in np.geomspace(low, high, count + 2)[1:-1]
    ]


def kurtosis_of_residual(task):
    """E r^4 / (E r^2)^2 of what least squares leaves; of a normal distribution it is 3."""
    kernel, *_ = np.linalg.lstsq(task.features, task.targets, rcond=None)
    residuals = task.features @ kernel - task.targets
    return np.mean(residuals**4) / np.mean(residuals**2) ** 2
