"""The same seed gives the same network, to the bit."""

import keras
import numpy as np
import pytest

from tfoverparam import EndToEnd, FactorizedConv2D, FactorizedDense


def trained():
    """The weights of a network that has every source of randomness, after a few steps."""
    keras.utils.set_random_seed(3)
    network = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            FactorizedConv2D(3, 3, activation="relu"),
            keras.layers.Flatten(),
            FactorizedDense(5),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
    )
    network.compile(EndToEnd(keras.optimizers.Adam(0.01), depth=2), "mse", jit_compile=False)
    inputs = np.random.default_rng(0).normal(size=(32, 6, 6, 1)).astype("float32")
    network.fit(inputs, inputs[:, 0, :2, 0], batch_size=8, epochs=2, verbose=0)
    return network.get_weights()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits():
    for first, second in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(first, second)
