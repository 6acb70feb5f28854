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

import numpy as np

from reproduce import experiment
from reproduce.claims import kurtosis, robustness as checks
from reproduce.harness import cli
from reproduce.speedups import configuration, plots, problems
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
        from reproduce import data

        self.data_dir = arguments.data_dir
        return data.load_ethanol(arguments.data_dir)

    def plan(self, settings, arguments):
        variants = configuration.of_variants(settings, arguments.seeds)
        tasks = configuration.of_tasks(settings, arguments.seeds, arguments.data_dir)
        asked = {"variants": variants, "tasks": tasks}
        return [run for arm in asked for run in asked[arm] if arm in arguments.arms]

    def everything(self, settings, arguments):
        whole = cli.with_values(arguments, arms=list(self.arms), seeds=list(self.seeds))
        return self.plan(settings, whole)

    def task(self, run_settings, dataset):
        names = ("problem", "condition_number")
        return problems.task(*(run_settings[name] for name in names), dataset, self.data_dir)

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
        variants, tasks = _by_arm(records)
        return experiment.Conclusion(
            [*checks.verdicts(variants), *kurtosis.verdicts(tasks)],
            {title: checks.table(variants), **kurtosis.tables(tasks)},
        )

    def draw(self, records, settings, path):
        plots.draw(self.title, *_by_arm(records), path)


def _by_arm(records):
    """Those of the variants, and those of the tasks."""
    arms: tuple[list, list] = [], []
    for record in records:
        arms["level" in record.settings].append(record)
    return arms


def main(arguments=None):
    """The command."""
    experiment.main(Robustness(), arguments)


if __name__ == "__main__":
    main()
