"""The whole way from a configuration to a figure, for every experiment.

    configuration -> data -> runs -> records -> verdicts -> figure -> summary

It leads in one direction: no step reaches back. What experiments differ in are the methods of
`Experiment`; `main` is the command of each of them.
"""

import contextlib
import dataclasses
import itertools
import time

from reproduce import claims
from reproduce.harness import cli, printed
from reproduce.harness.provenance import NO_DATA, provenance
from reproduce.harness.results_folder import ResultsFolder
from reproduce.harness.startup import import_tensorflow
from reproduce.harness.summary import summary
from reproduce.harness.work import Alone, Work


@dataclasses.dataclass
class Conclusion:
    """What all records of an experiment say: see `harness.summary.summary`."""

    verdicts: list
    tables: dict = dataclasses.field(default_factory=dict)
    distances: dict = dataclasses.field(default_factory=dict)
    derived: list = dataclasses.field(default_factory=list)  # records made of others, to be drawn


class Experiment:
    """What an experiment differs in from the others.

    Attributes:
        name: Of its module, its configuration and its results folder.
        title: Of its figure. `description`: what `--help` says.
        config_class: Dataclass of its configuration; None: it has none, no data and no runs.
        arms: From the name of a part that can be run to what it is. `default_arms`: those that
            run unless told otherwise.
        seeds: The default of `--seeds`.
        drawn: Whether it has a figure. `tabulated`: whether its curves go into `curves.csv`.
    """

    name = title = description = ""

    @property
    def command(self):
        """The command that makes everything that is committed of it."""
        more = " --everything" if self.config_class is not None else ""
        return f"python -m reproduce.{self.name}{more}"

    config_class: type | None = None
    arms: dict = {}
    default_arms: tuple = ()
    seeds: tuple = (0,)
    drawn = tabulated = True

    def add_options(self, parser):
        """Add options of its own to an `argparse.ArgumentParser`."""

    def check(self, arguments, settings):
        """Raise a `UsageError` or `ConfigError` if what is asked for cannot be."""

    def team(self, arguments, settings):
        """A context: the `harness.work.Alone`, or those who train together with this process."""
        return contextlib.nullcontext(Alone())

    def load(self, arguments):
        """The data, a dataset of `reproduce.data`."""
        return NO_DATA

    def plan(self, settings, arguments):
        """All runs that are asked for, a list of `harness.records.Run`."""
        return []

    def everything(self, settings, arguments):
        """All runs of all arms; `arguments.seeds` are those of the committed results."""
        return self.plan(settings, cli.with_values(arguments, arms=tuple(self.arms)))

    def identity(self, arguments):
        """Plain values that all runs of a results folder share, configuration and data apart."""
        return {}

    def task(self, run_settings, dataset):
        """The data set that a run with these settings is trained on."""
        return dataset

    def train(self, runs, task, settings, work):
        """Train runs of one panel; yields lists of `(run, curves, results)`, as they are done."""
        raise NotImplementedError

    def minutes(self, runs, dataset):
        """How long the runs take on two cores, roughly."""
        return 0.0

    def conclude(self, records, settings, work):
        """A `Conclusion` from all records of the results folder."""
        raise NotImplementedError

    def row(self, record):
        """What the command prints of a run that it has done: from column to value."""
        return {}

    def draw(self, records, settings, path):
        """Write the figure into the folder `path`."""


def main(experiment, arguments=None):
    """The command: run what is missing of what is asked for; then judge, draw and print."""
    kept = cli.REPEATABLE if experiment.config_class is None else cli.RESUMABLE
    with cli.reported_errors(arguments, kept):
        arguments = cli.parse(experiment, arguments)
        settings = cli.settings(experiment, arguments)
        import_tensorflow()
        with experiment.team(arguments, settings) as team:
            go(experiment, arguments, settings, team)


def go(experiment, arguments, settings, team):
    """What `main` does once the command line has been understood."""
    dataset = experiment.load(arguments)
    if dataset.fingerprint:
        print(dataset.description, flush=True)
    runs = cli.share(arguments, cli.asked_for(experiment, arguments, settings))
    work = Work(experiment, arguments, team)
    if not team.is_chief:
        team.follow(runs, dataset)
        return
    folder = ResultsFolder.of(experiment, arguments, settings, dataset)
    cli.check_data(folder, experiment, dataset)
    missing = team.agreed(runs, [run for run in runs if not folder.has(run)], dataset)
    work.announce(missing, dataset)
    names = {run.name for run in missing}
    for together in _trained_together(runs):
        group = [run for run in together if run.name in names]
        with folder.reserved(group), folder.checkpoints(together) as work.checkpoint:
            # Another process may have done some while this one waited; but a team has set out.
            group = [run for run in group if team.number > 1 or not folder.has(run)]
            for record in _records(experiment, group, dataset, settings, work):
                folder.save(record)
    with folder.concluding():
        conclusion = conclude(experiment, folder, dataset, settings, work)
    printed.results(experiment, runs, folder, conclusion, arguments, dataset)
    team.wait_for_all()


def _trained_together(runs):
    """The runs of each panel; where there are no panels, each run by itself."""
    for _, group in itertools.groupby(runs, key=lambda run: run.panel or run.name):
        yield list(group)


def _records(experiment, runs, dataset, settings, work):
    """Train runs, and make records of them; those that end together share the time."""
    if not runs:
        return
    work.begin(runs)
    task = experiment.task(runs[0].settings, dataset)
    started = time.time()
    for batch in experiment.train(runs, task, settings, work):
        origin = provenance(task, started, len(batch), **work.team.provenance())
        for run, curves, results in batch:
            yield run.record(curves, results, origin)
        started = time.time()


def conclude(experiment, folder, dataset, settings, work):
    """Curves, verdicts, figure and summary from all records of the folder."""
    started, records = time.time(), folder.records()
    conclusion = experiment.conclude(records, settings, work)
    if cli.is_shortened(experiment, settings):
        why = "the runs are shorter than those of the results"
        conclusion.verdicts = claims.struck_out(conclusion.verdicts, why)
    everything = [*records, *conclusion.derived]
    if experiment.tabulated and records:
        folder.write_curves(everything)
    if experiment.drawn:
        experiment.draw(everything, settings, folder.path)
    origin = provenance(dataset, started)
    folder.write_summary(summary(experiment, records, conclusion, settings, dataset, origin))
    return conclusion
