"""A network of three dense layers on MNIST."""

import keras
from keras import layers

from reproduce import data
from reproduce.workloads.workload import Workload


def network():
    """784-512-512-10, with Keras's own initial values."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(512, "relu"),
            layers.Dense(512, "relu"),
            layers.Dense(10),
        ]
    )


MLP = Workload(lambda data_dir: data.load_mnist(data_dir), network)
