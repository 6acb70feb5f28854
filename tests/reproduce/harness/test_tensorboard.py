"""TensorBoard's logs of a run."""

import pytest
import tensorflow as tf

from reproduce.harness import tensorboard as logs
from reproduce.harness.errors import RecordsError


def test_the_folder_holds_one_log_and_nothing_of_an_interrupted_start(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        with logs.written_to(folder):
            tf.summary.scalar("loss", 1.0, step=0)
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecordsError, match="Cannot write the logs in .*file/run: .*file"):
        with logs.written_to(tmp_path / "file" / "run"):
            tf.summary.scalar("loss", 1.0, step=0)
    assert (tmp_path / "file").read_text() == "mine"


def test_errors_of_what_is_logged_are_its_own(tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError), logs.written_to(tmp_path / "run"):
        tf.raw_ops.MatMul(a=tf.zeros((2, 3)), b=tf.zeros((2, 3)))
