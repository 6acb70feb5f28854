"""TensorBoard's logs of a run."""

import contextlib
import re
import shutil

import tensorflow as tf

from reproduce.harness.errors import RecordsError


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
