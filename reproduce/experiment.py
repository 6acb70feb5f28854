"""The whole way from a configuration to a figure, for every experiment.

    configuration -> data -> runs -> records -> verdicts -> figure -> summary

`main` is the command of every experiment; what they differ in are the methods of `Experiment`.
"""

import contextlib
import time

from reproduce import claims
from reproduce.harness import cli
from reproduce.harness.files import held
from reproduce.harness.process import import_tensorflow
from reproduce.harness.records import NO_DATA, provenance
from reproduce.harness.results_folder import Conclusion, ResultsFolder, summary
from reproduce.harness.work import Alone, Work, print_results

__all__ = ["Conclusion", "Experiment", "main"]


def main(experiment, arguments=None):
    """Run what is asked for and missing; then judge, draw and print."""
    with cli.reported_errors(arguments, cli.how_to_go_on(experiment)):
        arguments = cli.parse(experiment, arguments)
        settings = cli.settings(experiment, arguments)
        import_tensorflow()
        with experiment.team(arguments, settings) as team:
            _go(experiment, arguments, settings, team)


def _go(experiment, arguments, settings, team):
    dataset = experiment.load(arguments)
    print(dataset.description or experiment.title, flush=True)
    if not team.is_chief:
        return team.follow(cli.asked_for(experiment, arguments, settings, ()), dataset)
    folder = ResultsFolder.of(experiment, arguments, settings, dataset)
    cli.check_data(folder, experiment, dataset)
    runs = cli.asked_for(experiment, arguments, settings, folder.records())
    missing = team.agreed(runs, folder.missing(runs), dataset)
    work = Work(experiment, arguments, team)
    work.announce(missing, dataset)
    while missing:
        # The runs of a panel are trained together; where there are no panels, each by itself.
        group, together = (
            [run for run in each if run.together == missing[0].together] for each in (missing, runs)
        )
        with folder.reserved(group, together, team) as (group, work.checkpoint):
            for record in _records(experiment, group, dataset, settings, work) if group else ():
                folder.save(record)
        runs = cli.asked_for(experiment, arguments, settings, folder.records())
        missing = folder.missing(runs)
        work.total = work.done + len(missing)
    with held(folder.path, ["the conclusion"]):  # It is made of all records.
        conclusion = _conclude(experiment, folder, dataset, settings, work)
    print_results(experiment, runs, folder, conclusion, work)
    team.wait_for_all()


def _records(experiment, runs, dataset, settings, work):
    """Train runs, and make records of them; those that end together share the time."""
    work.begin(runs)
    task = experiment.task(runs[0].settings, dataset)
    started = time.time()
    for batch in experiment.train(runs, task, settings, work):
        origin = provenance(task, started, len(batch), **work.team.provenance())
        for run, curves, results in batch:
            yield run.record(curves, results, origin)
        started = time.time()


def _conclude(experiment, folder, dataset, settings, work):
    """Verdicts, curves, figure and summary from all records of the folder."""
    started, records = time.time(), folder.records()
    conclusion = experiment.conclude(records, settings, work)
    if cli.is_shortened(experiment, settings):
        conclusion.verdicts = claims.of_shorter_runs(conclusion.verdicts)
    drawn = [*records, *conclusion.derived]
    if experiment.drawn:
        experiment.draw(drawn, settings, folder.path)
    said = summary(experiment, records, conclusion, settings, dataset, started)
    folder.write(drawn if experiment.tabulated else [], said)
    return conclusion


class Experiment:
    """What an experiment differs in from the others."""

    name = title = description = ""  # of its module, configuration and results; of --help
    config_class: type | None = None  # None: it has neither configuration nor data nor runs
    arms: dict = {}  # from the name of a part that can be run to what it is
    default_arms: tuple = ()
    seeds: tuple = (0,)
    pinned: tuple = ()  # tags of the charts that TensorBoard is to show first
    drawn = tabulated = True  # whether it has a figure; whether its curves go to `curves.csv`

    def add_options(self, parser):
        """Add options of its own to an `argparse.ArgumentParser`."""

    def check(self, arguments, settings):
        """Raise a `UsageError` or `ConfigError` if what is asked for cannot be."""

    def team(self, arguments, settings):
        """A context: who trains together with this process; see `harness.work.Alone`."""
        return contextlib.nullcontext(Alone())

    def load(self, arguments):
        """The data, a dataset of `reproduce.data`."""
        return NO_DATA

    def plan(self, settings, arguments):
        """All runs that are asked for, a list of `harness.records.Run`."""
        return []

    def next_runs(self, settings, arguments, records):
        """The runs, done or not, that these records ask for, where runs decide about others."""
        return self.plan(settings, arguments)

    def share_of(self, run):
        """What runs have in common that `--shard` is to leave to one process."""
        return run.name

    def everything(self, settings, arguments):
        """All runs of all arms; `arguments.seeds` are those of the committed records."""
        return self.plan(settings, cli.with_values(arguments, arms=tuple(self.arms)))

    def task(self, run_settings, dataset):
        """The data set that a run with these settings is trained on."""
        return dataset

    def train(self, runs, task, settings, work):
        """Train runs of one panel; yields lists of `(run, curves, results)` as they end."""
        raise NotImplementedError

    def minutes(self, runs, dataset):
        """How long the runs take on two cores, roughly."""
        return 0.0

    def conclude(self, records, settings, work):
        """A `Conclusion` from all records of the results folder."""
        raise NotImplementedError

    def row(self, record):
        """The row that the command prints of a finished run: from column to value."""
        return {}

    def draw(self, records, settings, path):
        """Write the figure into the folder `path`."""
