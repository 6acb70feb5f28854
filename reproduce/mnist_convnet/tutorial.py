"""TensorFlow 1's peculiarities: its momentum, and the random streams of the tutorial's log."""

import keras
import tensorflow as tf

from reproduce.mnist_convnet.configuration import TUTORIAL_GRAPH_SEED, TUTORIAL_SEED


class ClassicMomentum(keras.optimizers.Optimizer):
    """TensorFlow 1's momentum: `v <- momentum * v + g; w <- w - learning_rate * v`.

    Keras folds the learning rate into `v`, which differs wherever the rate changes.
    """

    def __init__(self, learning_rate, momentum, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocities[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
        )


class TutorialDropout(keras.layers.Layer):
    """Dropout with the masks of TensorFlow 1's op under the tutorial's seeds."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.generator = _tutorial_generator(TUTORIAL_SEED)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        keep = self.generator.uniform(tf.shape(inputs)) >= self.rate
        return tf.where(keep, inputs / (1 - self.rate), 0.0)


def set_tutorial_start(network, stddev):
    """Each kernel becomes the first draw of TensorFlow 1's `truncated_normal` op.

    All ops of the tutorial have one seed, so every kernel is a prefix of one random stream. New
    factors take the next seed: a 512 x 512 factor with the same one would repeat the first rows
    of the 3136 x 512 factor.
    """
    for layer in network.layers:
        kernels = getattr(layer, "factors", None) or [getattr(layer, "kernel", None)]
        for index, kernel in enumerate(kernels):
            if kernel is not None:
                generator = _tutorial_generator(TUTORIAL_SEED + index)
                kernel.assign(generator.truncated_normal(kernel.shape, stddev=stddev))


def _tutorial_generator(op_seed):
    # A Philox generator in the state that TensorFlow 1's stateful random ops start from.
    return tf.random.Generator.from_state([0, op_seed, TUTORIAL_GRAPH_SEED], alg="philox")
