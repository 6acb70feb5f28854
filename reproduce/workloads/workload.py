"""A workload: a network, its data, and the loss that is minimized."""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

EVALUATED_AT_ONCE = 500  # examples


class Examples(NamedTuple):
    """Inputs and targets, tensors with a row for each example."""

    inputs: tf.Tensor
    targets: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Workload:
    """A classifier of images, of which the others differ in what they override.

    Attributes:
        load: From a folder of data, or None, to a data set of `reproduce.data`.
        network: Makes the plain network, built, from Keras's global random seed.
    """

    load: Callable
    network: Callable[[], keras.Model]

    def split(self, dataset, validation_size):
        """The `Examples` of training, and those by name that are only evaluated.

        The first of the training images are held out, as in the tutorial.
        """
        inputs, labels = scaled(dataset.train_images), dataset.train_labels
        test = Examples(scaled(dataset.test_images), tf.constant(dataset.test_labels))
        held_out = Examples(inputs[:validation_size], tf.constant(labels[:validation_size]))
        training = Examples(inputs[validation_size:], tf.constant(labels[validation_size:]))
        return training, {"validation": held_out, "test": test}

    def order(self, training, steps, batch_size, random):
        """The rows of each batch, (steps, batch_size): every epoch in an order of its own."""
        count = len(training.inputs)
        epochs = -(-steps * batch_size // count)
        rows = np.concatenate([random.permutation(count) for _ in range(epochs)])
        return rows[: steps * batch_size].reshape(steps, batch_size)

    def batch(self, training, rows):
        """Inputs and targets of one row of `order`."""
        return tf.gather(training.inputs, rows), tf.gather(training.targets, rows)

    def loss(self, outputs, targets):
        """Mean over a batch, a scalar."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=outputs)
        return tf.reduce_mean(losses)

    def error(self, outputs, targets):
        """Per cent of wrong answers in a batch, a scalar."""
        wrong = tf.argmax(outputs, axis=-1, output_type=targets.dtype) != targets
        return 100 * tf.reduce_mean(tf.cast(wrong, "float32"))


def scaled(images):
    """Pixels 0 ... 255 as the tutorial scales them, to [-0.5, 0.5]: a tensor of float32."""
    return tf.constant((images.astype("float32") - 127.5) / 255)


@functools.lru_cache(maxsize=1)
def split(workload: Workload, dataset: Any, validation_size: int):
    """See `Workload.split`: once for all runs, for TensorFlow frees constants after none."""
    return workload.split(dataset, validation_size)
