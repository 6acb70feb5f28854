"""Figure 5 (right): TensorFlow's MNIST tutorial ConvNet, as it was and overparameterized.

    python -m reproduce.figure5_right                      one seed of each, the paper's figure
    python -m reproduce.figure5_right --seeds 0 1 2 3 4    median and band
    python -m reproduce.figure5_right --arms no_l2 l2_on_first_factor l2_on_every_factor
    python -m reproduce.figure5_right --tutorial-seeds     the tutorial's published log
    python -m reproduce.figure5_right --strategy multi-worker     on each of several machines

Every dense kernel W of the tutorial's network is replaced by a product of two matrices, and
nothing else is changed. The arms differ in what the tutorial's L2 penalty then acts on:

    original              the tutorial's network
    overparameterized     L2 on the product: what the paper's figure shows
    l2_on_first_factor    L2 on the matrix that the tutorial's code calls the weights
    l2_on_every_factor    L2 on both matrices
    no_l2                 both networks without L2
    alternative_rates     both networks over learning rates and initial standard deviations
    alternative_stddevs   initial standard deviations of the factors alone
    second_network        both versions of a small network with batch normalization, no L2
"""

from reproduce.harness import cli

cli.quiet_tensorflow()

import dataclasses  # noqa: E402
import io  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorboard.plugins.hparams import api as hparams  # noqa: E402

from reproduce import data, paper, report  # noqa: E402
from reproduce.harness import config, curves, records, tensorboard as logs  # noqa: E402
from reproduce.harness.errors import ConfigError, UsageError  # noqa: E402
from reproduce.mnist_convnet import replicas as workers, training as mnist_convnet  # noqa: E402
from reproduce.paper import plots  # noqa: E402
from reproduce.claims import figure5_right as claims  # noqa: E402
from reproduce.claims import format_table, only_comparable  # noqa: E402
from reproduce.harness.device import device  # noqa: E402

FIGURE = "figure5_right"
PANEL = claims.PANEL
TITLE = "Figure 5 (right): TensorFlow's MNIST tutorial ConvNet, overparameterized"
DEPTHS = {"original": 1, "overparameterized": 2}
ARMS = (
    "original",
    "overparameterized",
    "l2_on_first_factor",
    "l2_on_every_factor",
    "no_l2",
    "alternative_rates",
    "alternative_stddevs",
    "second_network",
)


@dataclasses.dataclass(frozen=True)
class Alternative:
    steps: int
    learning_rates: list[float]
    stddevs: list[float]
    factor_stddevs: list[float]


@dataclasses.dataclass(frozen=True)
class SecondNetwork:
    steps: int
    l2: float


@dataclasses.dataclass(frozen=True)
class Config:
    """The knobs of this figure; configs/figure5_right.yaml explains each."""

    steps: int
    batch_size: int
    validation_size: int
    learning_rate: float
    decay_rate: float
    decay_examples: int
    momentum: float
    stddev: float
    dropout: float
    l2: float
    half_window: int
    alternative: Alternative
    second_network: SecondNetwork
    smoke_steps: int

    def __post_init__(self):
        config.check_positive(self, ("steps", "batch_size", "validation_size", "decay_examples"))
        config.check_positive(self, ("learning_rate", "decay_rate", "stddev", "smoke_steps"))
        config.check_positive(self.alternative, ("steps", "learning_rates", "stddevs"))
        config.check_positive(self.second_network, ("steps",))
        config.check_positive(self.alternative, ("factor_stddevs",))
        for name in ("dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"`{name}` must lie in [0, 1). Received: {getattr(self, name)}"
                )
        for name, value in (("half_window", self.half_window), ("l2", self.l2)):
            if value < 0:
                raise ConfigError(f"`{name}` must not be negative. Received: {value}")


def plan(settings, arms, seeds, tutorial_seeds=False):
    """The runs of `arms`: a dict from series and seed to `mnist_convnet.Training`."""
    runs = {}

    def add(series, depth, **changes):
        for seed in seeds:
            training = mnist_convnet.Training(
                network="tutorial",
                depth=depth,
                seed=seed,
                tutorial_seeds=tutorial_seeds,
                steps=settings.steps,
                batch_size=settings.batch_size,
                validation_size=settings.validation_size,
                learning_rate=settings.learning_rate,
                decay_rate=settings.decay_rate,
                decay_examples=settings.decay_examples,
                momentum=settings.momentum,
                stddev=settings.stddev,
                factor_stddev=settings.stddev,
                dropout=settings.dropout,
                l2=settings.l2,
                l2_on="kernel",
            )
            runs[series, seed] = dataclasses.replace(training, **changes)

    alternative, second = settings.alternative, settings.second_network
    alternative_steps = min(alternative.steps, settings.steps)
    for arm in arms:
        if arm in DEPTHS:
            add(arm + " tutorial-seeds" * tutorial_seeds, DEPTHS[arm])
        elif arm.startswith("l2_on_"):
            add(arm, 2, l2_on=arm.removeprefix("l2_on_"))
        elif arm == "no_l2":
            for network, depth in DEPTHS.items():
                add(f"no_l2 {network}", depth, l2=0.0)
        elif arm == "alternative_rates":
            for network, depth in DEPTHS.items():
                for rate in alternative.learning_rates:
                    for stddev in alternative.stddevs:
                        add(
                            f"{network} lr={rate:g} std={stddev:g}",
                            depth,
                            steps=alternative_steps,
                            learning_rate=rate,
                            stddev=stddev,
                            factor_stddev=stddev,
                        )
        elif arm == "alternative_stddevs":
            for stddev in alternative.factor_stddevs:
                add(
                    f"overparameterized factor-std={stddev:g}",
                    2,
                    steps=alternative_steps,
                    factor_stddev=stddev,
                )
        elif arm == "second_network":
            for network, depth in DEPTHS.items():
                add(
                    f"second_network {network}",
                    depth,
                    network="batch_normalized",
                    steps=min(second.steps, settings.steps),
                    l2=second.l2,
                )
    return runs


def run(series, training, dataset, settings, arguments, team):
    """Train one network: its record, with its logs and per-iteration series left in `runs/`."""
    log_dir = cli.log_root(arguments, FIGURE, dataset) / records.slug(series)
    log_dir /= f"seed-{training.seed}"
    identity = config.digest(dataclasses.asdict(training))
    bar = cli.progress_bar(arguments, f"{series}, seed {training.seed}", training.steps)
    started = time.time()
    with logs.written_to(log_dir), bar:
        hparams.hparams(_hyperparameters(training), trial_id=identity[:16])

        def on_progress(steps_done, losses):
            bar.set_postfix(loss=f"{losses[-1, 0]:.4g}", refresh=False)
            bar.update(len(losses))
            for name, value in zip(("loss", "cross_entropy", "l2_term"), np.mean(losses, axis=0)):
                tf.summary.scalar(name, value, step=steps_done)

        trained = mnist_convnet.train(training, dataset, on_progress, strategy=team.strategy)
        for name in ("validation_error", "test_error"):
            tf.summary.scalar(name, getattr(trained, name), step=training.steps)
    series_by_panel = {
        PANEL: trained.loss,
        "cross_entropy": trained.cross_entropy,
        "l2_term": trained.l2_term,
    }
    full = io.BytesIO()
    np.savez_compressed(full, **series_by_panel)
    records.write_atomically(log_dir / "series.npz", full.getvalue())
    return records.Record(
        series=series,
        seed=training.seed,
        learning_rate=training.learning_rate,
        settings=dataclasses.asdict(training),
        curves={
            panel: curves.smoothed(values, settings.half_window, paper.iterations(PANEL))
            for panel, values in series_by_panel.items()
        },
        results={
            "parameters": trained.parameters,
            "validation_error": curves.rounded(trained.validation_error),
            "test_error": curves.rounded(trained.test_error),
            "minibatch_loss_log": [[step, curves.rounded(loss)] for step, loss in trained.log],
            "cross_entropy_per_epoch": curves.epoch_means(
                trained.cross_entropy, training.decay_examples / training.batch_size
            ),
            "diverged_at": curves.first_not_finite(trained.loss),
        },
        provenance={
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 1),
            "settings_digest": identity,
            **team.provenance(),
            **records.provenance(device(), dataset),
        },
    )


def _hyperparameters(training):
    names = ("network", "depth", "seed", "learning_rate", "stddev", "factor_stddev", "l2", "l2_on")
    return {name: getattr(training, name) for name in names}


def main(arguments=None):
    """Train what is asked for and missing; then judge, draw and print."""
    parser = cli.parser(FIGURE, __doc__, ARMS, default_arms=("original", "overparameterized"))
    parser.add_argument(
        "--tutorial-seeds",
        action="store_true",
        help="initial values and dropout masks of the tutorial's published log "
        "(arms original and overparameterized)",
    )
    parser.add_argument(
        "--strategy",
        choices=workers.STRATEGIES,
        default="one-machine",
        help="multi-worker: start the command on several machines, each with its TF_CONFIG; they "
        "share every batch (default: one-machine)",
    )
    arguments = parser.parse_args(arguments)
    with cli.reported_errors():
        if arguments.tutorial_seeds and not set(arguments.arms) <= set(DEPTHS):
            raise UsageError(f"--tutorial-seeds is for the arms {', '.join(DEPTHS)} only.")
        if arguments.tutorial_seeds and arguments.strategy != "one-machine":
            raise UsageError("--tutorial-seeds is for --strategy one-machine only.")
        settings = cli.load_config(arguments, Config)
        team = workers.start(arguments.strategy, settings.batch_size)
        with workers.reported_failures(team):
            train_and_conclude(arguments, settings, team)


def train_and_conclude(arguments, settings, team):
    """What `main` does once the command line has been understood, on each worker of `team`."""
    dataset = data.load_mnist(arguments.data_dir, arguments.data)
    print(dataset.description, flush=True)
    if settings.batch_size >= 0.9 * len(dataset.train_images):
        raise ConfigError("`batch_size` must be smaller than the training set.")
    seeds = [mnist_convnet.TUTORIAL_SEED] if arguments.tutorial_seeds else arguments.seeds
    runs = plan(settings, arguments.arms, seeds, arguments.tutorial_seeds)
    runs = cli.shard(arguments, runs)
    missing = []
    if team.is_chief:
        folder = cli.results_folder(arguments, FIGURE, dataset, settings)
        cli.check_data(folder, dataset)
        missing = [key for key in runs if not folder.has(*key, dataclasses.asdict(runs[key]))]
    if team.number > 1:
        missing = team.chosen_by_chief(runs, missing, dataset)
    for number, (series, seed) in enumerate(missing, start=1):
        training = runs[series, seed]
        if not arguments.quiet:
            print(f"[{number}/{len(missing)}] {series}, seed {seed}", flush=True)
        if not team.is_chief:
            mnist_convnet.train(training, dataset, strategy=team.strategy)
            continue
        with folder.reserved([records.run_name(series, seed)]):
            # Another process may have done it while this one waited; but a team has set out.
            if team.number > 1 or not folder.has(series, seed, dataclasses.asdict(training)):
                folder.save(run(series, training, dataset, settings, arguments, team))
    if team.is_chief:
        with folder.concluding():
            verdicts = conclude(folder, dataset, settings)
        print(format_table(verdicts))
        print(f"\nFigure: {folder.path / 'figure.png'}")
        print(f"TensorBoard: tensorboard --logdir {cli.log_root(arguments, FIGURE, dataset)}")
    if team.number > 1:
        team.wait_for_all()


def conclude(folder, dataset, settings):
    """Curves, verdicts, figure and summary from all records of the folder."""
    finished = folder.records()
    verdicts = only_comparable(claims.verdicts(finished), dataset.source)
    folder.write_curves(finished)
    draw(finished, dataset, folder.path)
    folder.write_summary(
        report.summary(
            figure=FIGURE,
            title=TITLE,
            command=f"python -m reproduce.{FIGURE}",
            dataset=dataset,
            config_digest=config.digest(config.as_dict(settings)),
            records=finished,
            verdicts=verdicts,
            distances=claims.distances(finished),
            tables={
                "Runs (medians over the seeds)": claims.runs_table(finished),
                "Alternative settings (loss after so many iterations)": claims.alternative_table(
                    finished
                ),
            },
        )
    )
    return verdicts


def draw(finished, dataset, folder):
    """The paper's figure, then what it is made of, then what the penalty acts on."""
    title = TITLE if dataset.source == "real" else f"{TITLE}\n{dataset.description}"
    figure, (left, middle, right) = plots.new_figure(3, title)
    blue, red, *others = plots.COLOURS
    for series, colour in zip(DEPTHS, (blue, red)):
        plots.draw_runs(left, finished, PANEL, series, series, colour)
        plots.draw_paper(left, PANEL, series, colour)
        for panel, style in (("cross_entropy", "-"), ("l2_term", "--")):
            label = f"{series}: {panel.replace('_', ' ').replace('l2', 'L2')}"
            plots.draw_runs(middle, finished, panel, series, label, colour, style)
        plots.draw_runs(right, finished, PANEL, series, series, colour)
    for series, colour in zip(("l2_on_first_factor", "l2_on_every_factor"), others):
        plots.draw_runs(right, finished, PANEL, series, series.replace("_", " "), colour)
    for network, colour in zip(DEPTHS, (blue, red)):
        series = f"no_l2 {network}"
        plots.draw_runs(right, finished, PANEL, series, f"no L2, {network}", colour, ":")
    plots.finish_axes(left, "Batch loss", "iteration", "loss (median of 25 iterations)")
    plots.finish_axes(middle, "What it is made of", "iteration", "cross-entropy, L2 term")
    plots.finish_axes(right, "What the L2 term acts on", "iteration", "loss")
    plots.save(figure, folder)


if __name__ == "__main__":
    main()
