"""TensorFlow's MNIST tutorial ConvNet, with its L2 term and without, of built-in layers."""

import functools

import keras
from keras import initializers, layers

from reproduce import data
from reproduce.workloads.workload import Workload

L2 = 5e-4  # penalty L2 * sum(w**2) / 2 on kernels and biases of the dense layers


def network(l2):
    """From (batch, 28, 28, 1) to 10 logits; `mnist_convnet.network` has the tutorial's own."""
    penalty = keras.regularizers.L2(l2 / 2) if l2 else None

    def start():
        return initializers.TruncatedNormal(stddev=0.1)

    def convolution(filters, bias):
        yield layers.Conv2D(
            filters,
            5,
            padding="same",
            activation="relu",
            kernel_initializer=start(),
            bias_initializer=initializers.Constant(bias),
        )
        yield layers.MaxPooling2D(2, padding="same")

    def dense(units, activation=None):
        return layers.Dense(
            units,
            activation,
            kernel_initializer=start(),
            bias_initializer=initializers.Constant(0.1),
            kernel_regularizer=penalty,
            bias_regularizer=penalty,
        )

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *convolution(32, 0.0),
            *convolution(64, 0.1),
            layers.Flatten(),
            dense(512, "relu"),
            layers.Dropout(0.5),
            dense(10),
        ]
    )


WITH_L2, WITHOUT_L2 = (
    Workload(lambda data_dir: data.load_mnist(data_dir), functools.partial(network, l2))
    for l2 in (L2, 0.0)
)
