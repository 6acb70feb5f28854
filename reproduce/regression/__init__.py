"""The linear regression figures: what they have in common."""

from collections.abc import Callable

from reproduce.experiment import Conclusion, Experiment
from reproduce.regression.configuration import Config, plan

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
            run.settings["steps"]
            * (_gradient(run, m, d) + 3 * _width(run) * (_width(run) + d))
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
        from reproduce.claims import regression as checks
        from reproduce.regression import conclusion

        derived = conclusion.as_stated(records, settings)
        return Conclusion(
            self.verdicts(records),
            {**self.tables(records), **conclusion.tables(records, [*records, *derived], settings)},
            checks.distances(records),
            derived,
        )

    def draw(self, records, settings, path):
        from reproduce.regression.conclusion import draw

        draw(self, records, settings, path)


def _width(run):
    return run.settings["width"]


def _gradient(run, m, d):
    """Multiply-adds of the end-to-end gradient: for p = 2 the loss is a quadratic form."""
    return d * d if run.settings["p"] == 2 else 2 * m * d
