"""Training the runs of Figure 5 (right): with a bar, logs, and what is kept of each."""

from reproduce import paper
from reproduce.claims.convnets import PANEL
from reproduce.harness import curves, files, tensorboard
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import rebuilt
from reproduce.mnist_convnet.configuration import TAGS, Training
from reproduce.mnist_convnet.training import train

PANELS = (PANEL, "cross_entropy", "l2_term")


def train_all(runs, task, settings, work):
    """Train each of the runs by itself, its per-iteration series left beside its log.

    Args and what is yielded are those of `experiment.Experiment.train`.
    """
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

            trained = train(training, task, on_progress, strategy=work.team.strategy)
            for name in ("validation_error", "test_error"):
                tensorboard.scalar(f"eval/{name}", getattr(trained, name), training.steps)
        series = dict(zip(PANELS, (trained.loss, trained.cross_entropy, trained.l2_term)))
        files.write_arrays(folder / "series.npz", series)
        yield [(run, _curves(series, settings), _results(trained, training))]


def _curves(series, settings):
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
