"""The linear regression figures: from a configuration to runs, records, curves and a figure.

A figure has panels, one a loss; a panel has series, the curves of a plot; a series is run at each
of its learning rates. The run at the rate `plotted` is the one to be laid over the paper's curve
and bears the series' name alone; the others are called `1-layer lr=0.1`. `1-layer as_stated` is
what the paper's text says to plot: the rate that it gives, or else that with the least final loss.
"""

from collections.abc import Callable
import dataclasses
import time

import numpy as np
import tensorflow as tf

from reproduce import claims, data, paper, report
from reproduce.harness import cli, config, curves, records, tensorboard as logs
from reproduce import linear_networks
from reproduce.harness.errors import ConfigError
from reproduce.paper import plots
from reproduce.claims import regression as checks
from reproduce.harness.device import device
from reproduce.linear_networks.gradient_flow import end_to_end, gradient_flow, sharpness
from reproduce.linear_networks.optimum import optimum

ARMS = ("all", "plotted")
HORIZONS = (0.01, 0.1, 0.4, 1.0)  # of the iterations, at which the best rates are compared
POINTS = 120  # on a curve, log-spaced, besides the iterations of the paper's digitised points
PLATEAU = 0.99  # a run above this part of the loss at zero has not left it
MULTIPLY_ADDS_PER_SECOND = 4e10  # of two CPU cores, for the estimate of the time


@dataclasses.dataclass(frozen=True)
class Series:
    """A curve of the plot; see `linear_networks.Run` for what is not explained here.

    Attributes:
        name: As in the paper's plots, where it is one of theirs.
        rates: Learning rates to run; none for a flow.
        plotted: The rate, of these, of the run to be laid over the paper's curve. None: the one
            with the least final loss, as the paper's text says.
        stated: The rate, of these, that the paper's text gives; None: the best of them.
        flow: Lay over the paper's curve, instead of a run, gradient flow at this pace: its time
            is this times the iteration.
    """

    name: str
    depth: int
    rates: list[float]
    plotted: float | None = None
    stated: float | None = None
    flow: float | None = None
    width: int = 1
    optimizer: str = "sgd"
    start: str = "near_zero"
    rule: str | None = None


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot: `p` of the l_p loss, and the series."""

    name: str
    p: int
    series: list[Series]


@dataclasses.dataclass(frozen=True)
class Config:
    """A figure: iterations a run, standard deviation of the start, panels; and under --smoke."""

    steps: int
    stddev: float
    panels: list[Panel]
    smoke_steps: int

    def __post_init__(self):
        config.check_positive(self, ("steps", "stddev", "smoke_steps"))
        config.check_distinct("panels", [panel.name for panel in self.panels])
        for panel in self.panels:
            config.check_distinct(f"{panel.name}: series", [each.name for each in panel.series])
            if not any(len(paper.curve(panel.name, each.name)) for each in panel.series):
                raise ConfigError(
                    f"{panel.name}: one of its series, at least, must be a curve of the paper's "
                    "that reproduce/paper/curves.csv has. "
                    f"Received: {', '.join(each.name for each in panel.series)}"
                )
            for series in panel.series:
                config.check_positive(series, ("depth", "width", "rates"))
                for name in ("plotted", "stated"):
                    rate = getattr(series, name)
                    if rate is not None and rate not in series.rates:
                        raise ConfigError(
                            f"{panel.name}, {series.name}: `{name}` must be one of `rates`. "
                            f"Received: {rate:g}"
                        )
        plan(self, seeds=(0,))  # `Run` refuses what is no run.


def plan(settings, seeds, arms=("all",)):
    """The runs of a figure: a dict from panel, series and seed to `linear_networks.Run`.

    A flow is among them, at its pace as the learning rate, under the series' name. The arm
    "plotted" is those alone that are known beforehand to be laid over the paper's curves.
    """
    runs = {}
    for panel in settings.panels:
        for series in panel.series:
            rates = {f"{series.name} lr={rate:g}": rate for rate in series.rates}
            if series.plotted is not None:
                del rates[f"{series.name} lr={series.plotted:g}"]
                rates[series.name] = series.plotted
            if series.flow is not None:
                rates[series.name] = series.flow
            if "all" not in arms:
                rates = {name: rate for name, rate in rates.items() if name == series.name}
            for name, rate in rates.items():
                for seed in seeds:
                    runs[panel.name, name, seed] = linear_networks.Run(
                        p=panel.p,
                        depth=series.depth,
                        learning_rate=rate,
                        seed=seed,
                        width=series.width,
                        optimizer=series.optimizer,
                        start=series.start,
                        stddev=settings.stddev,
                        rule=series.rule,
                    )
    return runs


def is_flow(settings, panel, name):
    """Whether the run of this name is a gradient flow."""
    return any(
        series.flow is not None and series.name == name
        for each in settings.panels
        if each.name == panel
        for series in each.series
    )


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a figure of this kind differs in from the others.

    Attributes:
        name: Of its module, its configuration and its results folder.
        title: For the plot and the report.
        description: What `--help` says first.
        verdicts: From all records to a list of `claims.Verdict`.
    """

    name: str
    title: str
    description: str
    verdicts: Callable[[list], list]


def main(figure, arguments=None):
    """The command of a `Figure`: run what is missing; then judge, draw and print."""
    parser = cli.parser(figure.name, figure.description, ARMS, default_arms=("all",))
    arguments = parser.parse_args(arguments)
    with cli.reported_errors():
        settings = cli.load_config(arguments, Config)
        dataset = data.load_ethanol(arguments.data_dir, arguments.data)
        print(dataset.description, flush=True)
        folder = cli.results_folder(arguments, figure.name, dataset, settings)
        cli.check_data(folder, dataset)
        planned = cli.shard(arguments, plan(settings, arguments.seeds, arguments.arms))
        missing = _missing(planned, folder, settings)
        if missing and not arguments.quiet:
            print(_estimate(missing.values(), dataset, settings.steps), flush=True)
        root = cli.log_root(arguments, figure.name, dataset)
        for panel in settings.panels:
            _run(panel, planned, folder, dataset, settings, arguments, root)
        with folder.concluding():
            verdicts = conclude(figure, folder, dataset, settings)
        print(claims.format_table(verdicts))
        print(f"\nFigure: {folder.path / 'figure.png'}")
        print(f"TensorBoard: tensorboard --logdir {root}")


def _missing(planned, folder, settings):
    """Those of the runs that are not finished."""
    return {
        key: run
        for key, run in planned.items()
        if not folder.has(*key[1:], _settings(key, run, settings), panel=key[0])
    }


def _settings(key, run, settings):
    """Everything that a run's numbers depend on, the data apart."""
    return {
        **dataclasses.asdict(run),
        "steps": settings.steps,
        "flow": is_flow(settings, *key[:2]),
    }


def _estimate(runs, dataset, steps):
    m, d = dataset.features.shape
    multiply_adds = steps * sum(2 * m * d + 3 * run.width * (run.width + d) for run in runs)
    minutes = multiply_adds / MULTIPLY_ADDS_PER_SECOND / 60
    return f"{len(runs)} runs of {steps} iterations, roughly {minutes:.1f} minutes on 2 cores."


def _record_at(panel, steps):
    spaced = np.geomspace(1, steps, POINTS).astype(int)
    return sorted({0, *map(int, spaced), *(t for t in paper.iterations(panel) if t <= steps)})


def _run(panel, planned, folder, dataset, settings, arguments, root):
    """Train what is missing of a panel's runs, together, and save the records as it ends."""
    planned = {key: run for key, run in planned.items() if key[0] == panel.name}
    names = {key: records.run_name(key[1], key[2], panel=key[0]) for key in planned}
    # Found again by the same command, and no other's: what it holds depends on all of its runs.
    checkpoint = folder.checkpoint(f"{panel.name}-{config.digest(sorted(names.values()))[:16]}")
    with folder.reserved([names[key] for key in _missing(planned, folder, settings)]):
        missing = _missing(planned, folder, settings)  # Others may have done some meanwhile.
        if missing:
            _, least = optimum(dataset.features, dataset.targets, panel.p)
        flows: dict = {}
        descents: dict = {}
        for key, run in missing.items():
            (flows if is_flow(settings, *key[:2]) else descents)[key] = run
        for key, run in flows.items():
            started = time.time()
            trajectory, stability = flow(run, dataset, _record_at(panel.name, settings.steps))
            record = _record(key, run, trajectory, least, dataset, settings, root, started, 1)
            record.results.update(stability)
            folder.save(record)
        if descents:
            started = time.time()
            trajectories = _descend(panel.name, descents, dataset, settings, arguments, checkpoint)
            count = len(descents)
            for (key, run), trajectory in zip(descents.items(), trajectories):
                folder.save(
                    _record(key, run, trajectory, least, dataset, settings, root, started, count)
                )
        checkpoint.unlink(missing_ok=True)  # All records are on disk.


def _descend(panel, runs, dataset, settings, arguments, checkpoint):
    with cli.progress_bar(arguments, panel, settings.steps) as bar:

        def on_progress(iteration, alive):
            bar.set_postfix(runs=alive, refresh=False)
            bar.update(iteration - bar.n)

        return linear_networks.train(
            list(runs.values()),
            dataset.features,
            dataset.targets,
            settings.steps,
            _record_at(panel, settings.steps),
            checkpoint,
            on_progress,
        )


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


def _record(key, run, trajectory, least, dataset, settings, root, started, together):
    """A run as a record, and its curve in TensorBoard's logs."""
    panel, series, seed = key
    curve = [[t, curves.rounded(loss - least)] for t, loss in trajectory.losses]
    at_zero = np.mean(dataset.targets**run.p) - least
    log_dir = root / panel / records.slug(series) / f"seed-{seed}"
    with logs.written_to(log_dir):
        for t, value in curve:
            tf.summary.scalar("distance_from_optimum", value, step=t)
    left = [t for t, value in curve if value < PLATEAU * at_zero]
    return records.Record(
        series=series,
        seed=seed,
        learning_rate=run.learning_rate,
        settings=_settings(key, run, settings),
        curves={panel: curve},
        results={
            "optimum": curves.rounded(least),
            "at_zero": curves.rounded(at_zero),
            "diverged_at": trajectory.diverged_at,
            "left_plateau_at": left[0] if left else None,
        },
        provenance={
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            # Runs of a panel are trained together: each has its share.
            "seconds": round((time.time() - started) / together, 1),
            "settings_digest": config.digest(_settings(key, run, settings)),
            **records.provenance(device(), dataset),
        },
        panel=panel,
    )


def conclude(figure, folder, dataset, settings):
    """Curves, verdicts, figure and summary from all records of the folder."""
    finished = folder.records()
    finished += as_stated(finished, settings)
    verdicts = claims.only_comparable(figure.verdicts(finished), dataset.source)
    if settings.steps < max(paper.iterations(panel.name)[-1] for panel in settings.panels):
        verdicts = claims.struck_out(verdicts, "the runs are shorter than the paper's")
    folder.write_curves(finished)
    draw(figure, finished, dataset, settings, folder.path)
    folder.write_summary(
        report.summary(
            figure=figure.name,
            title=figure.title,
            command=f"python -m reproduce.{figure.name}",
            dataset=dataset,
            config_digest=config.digest(config.as_dict(settings)),
            records=folder.records(),
            verdicts=verdicts,
            distances=checks.distances(finished),
            tables=tables(finished, settings),
        )
    )
    return verdicts


def tables(finished, settings):
    """For the report: what became of all runs, and the best rates; from a title to its rows."""
    result = {}
    for panel in settings.panels:
        rows = checks.table(finished, panel.name, settings.steps)
        result[f"Panel {panel.name}: distance from the optimum"] = rows
        horizons = [int(share * settings.steps) for share in HORIZONS]
        rows = [checks.best_rates(finished, panel.name, s.name, horizons) for s in panel.series]
        if any(rows):
            title = f"Panel {panel.name}: best rate, had the runs been shorter (distance)"
            result[title] = [row for row in rows if row]
    return result


def as_stated(finished, settings):
    """What the paper's text says to plot: the rate that it gives, or that of least final loss.

    Returns:
        Copies of records under the name `1-layer as_stated`, and under the paper's own name where
        no run has it. The final loss is the median over the seeds; a run that diverged has none.
    """
    result = []
    for panel in settings.panels:
        for series in panel.series:
            groups = checks.groups(finished, panel.name)
            if series.stated is None:
                best = checks.best_of(groups, series.name, settings.steps)
            else:
                best = groups.get(f"{series.name} lr={series.stated:g}")
            if best is None or len(series.rates) < 2:
                continue
            names = [f"{series.name} as_stated"]
            if series.plotted is None and series.flow is None:
                names.append(series.name)
            result += [
                dataclasses.replace(record, series=name) for name in names for record in best
            ]
    return result


def draw(figure, finished, dataset, settings, folder):
    """A panel each: what the paper plots, median and band over the seeds, with its curves."""
    title = figure.title if dataset.source == "real" else f"{figure.title}\n{dataset.description}"
    plot, axes = plots.new_figure(len(settings.panels), title)
    for panel, panel_axes in zip(settings.panels, axes):
        mine = [record for record in finished if record.panel == panel.name]
        plotted = [each for each in panel.series if len(paper.curve(panel.name, each.name))]
        for series, colour in zip(plotted, plots.COLOURS):
            plots.draw_runs(panel_axes, mine, panel.name, series.name, series.name, colour)
            stated = f"{series.name} as_stated"
            if series.plotted is not None or series.flow is not None:
                plots.draw_runs(panel_axes, mine, panel.name, stated, stated, colour, "--")
            plots.draw_paper(panel_axes, panel.name, series.name, colour)
        plots.finish_axes(
            panel_axes,
            f"{panel.name}, p = {panel.p}",
            "iteration",
            "distance from the optimum",
            # Runs that diverge leave through the top.
            top=3 * max(record.results["at_zero"] for record in mine) if mine else None,
        )
    plots.save(plot, folder)
