"""The MNIST tutorial's ConvNet, and a second one, of plain or factorized dense layers.

The network is that of TensorFlow's `models/tutorials/image/mnist/convolutional.py`, built from
`FactorizedDense`: with `depth=1` it is the tutorial's own, with `depth=2` the overparameterized
one, whose dense kernels are products of two matrices. What the L2 penalty acts on is a choice
(`l2_on`) that decides the outcome.
"""

import keras
import tensorflow as tf

from reproduce.mnist_convnet.split_batch import SplitBatchNormalization, SplitDropout
from reproduce.mnist_convnet.tutorial import TutorialDropout, set_tutorial_start
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
