"""Figure 5 (right): TensorFlow's MNIST tutorial ConvNet, as it was and overparameterized.

    python -m reproduce.figure5_right                      one seed of each, the paper's figure
    python -m reproduce.figure5_right --seeds 0 1 2 3 4    median and band
    python -m reproduce.figure5_right --arms no_l2 l2_on_first_factor l2_on_every_factor
    python -m reproduce.figure5_right --tutorial-seeds     the tutorial's published log
    python -m reproduce.figure5_right --strategy multi-worker     on each of several machines

Every dense kernel W of the tutorial's network is replaced by a product of two matrices, and
nothing else is changed. The arms differ in what the tutorial's L2 penalty then acts on, and in what
else is varied.
"""

from reproduce import experiment
from reproduce.claims.figure5_right import PANEL, distances, tables, verdicts
from reproduce.harness.errors import UsageError
from reproduce.mnist_convnet import NETWORKS, TAGS, TUTORIAL_SEED, Config, plan
from reproduce.paper import plots

ONE_MACHINE, MULTI_WORKER = "one-machine", "multi-worker"
STEP = "training step"
SECONDS = 0.02, 0.03  # of a step on two cores: the original network, one of factors


class Figure(experiment.Experiment):
    """What this figure differs in from other experiments."""

    name = "figure5_right"
    title = "Figure 5 (right): TensorFlow's MNIST tutorial ConvNet, overparameterized"
    description = __doc__
    config_class = Config
    arms = {
        "original": "the tutorial's network",
        "overparameterized": "L2 on the product: what the paper's figure shows",
        "l2_on_first_factor": "L2 on the matrix that the tutorial's code calls the weights",
        "l2_on_every_factor": "L2 on both matrices",
        "no_l2": "both networks without L2",
        "alternative_rates": "both networks over learning rates and initial standard deviations",
        "alternative_stddevs": "initial standard deviations of the factors alone",
        "second_network": "both versions of a small network with batch normalization, no L2",
    }
    default_arms = NETWORKS
    pinned = TAGS

    def add_options(self, parser):
        parser.add_argument(
            "--tutorial-seeds",
            action="store_true",
            help="initial values and dropout masks of the tutorial's published log "
            "(arms original and overparameterized)",
        )
        parser.add_argument(
            "--strategy",
            choices=(ONE_MACHINE, MULTI_WORKER),
            default=ONE_MACHINE,
            help="multi-worker: start the command on several machines, each with its TF_CONFIG; "
            "they share every batch (default: one-machine)",
        )

    def check(self, arguments, settings):
        if arguments.tutorial_seeds and not set(arguments.arms) <= set(NETWORKS):
            raise UsageError(f"--tutorial-seeds is for the arms {', '.join(NETWORKS)} only.")
        if arguments.tutorial_seeds and arguments.strategy != ONE_MACHINE:
            raise UsageError("--tutorial-seeds is for --strategy one-machine only.")

    def team(self, arguments, settings):
        if arguments.strategy == ONE_MACHINE:
            return super().team(arguments, settings)
        from reproduce.mnist_convnet import joined

        return joined(settings.batch_size)

    def load(self, arguments):
        from reproduce import data

        return data.load_mnist(arguments.data_dir)

    def plan(self, settings, arguments):
        seeds = [TUTORIAL_SEED] if arguments.tutorial_seeds else arguments.seeds
        return plan(settings, arguments.arms, seeds, arguments.tutorial_seeds)

    def everything(self, settings, arguments):
        all_seeds = super().everything(settings, arguments)
        log = plan(settings, self.default_arms, [TUTORIAL_SEED], tutorial_seeds=True)
        return [*all_seeds, *log]

    def minutes(self, runs, dataset):
        return sum(r.settings["steps"] * SECONDS[r.settings["depth"] > 1] for r in runs) / 60

    def train(self, runs, task, settings, work):
        from reproduce.mnist_convnet import train_all

        yield from train_all(runs, task, settings, work)

    def row(self, record):
        ends = [curve[-1][1] if curve else None for curve in record.curves.values()]
        kinds = ("validation", "test")
        errors = {f"{kind} error": record.results[f"{kind}_error"] for kind in kinds}
        return {**dict(zip(("loss", "cross-entropy", "L2 term"), ends)), **errors}

    def conclude(self, records, settings, work):
        return experiment.Conclusion(verdicts(records), tables(records), distances(records))

    def draw(self, records, settings, path):
        """The paper's figure, then what it is made of, then what the penalty acts on; a picture."""
        last = max((record.curves[PANEL][-1][0] for record in records), default=settings.steps)
        blue, red, *others = plots.COLORS
        colors = dict(zip(NETWORKS, (blue, red)))

        def draw_loss(axes):
            for series, color in colors.items():
                plots.draw_runs(axes, records, PANEL, series, series, color)
                plots.draw_paper(axes, PANEL, series, color)
            label = "batch loss (median of 25)"
            plots.finish_axes(axes, "Batch loss, ours and the paper's", STEP, label, last=last)

        figure, (top, left, right) = plots.new_figure(3, self.title)
        draw_loss(top)
        for series, color in colors.items():
            for panel, style in (("cross_entropy", "-"), ("l2_term", "--")):
                label = f"{series}: {panel.replace('_', ' ').replace('l2', 'L2')}"
                plots.draw_runs(left, records, panel, series, label, color, style)
            plots.draw_runs(right, records, PANEL, series, series, color)
            no_l2 = f"no_l2 {series}"
            plots.draw_runs(right, records, PANEL, no_l2, f"no L2, {series}", color, ":")
        for series, color in zip(("l2_on_first_factor", "l2_on_every_factor"), others):
            label = series.replace("_", " ").replace("l2", "L2")
            plots.draw_runs(right, records, PANEL, series, label, color)
        plots.finish_axes(left, "Its two parts", STEP, "cross-entropy, L2 term", last=last)
        plots.finish_axes(right, "Loss, by what the L2 term acts on", STEP, "loss", last=last)
        plots.save(figure, path)
        hero, (axes,) = plots.new_figure(1, "MNIST ConvNet: depth without expressiveness", 8.0)
        draw_loss(axes)
        plots.save(hero, path, "hero", ["png"])


def main(arguments=None):
    """The command."""
    experiment.main(Figure(), arguments)


if __name__ == "__main__":
    main()
