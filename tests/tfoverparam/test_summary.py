"""The table of factorised layers, against numbers by hand and against the collapsed model."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import (
    EndToEnd,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    overparameterize,
    summary,
)


def printed(model):
    tables = []
    summary(model, print_fn=tables.append)
    (table,) = tables
    return table.split("\n")


def test_the_tutorials_network():
    # 3136 -> 512 -> 10 behind two convolutions, with a square factor before each dense layer.
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            FactorizedDense(512, factor_initializer="glorot_uniform", name="fc1"),
            FactorizedDense(10, factor_initializer="glorot_uniform", name="fc2"),
        ]
    )
    _, fc1, fc2, totals = printed(model)
    assert totals == "1,925,614 parameters trained, 1,663,370 deployed"
    assert re.match(r"fc1 +3136x512 · 512x512 +1,868,288 +3136x512 +1,606,144 ", fc1)
    assert re.match(r"fc2 +512x10 · 10x10 +5,230 +512x10 +5,130 ", fc2)


def test_numbers_by_hand():
    dense = FactorizedDense(3, hidden_units=2, use_bias=False, name="dense")
    convolution = FactorizedConv2D(1, (1, 2), depth=1, name="convolution")
    model = keras.Sequential([keras.Input((1, 2, 1)), convolution, dense])
    convolution.set_weights([np.array([[3.0], [4.0]]), np.zeros(1)])
    dense.set_weights([np.array([[3.0, 0.0]]), np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])])
    # Factors diag(3) and diag(2): Gram matrices 9 and 4, so the imbalance is 5 / 9.
    assert printed(model) == [
        "layer        factors    parameters  product  parameters  rank  imbalance  singular values",
        "convolution  2x1                 3  1x2x1x1           3     1      0.000  5.000 to 5.000",
        "dense        1x2 · 2x3           8      1x3           3     1      0.556  6.000 to 6.000",
        "11 parameters trained, 6 deployed",
    ]


def test_shared_nested_and_wrapped_layers_and_those_that_are_not_factorised():
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared, layers.BatchNormalization()])
    inputs = keras.Input((3, 4))
    outputs = layers.TimeDistributed(inner)(layers.TimeDistributed(shared)(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="kept")(outputs))
    twin = overparameterize(model, depth=3, filter=lambda layer: layer.name == "shared")
    _, row, totals = printed(twin)
    assert row.startswith("shared")
    folded = collapse(twin).count_params()
    assert totals == f"{folded + 32} parameters trained, {folded} deployed"


def test_rank_is_that_of_the_product():
    layer = FactorizedDense(6, hidden_units=2)
    _, row, _ = printed(keras.Sequential([keras.Input((5,)), layer]))
    assert row.split()[-5] == "2"


def test_a_model_trained_partly_by_the_rule():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5), FactorizedDense(3, name="f")])
    model.compile(EndToEnd(keras.optimizers.SGD(0.1), depth=2), "mse", jit_compile=False)
    model.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    assert [line.split()[0] for line in printed(model)] == ["layer", "f", "52"]


def test_a_model_without_factorised_layers():
    assert printed(keras.Sequential([keras.Input((4,)), layers.Dense(5)])) == [
        "layer  factors  parameters  product  parameters  rank  imbalance  singular values",
        "25 parameters trained, 25 deployed",
    ]


def test_a_layer_that_is_not_built():
    with pytest.raises(ValueError, match="Layer `late` is not built"):
        summary(keras.Sequential([FactorizedDense(3, name="late")]))
