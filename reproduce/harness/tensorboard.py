"""TensorBoard's logs of a run."""

import contextlib
import pathlib
import re
import shutil

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from reproduce import paper
from reproduce.harness.errors import RecordsError
from reproduce.harness.records import slug

DESCRIPTIONS = {
    "train/loss": "Loss of the minibatch before its update, regularization included.",
    "train/cross_entropy": "Cross-entropy of the minibatch before its update.",
    "train/l2_term": "L2 penalty before the update; what it acts on depends on the arm.",
    "train/penalty": "Regularization: the part of the loss that does not come from the data.",
    "eval/validation_loss": "Loss on held-out examples, without the penalty.",
    "eval/validation_error": "Error on the held-out training images after the last step, per cent.",
    "eval/test_error": "Error on the test images after the last step, per cent.",
}


@contextlib.contextmanager
def run_log(logs, run, hyperparameters, apart=False):
    """The log of a run, which is a trial of the HParams dashboard, too; its folder.

    Args:
        logs: The folder of all logs of the experiment.
        run: A `harness.records.Run`.
        hyperparameters: Dict of plain values that tell the trials apart.
        apart: Whether the same series is in several panels, each with logs of its own.
    """
    name = pathlib.Path(*([run.panel] if apart else []), slug(run.series), f"seed-{run.seed}")
    with written_to(logs / name):
        hparams.hparams(hyperparameters, trial_id=str(name))
        yield logs / name


def scalar(tag, value, step):
    """Log a number, in the body of `run_log`."""
    description = DESCRIPTIONS.get(tag, "Loss minus its smallest value, at a panel's iterations.")
    tf.summary.scalar(tag, value, step=step, description=description)


def paper_logs(logs, panel, tag):
    """The paper's own curves of a panel, each as a run, under the tag that ours have."""
    for series in paper.series(panel):
        curve = paper.curve(panel, series)
        with written_to(logs / "paper" / panel / slug(series)):
            for iteration, value in zip(curve.iteration, curve["median"]):
                scalar(tag, value, int(iteration))


def metrics(logs, tags):
    """Which scalars the HParams dashboard shows of each trial."""
    with written_to(logs / "trials"):
        hparams.hparams_config([], [hparams.Metric(tag) for tag in tags])


@contextlib.contextmanager
def written_to(folder):
    """What `tf.summary` is given in the body goes to `folder`, emptied of an interrupted start's.

    Raises:
        RecordsError: If it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with tf.summary.create_file_writer(str(folder)).as_default():
            yield
    except tf.errors.OpError as error:
        if "Summary" not in str(error):  # the operation's name: not one of the body's own
            raise
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", str(error).splitlines()[0])
        raise RecordsError(
            f"Cannot write the logs in {folder}: {reason}. What is finished is kept: give the "
            "folder room and the permission to write, and start again."
        ) from error
