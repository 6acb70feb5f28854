"""Robustness: on which data, and for which loss, does depth accelerate?

    python -m reproduce.robustness
    python -m reproduce.robustness --data-dir DIR      with two tasks more, where DIR has them

Iterations to the same loss at depth 1 and at depth 2 or 3 (and 4 on the full data), each at its own
best learning rate, that of the worst of the selection seeds. The arm `variants`: on the full data,
without its three high-leverage rows, with the logarithm of the concentration for a target, and on
scikit-learn's breast cancer data, for p = 2, 4, 6; and on versions of the full data of growing
condition number. The rate is that with the least final loss, and the loss one that both depths
reach. The arm `tasks`: on regression tasks of UCI's, beside these two, with rates between those of
the grid, to the same share of the loss at zero. Does depth help where the largest residuals are?
"""

from reproduce import experiment
from reproduce.speedups import conclusion, configuration, problems
from reproduce.speedups.measurement import measure

Config = configuration.Config


class Robustness(experiment.Experiment):
    """What this experiment differs in from others."""

    name = "robustness"
    title = "Robustness: on which data, and for which loss, does depth accelerate?"
    description = __doc__
    config_class = Config
    seeds = tuple(range(3, 23))
    tabulated = False
    arms = {"variants": "variants of the full data", "tasks": "other regression tasks"}
    default_arms = tuple(arms)
    data_dir = None

    def load(self, arguments):
        self.data_dir = arguments.data_dir
        return problems.full(arguments.data_dir)

    def plan(self, settings, arguments):
        return configuration.plan(settings, arguments.arms, arguments.seeds, arguments.data_dir)

    def everything(self, settings, arguments):
        return configuration.plan(settings, self.arms, list(self.seeds), arguments.data_dir)

    def task(self, run_settings, dataset):
        names = ("problem", "condition_number")
        return problems.task(*(run_settings[name] for name in names), dataset, self.data_dir)

    def minutes(self, runs, dataset):
        return sum(2 * run.settings["steps"] / 1e5 for run in runs)

    def train(self, runs, task, settings, work):
        for run in runs:
            yield [(run, *measure(run, task, work))]

    def row(self, record):
        return conclusion.row(record)

    def conclude(self, records, settings, work):
        return experiment.Conclusion(*conclusion.conclude(records))

    def draw(self, records, settings, path):
        conclusion.draw(self.title, records, path)


def main(arguments=None):
    """The command."""
    experiment.main(Robustness(), arguments)


if __name__ == "__main__":
    main()
