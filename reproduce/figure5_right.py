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

import dataclasses

from reproduce import experiment
from reproduce.claims import convnets, figure5_right as claims
from reproduce.harness import curves
from reproduce.harness.errors import ConfigError, UsageError
from reproduce.harness.records import Run, rebuilt
from reproduce.mnist_convnet.configuration import TUTORIAL_SEED, Config, Training

PANEL = convnets.PANEL
STEP = "training step"
PANELS = (PANEL, "cross_entropy", "l2_term")
TAGS = ("train/loss", "train/cross_entropy", "train/l2_term")
ONE_MACHINE, MULTI_WORKER = "one-machine", "multi-worker"
SECONDS = 0.02, 0.03  # of a step on two cores: the original network, one of factors


def plan(settings, arms, seeds, tutorial_seeds=False):
    """The runs of `arms`: a list of `harness.records.Run`."""
    runs = []
    names = {field.name for field in dataclasses.fields(Training)}
    shared = {name: value for name, value in vars(settings).items() if name in names}
    shared |= {"network": "tutorial", "l2_on": "kernel", "tutorial_seeds": tutorial_seeds}
    shared |= {"factor_stddev": settings.stddev}

    def add(arm, series, depth, **changes):
        for seed in seeds:
            training = Training(**{**shared, "depth": depth, "seed": seed, **changes})
            runs.append(Run(series, seed, {**dataclasses.asdict(training), "arm": arm}))

    depths = {"original": 1, "overparameterized": settings.depth}
    alternative, second = settings.alternative, settings.second_network
    shorter = {"steps": min(alternative.steps, settings.steps)}
    for arm in arms:
        if arm in depths:
            add(arm, arm + " tutorial-seeds" * tutorial_seeds, depths[arm])
        elif arm in ("l2_on_first_factor", "l2_on_every_factor"):
            add(arm, arm, settings.depth, l2_on=arm.removeprefix("l2_on_"))
        elif arm == "alternative_stddevs":
            for stddev in alternative.factor_stddevs:
                series = f"overparameterized factor-std={stddev:g}"
                add(arm, series, settings.depth, factor_stddev=stddev, **shorter)
        for network, depth in depths.items():
            if arm == "no_l2":
                add(arm, f"no_l2 {network}", depth, l2=0.0)
            elif arm == "second_network":
                steps = min(second.steps, settings.steps)
                changes = {"network": "batch_normalized", "steps": steps, "l2": second.l2}
                add(arm, f"second_network {network}", depth, **changes)
            elif arm == "alternative_rates":
                for rate in alternative.learning_rates:
                    for stddev in alternative.stddevs:
                        changes = {"stddev": stddev, "factor_stddev": stddev, **shorter}
                        series = f"{network} lr={rate:g} std={stddev:g}"
                        add(arm, series, depth, learning_rate=rate, **changes)
    return runs


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
    default_arms = ("original", "overparameterized")
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
        if arguments.tutorial_seeds and not set(arguments.arms) <= set(self.default_arms):
            arms = ", ".join(self.default_arms)
            raise UsageError(f"--tutorial-seeds is for the arms {arms} only.")
        if arguments.tutorial_seeds and arguments.strategy != ONE_MACHINE:
            raise UsageError("--tutorial-seeds is for --strategy one-machine only.")

    def team(self, arguments, settings):
        if arguments.strategy == ONE_MACHINE:
            return super().team(arguments, settings)
        from reproduce.mnist_convnet import replicas

        return replicas.joined(settings.batch_size)

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
        """Each run by itself, with its logs and per-iteration series left beside its record."""
        from reproduce import mnist_convnet
        from reproduce.harness import files, tensorboard

        if settings.batch_size >= 0.9 * len(task.train_images):
            raise ConfigError("`batch_size` must be smaller than the training set.")
        tensorboard.paper_logs(work.logs, PANEL, TAGS[0])
        tensorboard.metrics(work.logs, ("eval/validation_error", "eval/test_error"))
        for run in runs:
            training = rebuilt(Training, run.settings)
            bar = work.bar(run.title, training.steps)
            with tensorboard.run_log(work.logs, run, run.settings) as folder, bar:

                def on_progress(steps_done, losses):
                    bar.set_postfix(loss=f"{losses[-1, 0]:.4g}", refresh=False)
                    bar.update(len(losses))
                    if steps_done == training.steps:
                        bar.set_description(f"{run.title}: errors on held-out images")
                    for tag, values in zip(TAGS, losses.T):
                        tensorboard.scalar(tag, values.mean(), steps_done)

                trained = mnist_convnet.train(
                    training, task, on_progress, strategy=work.team.strategy
                )
                for name in ("validation_error", "test_error"):
                    tensorboard.scalar(f"eval/{name}", getattr(trained, name), training.steps)
            series = dict(zip(PANELS, (trained.loss, trained.cross_entropy, trained.l2_term)))
            files.write_arrays(folder / "series.npz", series)
            yield [(run, _curves(series, settings), _results(trained, training))]

    def row(self, record):
        ends = [curve[-1][1] if curve else None for curve in record.curves.values()]
        kinds = ("validation", "test")
        errors = {f"{kind} error": record.results[f"{kind}_error"] for kind in kinds}
        return {**dict(zip(("loss", "cross-entropy", "L2 term"), ends)), **errors}

    def conclude(self, records, settings, work):
        return experiment.Conclusion(
            claims.verdicts(records),
            {
                "Runs (medians over the seeds)": convnets.runs_table(records),
                "Alternative settings (loss after so many iterations)": convnets.alternative_table(
                    records
                ),
            },
            convnets.distances(records),
        )

    def draw(self, records, settings, path):
        """The paper's figure, then what it is made of, then what the penalty acts on; a picture."""
        from reproduce.paper import plots

        last = max((record.curves[PANEL][-1][0] for record in records), default=settings.steps)
        blue, red, *others = plots.COLOURS
        colours = dict(zip(self.default_arms, (blue, red)))

        def draw_loss(axes):
            for series, colour in colours.items():
                plots.draw_runs(axes, records, PANEL, series, series, colour)
                plots.draw_paper(axes, PANEL, series, colour)
            label = "batch loss (median of 25)"
            plots.finish_axes(axes, "Batch loss, ours and the paper's", STEP, label, last=last)

        figure, (top, left, right) = plots.new_figure(3, self.title)
        draw_loss(top)
        for series, colour in colours.items():
            for panel, style in (("cross_entropy", "-"), ("l2_term", "--")):
                label = f"{series}: {panel.replace('_', ' ').replace('l2', 'L2')}"
                plots.draw_runs(left, records, panel, series, label, colour, style)
            plots.draw_runs(right, records, PANEL, series, series, colour)
            no_l2 = f"no_l2 {series}"
            plots.draw_runs(right, records, PANEL, no_l2, f"no L2, {series}", colour, ":")
        for series, colour in zip(("l2_on_first_factor", "l2_on_every_factor"), others):
            label = series.replace("_", " ").replace("l2", "L2")
            plots.draw_runs(right, records, PANEL, series, label, colour)
        plots.finish_axes(left, "Its two parts", STEP, "cross-entropy, L2 term", last=last)
        plots.finish_axes(right, "Loss, by what the L2 term acts on", STEP, "loss", last=last)
        plots.save(figure, path)
        hero, (axes,) = plots.new_figure(1, "MNIST ConvNet: depth without expressiveness", 8.0)
        draw_loss(axes)
        plots.save(hero, path, "hero", ["png"])


def _curves(series, settings):
    from reproduce import paper

    at = paper.iterations(PANEL)
    return {
        panel: curves.smoothed(values, settings.half_window, at) for panel, values in series.items()
    }


def _results(trained, training):
    return {
        "parameters": trained.parameters,
        "validation_error": curves.rounded(trained.validation_error),
        "test_error": curves.rounded(trained.test_error),
        "minibatch_loss_log": [[step, curves.rounded(loss)] for step, loss in trained.log],
        "cross_entropy_per_epoch": curves.epoch_means(
            trained.cross_entropy, training.decay_examples / training.batch_size
        ),
        "diverged_at": curves.first_not_finite(trained.loss),
    }


def main(arguments=None):
    """The command."""
    experiment.main(Figure(), arguments)


if __name__ == "__main__":
    main()
