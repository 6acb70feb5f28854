"""The MNIST tutorial's ConvNet, and a second one, of plain or factorized dense layers.

The network is that of TensorFlow's `models/tutorials/image/mnist/convolutional.py`, built from
`FactorizedDense`: with `depth=1` it is the tutorial's own, with `depth=2` the overparameterized
one, whose dense kernels are products of two matrices. What the L2 penalty acts on is a choice
(`l2_on`) that decides the outcome.

The tutorial's published log has random streams of TensorFlow 1. Where the devices of a strategy
share a batch, layers compute what they would on one device; each replica has consecutive rows of
the batch, in the replicas' order and the same number each.
"""

import keras
import tensorflow as tf

from reproduce.mnist_convnet.configuration import TUTORIAL_GRAPH_SEED, TUTORIAL_SEED
from tfoverparam import FactorizedDense
from tfoverparam.initializers import derive_seed


def build_network(training):
    """The untrained network, a `keras.Sequential` from (batch, 28, 28, 1) to 10 logits."""
    conv1, conv2, fc1, fc2, dropout = (derive_seed(training.seed, index) for index in range(5))
    if training.network == "tutorial":
        layers = [
            *_convolution(training, 32, 5, conv1, bias_initializer="zeros", activation="relu"),
            *_convolution(training, 64, 5, conv2, bias_initializer=_bias(), activation="relu"),
            keras.layers.Flatten(),
            _dense(training, 512, fc1, activation="relu"),
            _several_replicas(keras.layers.Dropout, SplitDropout)(training.dropout, seed=dropout),
            _dense(training, 10, fc2),
        ]
    else:
        layers = [
            *_convolution(training, 16, 3, conv1, use_bias=False, batch_norm=True),
            *_convolution(training, 32, 3, conv2, use_bias=False, batch_norm=True),
            keras.layers.Flatten(),
            _dense(training, 128, fc1, activation="relu"),
            _dense(training, 10, fc2),
        ]
    if training.tutorial_seeds:
        layers[-2] = TutorialDropout(training.dropout)
    network = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    if training.tutorial_seeds:
        set_tutorial_start(network, training.stddev)
    if training.l2 and training.l2_on == "first_factor":
        for layer in network.layers:
            if isinstance(layer, FactorizedDense):
                layer.factors[0].regularizer = keras.regularizers.L2(training.l2 / 2)
    return network


def _convolution(training, filters, kernel_size, seed, batch_norm=False, **arguments):
    yield keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=training.stddev, seed=seed),
        **arguments,
    )
    if batch_norm:
        yield _several_replicas(keras.layers.BatchNormalization, SplitBatchNormalization)()
        yield keras.layers.ReLU()
    yield keras.layers.MaxPooling2D(2, padding="same")


def _dense(training, units, seed, activation=None):
    penalty = keras.regularizers.L2(training.l2 / 2) if training.l2 else None
    return FactorizedDense(
        units,
        depth=training.depth,
        activation=activation,
        factor_initializer=keras.initializers.TruncatedNormal(
            stddev=training.factor_stddev, seed=seed
        ),
        bias_initializer=_bias(),
        kernel_regularizer=penalty if training.l2_on == "kernel" else None,
        factor_regularizer=penalty if training.l2_on == "every_factor" else None,
        bias_regularizer=penalty,
    )


def _several_replicas(layer, split_layer):
    """`split_layer` where the devices of a strategy share each batch, else Keras's own."""
    return split_layer if tf.distribute.get_strategy().num_replicas_in_sync > 1 else layer


def _bias():
    return keras.initializers.Constant(0.1)


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


class SplitDropout(keras.layers.Layer):
    """Dropout: each replica draws the mask of the whole batch, and uses its own rows of it."""

    def __init__(self, rate, seed):
        super().__init__()
        self.rate = rate
        self.seed = seed
        # No weight of the network, and not Keras's generator, whose state no replica may assign.
        self.draws = tf.Variable(
            0,
            dtype="int64",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        context = tf.distribute.get_replica_context()
        rows = tf.shape(inputs)[0]
        whole = tf.ones((rows * context.num_replicas_in_sync, inputs.shape[1]), inputs.dtype)
        # The seeds of `keras.random.SeedGenerator(seed)`, one after the other.
        seed = tf.stack([tf.constant(self.seed, "int64"), self.draws.read_value()])
        seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), "int32")
        mask = tf.nn.experimental.stateless_dropout(whole, self.rate, seed)
        self.draws.assign_add(1)
        first = context.replica_id_in_sync_group * rows
        own = mask[first : first + rows]
        return tf.where(own > 0, inputs * own, 0.0)


class SplitBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by the moments of the whole batch."""

    def __init__(self):
        super().__init__(synchronized=True)

    def add_weight(self, *args, trainable=True, **kwargs):
        # All replicas have the same moving averages; one may be assigned to all only if told so.
        aggregation = "none" if trainable else "only_first_replica"
        return super().add_weight(*args, trainable=trainable, aggregation=aggregation, **kwargs)
