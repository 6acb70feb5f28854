"""The linear regression figures: what they have in common."""

from collections.abc import Callable
import dataclasses

from reproduce import paper
from reproduce.claims import regression as checks
from reproduce.experiment import Conclusion, Experiment
from reproduce.paper import plots
from reproduce.regression.configuration import Config, plan

HORIZONS = (0.01, 0.1, 0.4, 1.0)  # of the iterations, at which the best rates are compared
MULTIPLY_ADDS_PER_SECOND = 4e10  # of two CPU cores, for the estimate of the time


class RegressionFigure(Experiment):
    """A figure of linear networks on the Ethanol task.

    Args:
        name, title, description: See `Experiment`.
        panels: From the name of a panel to its title.
        verdicts: From all records to a list of `claims.Verdict`.
        tables: From all records to tables of its own; None: it has none.
    """

    config_class = Config
    arms = {"all": "every run", "plotted": "those that are laid over the paper's curves"}
    default_arms = ("all",)

    def __init__(self, name, title, description, panels, verdicts, tables=None):
        self.name, self.title, self.description = name, title, description
        self.panels, self.verdicts = panels, verdicts
        self.tables: Callable = tables or (lambda records: {})

    def load(self, arguments):
        from reproduce import data

        return data.load_ethanol(arguments.data_dir)

    def plan(self, settings, arguments):
        return plan(settings, arguments.seeds, plotted_only="all" not in arguments.arms)

    def minutes(self, runs, dataset):
        m, d = dataset.features.shape
        multiply_adds = sum(
            run.settings["steps"] * (_gradient(run, m, d) + 3 * _width(run) * (_width(run) + d))
            for run in runs
        )
        return multiply_adds / MULTIPLY_ADDS_PER_SECOND / 60

    def train(self, runs, task, settings, work):
        from reproduce.regression.runs import train

        yield from train(runs, task, work, [panel.name for panel in settings.panels])

    def row(self, record):
        t, value = record.curves[record.panel][-1]
        diverged_at = record.results["diverged_at"]
        distance = value if diverged_at is None else None
        return {"distance": distance, "iterations": t, "diverged at": diverged_at}

    def conclude(self, records, settings, work):
        derived = as_stated(records, settings)
        return Conclusion(
            self.verdicts(records),
            {**self.tables(records), **_tables(records, [*records, *derived], settings)},
            checks.distances(records),
            derived,
        )

    def draw(self, records, settings, path):
        """A panel each: what the paper plots, median and band over the seeds, with its curves."""
        plot, axes = plots.new_figure(len(settings.panels), self.title)
        for panel, panel_axes in zip(settings.panels, axes):
            mine = [record for record in records if record.panel == panel.name]
            plotted = [each for each in panel.series if len(paper.curve(panel.name, each.name))]
            for series, color in zip(plotted, plots.COLORS):
                plots.draw_runs(panel_axes, mine, panel.name, series.name, series.name, color)
                stated = f"{series.name} as_stated"
                if series.plotted is not None or series.flow is not None:
                    label = f"{series.name}, as the text says"
                    plots.draw_runs(panel_axes, mine, panel.name, stated, label, color, "--")
                plots.draw_paper(panel_axes, panel.name, series.name, color)
            plots.finish_axes(
                panel_axes,
                self.panels.get(panel.name, panel.name),
                "iteration",
                "distance from the optimum",
                # Runs that diverge leave through the top.
                top=3 * max(record.results["at_zero"] for record in mine) if mine else None,
                last=settings.steps,
            )
        plots.save(plot, path)


def _tables(finished, named, settings):
    """For the report: what became of all runs, and the best rates; from a title to its rows.

    Args:
        finished: The records. `named`: these, and `as_stated`.
        settings: The configuration.
    """
    result = {}
    for panel in settings.panels:
        rows = checks.table(named, panel.name)
        result[f"Panel {panel.name}: distance from the optimum"] = rows
        horizons = [int(share * settings.steps) for share in HORIZONS]
        rows = [checks.best_rates(finished, panel.name, s.name, horizons) for s in panel.series]
        if any(rows):
            title = f"Panel {panel.name}: best rate, had the runs been shorter (distance)"
            result[title] = [row for row in rows if row]
    return result


def as_stated(finished, settings):
    """What the paper's text says to plot, where several rates are run: `checks.as_stated`.

    Returns:
        Copies of records under the name `1-layer as_stated`, and under the paper's own name where
        no run has it.
    """
    result = []
    for panel in settings.panels:
        runs = checks.of_panel(finished, panel.name)
        for series in panel.series:
            best = checks.as_stated(runs, series.name)
            if best is None or len(series.rates) < 2:
                continue
            names = [f"{series.name} as_stated"]
            if series.plotted is None and series.flow is None:
                names.append(series.name)
            result += [
                dataclasses.replace(record, series=name) for name in names for record in best
            ]
    return result


def _width(run):
    return run.settings["width"]


def _gradient(run, m, d):
    """Multiply-adds of the end-to-end gradient, in float32.

    For p = 2 the loss is a quadratic form, in float64, of which there are half as many a second.
    """
    return 2 * d * d if run.settings["p"] == 2 else 2 * m * d
