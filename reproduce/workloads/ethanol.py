"""The paper's l4 regression on Ethanol: one linear unit, all rows in each step."""

import dataclasses

import keras
from keras import initializers, layers
import numpy as np
import tensorflow as tf

from reproduce import data
from reproduce.workloads.workload import Examples, Workload

FEATURES = 128
STDDEV = 0.01  # the paper's


def network():
    """One linear unit without a bias."""
    start = initializers.RandomNormal(stddev=STDDEV)
    unit = layers.Dense(1, use_bias=False, kernel_initializer=start)
    return keras.Sequential([keras.Input((FEATURES,)), unit])


@dataclasses.dataclass(frozen=True)
class Regression(Workload):
    """There is nothing held out."""

    def split(self, dataset, validation_size):
        columns = (dataset.features, dataset.targets[:, None])
        return Examples(*(tf.constant(each, "float32") for each in columns)), {}

    def order(self, training, steps, batch_size, random):
        return np.zeros((steps, 0), int)

    def batch(self, training, rows):
        return training

    def loss(self, outputs, targets):
        return tf.reduce_mean((outputs - targets) ** 4)


ETHANOL = Regression(lambda data_dir: data.load_ethanol(data_dir), network)
