"""Robustness: on which data, and for which loss, does depth accelerate?

    python -m reproduce.robustness

Iterations to the same loss at depth 1 and at depth 2 or 3 (and 4 on the full data), each at its own
best learning rate: that with the least final loss, the worst of the selection seeds. The loss is
one that both reach. On the full data, without its three high-leverage rows, with the logarithm of
the concentration for a target, and on scikit-learn's breast cancer data, for p = 2, 4, 6; and on
versions of the full data of growing condition number.
"""

import dataclasses
import functools

import numpy as np

from reproduce import experiment, linear_networks
from reproduce.claims import robustness as checks
from reproduce.harness import config, curves
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run

POINTS = 80  # on a curve, log-spaced
NEVER = 0.001  # where in the figure the runs are that do not get there
PROBLEMS = ("full", "no_high_leverage", "log_target", "breast_cancer")
CONDITIONED = "conditioned"


@dataclasses.dataclass(frozen=True)
class Config:
    """See configs/robustness.yaml."""

    steps: int
    stddev: float
    rates: list[float]
    selection_seeds: list[int]
    depths: list[int]
    deeper: int
    powers: list[int]
    problems: list[str]
    condition_numbers: list[float]
    conditioned_power: int
    smoke_steps: int

    def __post_init__(self):
        names = ("steps", "stddev", "rates", "depths", "deeper", "condition_numbers")
        config.check_positive(self, (*names, "smoke_steps"))
        for name in ("depths", "problems", "powers", "rates", "selection_seeds"):
            config.check_distinct(name, getattr(self, name))
        for p in (*self.powers, self.conditioned_power):
            for depth in (*self.depths, self.deeper):  # `Run` refuses what is no run.
                linear_networks.Run(p, depth, 1.0, min(self.selection_seeds))
        if not {1, 2, 3} <= set(self.depths):
            raise ConfigError(
                f"`depths` must have 1, 2 and 3, which are compared. Received: {self.depths}"
            )
        unknown = set(self.problems) - set(PROBLEMS)
        if unknown:
            raise ConfigError(
                f"`problems` must be of {', '.join(PROBLEMS)}. Received: {', '.join(unknown)}"
            )


def plan(settings, seeds):
    """A run for each problem and loss: the choice of the rates, and the measurement at them."""

    def run(name, problem, p, depths, condition_number=None):
        names = ("steps", "stddev", "rates", "selection_seeds")
        values = {each: getattr(settings, each) for each in names}
        values |= {"seeds": seeds, "problem": problem, "condition_number": condition_number}
        return Run("all", 0, {**values, "p": p, "depths": depths}, name)

    for problem in settings.problems:
        for p in settings.powers:
            deeper = [settings.deeper] if problem == "full" else []
            yield run(f"{problem} l{p}", problem, p, [*settings.depths, *deeper])
    for condition in settings.condition_numbers:
        p = settings.conditioned_power
        name = f"condition_{condition:.0e} l{p}"
        yield run(name, CONDITIONED, p, list(settings.depths), condition)


@functools.lru_cache(maxsize=None)
def task(problem, condition_number, dataset):
    """The data of a problem, made of the full data."""
    from reproduce import data
    from reproduce.data import variants

    makers = {
        "full": lambda: dataset,
        "no_high_leverage": lambda: variants.without_high_leverage(dataset),
        "log_target": lambda: variants.logarithmic(dataset),
        "breast_cancer": data.load_breast_cancer,
        CONDITIONED: lambda: variants.with_condition_number(dataset, condition_number),
    }
    return makers[problem]()


class Robustness(experiment.Experiment):
    """What this experiment differs in from others."""

    name = "robustness"
    title = "Robustness: on which data, and for which loss, does depth accelerate?"
    description = __doc__
    config_class = Config
    seeds = tuple(range(3, 23))
    tabulated = False

    def load(self, arguments):
        from reproduce import data

        return data.load_ethanol(arguments.data_dir)

    def plan(self, settings, arguments):
        return list(plan(settings, arguments.seeds))

    def everything(self, settings, arguments):
        return list(plan(settings, list(self.seeds)))

    def task(self, run_settings, dataset):
        return task(run_settings["problem"], run_settings["condition_number"], dataset)

    def minutes(self, runs, dataset):
        return sum(2 * run.settings["steps"] / 1e5 for run in runs)

    def train(self, runs, task, settings, work):
        for run in runs:
            yield [(run, *measure(run, task, work))]

    def row(self, record):
        medians = {
            f"depth {depth}": float(np.median(checks.speedups(record, depth)))
            for depth in (2, 3, 4)
            if str(depth) in record.results["rates"]
        }
        return {"depth 2": None, "depth 3": None, "depth 4": None, **medians}

    def conclude(self, records, settings, work):
        title = (
            "How many times sooner than depth 1, each at its best rate, and the iterations to "
            "the same loss; median over the seeds (10 % to 90 %)"
        )
        return experiment.Conclusion(checks.verdicts(records), {title: checks.table(records)})

    def draw(self, records, settings, path):
        draw(self.title, records, path)


def measure(run, task, work):
    """Choose each depth's rate, then count its iterations: its curves and results."""
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

    selected = train(
        "selection",
        [
            (depth, rate, seed)
            for depth in depths
            for rate in rates
            for seed in settings["selection_seeds"]
        ],
    )
    worst = {
        key: max(checks.end(curve, steps) for curve in group)
        for key, group in selected.items()
    }
    best = {
        depth: min(rates, key=lambda rate: worst[depth, rate]) for depth in depths
    }
    measured = train(
        "measurement",
        [(depth, best[depth], seed) for depth in depths for seed in seeds],
    )
    measured_curves = {
        checks.curve_name(depth, seed): curve
        for (depth, _), group in measured.items()
        for seed, curve in zip(seeds, group)
    }
    return measured_curves, {
        "optimum": curves.rounded(least),
        "at_zero": curves.rounded(at_zero),
        "rates": {str(depth): rate for depth, rate in best.items()},
        "seeds": seeds,
    }


def draw(title, finished, folder):
    """A row for each problem: how many times sooner each depth gets there than one layer."""
    from reproduce.paper import plots

    plot, (axes,) = plots.new_figure(1, title, height=1.5 + 0.4 * len(finished))
    for row, record in enumerate(finished):
        for depth, colour in zip((2, 3, 4), plots.COLOURS):
            if str(depth) not in record.results["rates"]:
                continue
            found = np.clip(checks.speedups(record, depth), NEVER, 1 / NEVER)
            low, median, high = np.quantile(found, (0.1, 0.5, 0.9), method="nearest")
            height = row + 0.2 * (depth - 3)
            axes.plot([low, high], [height] * 2, color=colour, linewidth=1.6)
            marker, suffix = ("x", ": never") if median == NEVER else ("o", "")
            axes.plot(median, height, marker, color=colour, label=f"depth {depth}{suffix}")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(finished)), [record.panel for record in finished])
    label = "times sooner than depth 1 (median, and 10 % to 90 % of the seeds)"
    axes.set(xscale="log", xlabel=label)
    axes.invert_yaxis()
    axes.grid(True, axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    handles = dict(sorted(zip(labels, handles), key=lambda item: item[0]))
    axes.legend(handles.values(), handles.keys(), fontsize="small", loc="center left")
    plots.save(plot, folder)


def main(arguments=None):
    """The command."""
    experiment.main(Robustness(), arguments)


if __name__ == "__main__":
    main()
