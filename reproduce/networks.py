"""Networks: when does depth accelerate the networks that people train?

    python -m reproduce.networks                                   hours: add --resume to go on
    python -m reproduce.networks --workloads mlp --optimizers sgd
    python -m reproduce.networks --methods factors_3 rule_3 identity_factors --optimizers sgd

Plain networks against the same overparameterized, by factors and by the end-to-end rule, with and
without grafting. Every method has its own best learning rate: of five, their neighbors for as long
as the best is at an edge, and on Ethanol some between the best and one that diverges, that with the
least validation loss of one seed. Then other seeds are measured: steps and seconds to the loss that
the plain network has after three quarters of its steps. Warm-up and cosine for all; penalties act
on the product.
"""

import dataclasses
import functools
import pathlib

from reproduce import experiment, workloads
from reproduce.claims import comparison, networks as checks, networks_in_words
from reproduce.harness import config
from reproduce.harness.errors import UsageError
from reproduce.workloads import planning

A_STEP = 0.05  # seconds, where they have not been measured
LOSSES = "All losses, by steps, by seconds and by rate: [losses.png](networks/losses.png)."
TAGS = {
    "training_loss": "train/loss",
    "penalty": "train/penalty",
    "validation_loss": "eval/validation_loss",
}


@dataclasses.dataclass(frozen=True)
class Data:
    """Where the workloads' data sets are looked for; each is read when a run needs it.

    Attributes:
        fingerprint: Of the names of the workloads: the record of each run has that of its own data.
    """

    data_dir: pathlib.Path | None
    description: str = "MNIST, Tiny Shakespeare, Ethanol, Fashion-MNIST"
    fingerprint: str = config.digest(list(workloads.MODULES))


@functools.cache
def data_of(workload, data_dir):
    """The data set of a workload."""
    return workloads.get(workload).load(data_dir)


class Networks(experiment.Experiment):
    """What this experiment differs in from others."""

    name = "networks"
    title = "When does depth accelerate the networks that people train?"
    description = __doc__
    config_class = planning.Config
    seeds = (1, 2, 3, 4, 5)
    tabulated = False

    def add_options(self, parser):
        for name, choices, default in (
            ("workloads", tuple(workloads.MODULES), tuple(workloads.MODULES)),
            ("optimizers", planning.OPTIMIZERS, planning.OPTIMIZERS),
            ("methods", planning.METHODS, planning.BASIC),
        ):
            parser.add_argument(
                f"--{name}",
                nargs="+",
                choices=choices,
                default=default,
                metavar="NAME",
                help=f"of: {', '.join(choices)} (default: {' '.join(default)})",
            )

    def check(self, arguments, settings):
        of_noise = sorted(set(arguments.seeds) & set(settings.noise_seeds))
        if of_noise:
            raise UsageError(
                f"Seeds {', '.join(map(str, of_noise))} are those of the second set of plain runs "
                "(`noise_seeds` of the configuration): measure with others."
            )

    def load(self, arguments):
        return Data(arguments.data_dir)

    def task(self, run_settings, dataset):
        return data_of(run_settings["workload"], dataset.data_dir)

    def _groups(self, settings, arguments):
        seeds = arguments.seeds
        if arguments.smoke:  # One run of each kind.
            noise = settings.noise_seeds[:1]
            settings, seeds = dataclasses.replace(settings, rates=1, noise_seeds=noise), seeds[:1]
        chosen = (arguments.workloads, arguments.optimizers, arguments.methods)
        return planning.groups(settings, *chosen, seeds)

    def plan(self, settings, arguments):
        return [run for group in self._groups(settings, arguments) for run in group.expected()]

    def next_runs(self, settings, arguments, records):
        ends = planning.ends(records)
        return [run for group in self._groups(settings, arguments) for run in group.known(ends)]

    def share_of(self, run):
        """The runs of a method, of which each depends on those before, are one machine's."""
        return run.panel, run.settings["optimizer"], run.settings["method"]

    def everything(self, settings, arguments):
        every = (tuple(workloads.MODULES), planning.OPTIMIZERS, planning.METHODS)
        found = planning.groups(settings, *every, arguments.seeds)
        return [run for group in found for run in group.possible()]

    def minutes(self, runs, dataset):
        seconds = (comparison.seconds_of(run.settings) or (A_STEP,) * 3 for run in runs)
        return sum(run.settings["steps"] * each[1] for run, each in zip(runs, seconds)) / 60

    def train(self, runs, task, settings, work):
        from reproduce.harness import tensorboard
        from reproduce.workloads.training import train

        for run in runs:
            bar = work.bar(run.title, run.settings["steps"])
            with tensorboard.run_log(work.logs, run, run.settings, apart=True), bar:

                def on_point(step, values):
                    bar.update(step - bar.n)
                    for name, value in values.items():
                        tensorboard.scalar(TAGS[name], value, step)

                found = train(workloads.get(run.panel), task, run.settings, on_point)
            yield [(run, *found)]

    def row(self, record):
        ends = {name: curve[-1][1] for name, curve in record.curves.items() if name != "penalty"}
        if record.results["diverged_at"] is not None:
            ends = dict.fromkeys(ends)
        losses = {"training loss": "training_loss", "validation loss": "validation_loss"}
        found = {name: ends.get(key) for name, key in losses.items()}
        return {**found, "test error": record.results.get("test_error")}

    def conclude(self, records, settings, work):
        found = comparison.measured(records)
        tables = checks.tables(records) | {networks_in_words.TITLE: networks_in_words.rates(found)}
        said = [LOSSES, *networks_in_words.paragraphs(found)]
        return experiment.Conclusion(checks.verdicts(records), tables, said=said)

    def draw(self, records, settings, path):
        from reproduce.workloads.figure import draw

        draw(self.title, records, path)


def main(arguments=None):
    """The command."""
    experiment.main(Networks(), arguments)


if __name__ == "__main__":
    main()
