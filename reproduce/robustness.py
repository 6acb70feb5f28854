"""Robustness: on which data, and for which loss, does depth accelerate?

    python -m reproduce.robustness

Iterations to the same loss at depth 1 and at depth 2 or 3 (and 4 on the full data), each at its own
best learning rate: that with the least final loss, the worst of the selection seeds. The loss is
one that both reach. On the full data, without its three high-leverage rows, with the logarithm of
the concentration for a target, and on scikit-learn's breast cancer data, for p = 2, 4, 6; and on
versions of the full data of growing condition number.
"""

from reproduce.harness import cli

cli.quiet_tensorflow()

from collections.abc import Callable  # noqa: E402
import dataclasses  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402

from reproduce import claims, data, report  # noqa: E402
from reproduce.harness import config, curves, records  # noqa: E402
from reproduce import linear_networks  # noqa: E402
from reproduce.harness.errors import ConfigError  # noqa: E402
from reproduce.paper import plots  # noqa: E402
from reproduce.claims import robustness as checks  # noqa: E402
from reproduce.data import variants  # noqa: E402
from reproduce.harness.device import device  # noqa: E402
from reproduce.linear_networks.optimum import optimum  # noqa: E402

TITLE = "Robustness: on which data, and for which loss, does depth accelerate?"
SEEDS = list(range(3, 23))
POINTS = 80  # on a curve, log-spaced
PARTS = SELECTION, MEASUREMENT = ("selection", "measurement")
NEVER = 0.001  # where in the figure the runs are that do not get there
PROBLEMS = {
    "full": lambda dataset: dataset,
    "no_high_leverage": variants.without_high_leverage,
    "log_target": variants.logarithmic,
    "stand_in": lambda dataset: data.load_ethanol(source="stand-in"),
}


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


@dataclasses.dataclass(frozen=True)
class Panel:
    """A problem and a loss: its name, what makes its data of the full data, p, the depths."""

    name: str
    variant: Callable
    p: int
    depths: tuple


def plan(settings):
    """The panels, by name."""
    panels = []
    for problem in settings.problems:
        for p in settings.powers:
            deeper = (settings.deeper,) if problem == "full" else ()
            depths = (*settings.depths, *deeper)
            panels.append(Panel(f"{problem} l{p}", PROBLEMS[problem], p, depths))
    for condition in settings.condition_numbers:
        p = settings.conditioned_power

        def variant(dataset, condition=condition):
            return variants.with_condition_number(dataset, condition)

        name = f"condition_{condition:.0e} l{p}"
        panels.append(Panel(name, variant, p, tuple(settings.depths)))
    return {panel.name: panel for panel in panels}


def main(arguments=None):
    """The command."""
    parser = cli.parser("robustness", __doc__, ("all",), default_arms=("all",))
    parser.set_defaults(seeds=SEEDS)
    arguments = parser.parse_args(arguments)
    with cli.reported_errors():
        settings = cli.load_config(arguments, Config)
        dataset = data.load_ethanol(arguments.data_dir, arguments.data)
        print(dataset.description, flush=True)
        seeds = arguments.seeds
        folder = cli.results_folder(arguments, "robustness", dataset, settings, seeds=seeds)
        panels = cli.shard(arguments, plan(settings))

        def finished(name):
            return folder.has("all", 0, _settings(panels[name], settings), panel=name)

        missing = sum(not finished(name) for name in panels)
        if missing and not arguments.quiet:
            print(f"{missing} problems, roughly 2 minutes each on 2 cores.", flush=True)
        for name, panel in panels.items():
            checkpoints = {what: folder.checkpoint(f"{name}-{what}") for what in PARTS}
            with folder.reserved([records.run_name("all", 0, name)]):
                if not finished(name):
                    folder.save(measure(panel, dataset, settings, arguments, checkpoints))
                for path in checkpoints.values():
                    path.unlink(missing_ok=True)
        with folder.concluding():
            verdicts = conclude(folder, dataset, settings, arguments.smoke or arguments.steps)
        print(claims.format_table(verdicts))
        print(f"\nFigure: {folder.path / 'figure.png'}")


def _settings(panel, settings):
    """Everything that a panel's numbers depend on, data and seeds apart."""
    return {
        "p": panel.p,
        "depths": list(panel.depths),
        **{name: getattr(settings, name) for name in ("steps", "stddev", "rates")},
        "selection_seeds": settings.selection_seeds,
    }


def measure(panel, dataset, settings, arguments, checkpoints):
    """Choose each depth's rate, then count its iterations: a `reproduce.harness.records.Record`."""
    started = time.time()
    task = panel.variant(dataset)
    _, least = optimum(task.features, task.targets, panel.p)
    at_zero = np.mean(task.targets**panel.p) - least

    def train(what, settings_of):
        """Distances from the optimum over the iterations: a dict from (depth, rate) to a list."""
        runs = {
            (depth, rate, seed): linear_networks.Run(
                p=panel.p, depth=depth, learning_rate=rate, seed=seed, stddev=settings.stddev
            )
            for depth, rate, seed in settings_of
        }
        with cli.progress_bar(arguments, f"{panel.name}, {what}", settings.steps) as bar:
            found = linear_networks.train(
                list(runs.values()),
                task.features,
                task.targets,
                settings.steps,
                {0, *np.geomspace(1, settings.steps, POINTS).astype(int)},
                checkpoints[what],
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
        SELECTION,
        [
            (depth, rate, seed)
            for depth in panel.depths
            for rate in settings.rates
            for seed in settings.selection_seeds
        ],
    )
    worst = {
        key: max(checks.end(curve, settings.steps) for curve in group)
        for key, group in selected.items()
    }
    best = {
        depth: min(settings.rates, key=lambda rate: worst[depth, rate]) for depth in panel.depths
    }
    measured = train(
        MEASUREMENT,
        [(depth, best[depth], seed) for depth in panel.depths for seed in arguments.seeds],
    )
    return records.Record(
        series="all",
        seed=0,
        learning_rate=None,
        settings=_settings(panel, settings),
        curves={
            checks.curve_name(depth, seed): curve
            for (depth, _), group in measured.items()
            for seed, curve in zip(arguments.seeds, group)
        },
        results={
            "optimum": curves.rounded(least),
            "at_zero": curves.rounded(at_zero),
            "rates": {str(depth): rate for depth, rate in best.items()},
            "seeds": arguments.seeds,
        },
        provenance={
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 1),
            "settings_digest": config.digest(_settings(panel, settings)),
            **records.provenance(device(), task),
        },
        panel=panel.name,
    )


def conclude(folder, dataset, settings, shortened):
    """Verdicts, table, figure and summary from all records of the folder."""
    finished = folder.records()
    verdicts = claims.only_comparable(checks.verdicts(finished), dataset.source)
    if shortened:
        verdicts = claims.struck_out(verdicts, "the runs are of another length")
    draw(finished, dataset, folder.path)
    folder.write_summary(
        report.summary(
            figure="robustness",
            title=TITLE,
            command="python -m reproduce.robustness",
            dataset=dataset,
            config_digest=config.digest(config.as_dict(settings)),
            records=finished,
            verdicts=verdicts,
            distances={},
            tables={
                "How many times sooner than depth 1, each at its best rate, and the iterations to "
                "the same loss; median over the seeds (10 % to 90 %)": checks.table(finished)
            },
        )
    )
    return verdicts


def draw(finished, dataset, folder):
    """A row for each problem: how many times sooner each depth gets there than one layer."""
    title = TITLE if dataset.source == "real" else f"{TITLE}\n{dataset.description}"
    plot, (axes,) = plots.new_figure(1, title, width=9.0, height=1.5 + 0.4 * len(finished))
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


if __name__ == "__main__":
    main()
