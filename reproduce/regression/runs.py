"""Training the runs of a linear regression figure: descents together, flows one by one."""

import numpy as np

from reproduce import linear_networks, paper
from reproduce.claims.regression import PLATEAU
from reproduce.harness import curves, tensorboard
from reproduce.harness.records import rebuilt
from reproduce.linear_networks.exact import end_to_end, gradient_flow, optimum, sharpness

POINTS = 120  # on a curve, log-spaced, besides the iterations of the paper's digitized points


def train(runs, task, work, panels):
    """Train `harness.records.Run`s of one panel.

    Args:
        runs: The runs.
        task: The regression task.
        work: A `harness.work.Work`.
        panels: Names of all panels of the figure.

    Yields:
        Lists of `(run, curves, results)`: each flow by itself, and all descents together.
    """
    panel, steps, p = runs[0].panel, runs[0].settings["steps"], runs[0].settings["p"]
    iterations = _record_at(panel, steps)
    _, least = optimum(task.features, task.targets, p)
    tensorboard.paper_logs(work.logs, panel, _tag(panel))
    tensorboard.metrics(work.logs, map(_tag, panels))

    def finished(run, trajectory, **more):
        curve = [[t, curves.rounded(loss - least)] for t, loss in trajectory.losses]
        _log(run, curve, work, apart=len(panels) > 1)
        return run, {panel: curve}, {**_results(trajectory, curve, task, p, least), **more}

    for run in runs:
        if run.settings["flow"]:
            pace = rebuilt(linear_networks.Run, run.settings)
            trajectory, stability = flow(pace, task, iterations)
            yield [finished(run, trajectory, **stability)]
    descents = [run for run in runs if not run.settings["flow"]]
    if descents:
        with work.bar(panel, steps) as bar:

            def on_progress(iteration, alive):
                bar.set_postfix(runs=alive, refresh=False)
                bar.update(iteration - bar.n)

            trajectories = linear_networks.train(
                [rebuilt(linear_networks.Run, run.settings) for run in descents],
                task.features,
                task.targets,
                steps,
                iterations,
                work.checkpoint(),
                on_progress,
            )
        yield [finished(*pair) for pair in zip(descents, trajectories)]


def _record_at(panel, steps):
    spaced = np.geomspace(1, steps, POINTS).astype(int)
    return sorted({0, *map(int, spaced), *(t for t in paper.iterations(panel) if t <= steps)})


def flow(run, dataset, iterations):
    """The flow, and where a step of descent at its pace is longer than is stable, and how much."""
    task = dataset.features, dataset.targets, run.p
    states = gradient_flow(
        linear_networks.initial_factors(run, dataset.features.shape[1]),
        *task,
        np.array(iterations) * run.learning_rate,
    )
    kernels = end_to_end(states, dataset.features.shape[1])
    values = linear_networks.losses(kernels.T, *task)
    losses = [[t, float(value)] for t, value in zip(iterations, values)]
    # In steps of the largest size that is stable.
    steps = [run.learning_rate * sharpness(state, *task) / 2 for state in states]
    unstable = [t for t, step in zip(iterations, steps) if step > 1]
    return linear_networks.Trajectory(losses, None, kernels[-1]), {
        "longest_step": curves.rounded(max(steps)),
        "unstable_from": unstable[0] if unstable else None,
        "unstable_until": unstable[-1] if unstable else None,
    }


def _results(trajectory, curve, task, p, least):
    at_zero = np.mean(task.targets**p) - least
    left = [t for t, value in curve if value < PLATEAU * at_zero]
    return {
        "optimum": curves.rounded(least),
        "at_zero": curves.rounded(at_zero),
        "diverged_at": trajectory.diverged_at,
        "left_plateau_at": left[0] if left else None,
    }


def _tag(panel):
    return f"distance_from_optimum/{panel}"


def _log(run, curve, work, apart):
    names = ("depth", "width", "optimizer", "learning_rate", "seed", "start", "flow")
    with tensorboard.run_log(work.logs, run, {n: run.settings[n] for n in names}, apart):
        for t, value in curve:
            tensorboard.scalar(_tag(run.panel), value, t)
