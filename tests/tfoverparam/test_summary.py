"""The table of linear maps, against numbers by hand and against the collapsed model."""

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
            layers.Conv2D(32, 5, padding="same", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            FactorizedDense(512, factor_initializer="glorot_uniform", name="fc1"),
            FactorizedDense(10, factor_initializer="glorot_uniform", name="fc2"),
        ],
        name="m",
    )
    _, conv1, conv2, fc1, fc2, totals = printed(model)
    assert totals == "1,925,614 parameters trained, 1,663,370 deployed"
    assert re.match(r"m/conv1/kernel +5x5x1x32 +800  left out$", conv1)
    assert re.match(r"m/conv2/kernel +5x5x32x64 +51,200  left out$", conv2)
    assert re.match(r"m/fc1/kernel +3136x512 +1,605,632  3136x512 · 512x512 +1,867,776 ", fc1)
    assert re.match(r"m/fc2/kernel +512x10 +5,120  512x10 · 10x10 +5,220 ", fc2)


def test_numbers_by_hand():
    dense = FactorizedDense(3, hidden_units=2, use_bias=False, name="dense")
    convolution = FactorizedConv2D(1, (1, 2), depth=1, name="conv")
    kept = layers.Dense(1, kernel_constraint="non_neg", name="kept")
    model = keras.Sequential([keras.Input((1, 2, 1)), convolution, dense, kept], name="m")
    convolution.set_weights([np.array([[3.0], [4.0]]), np.zeros(1)])
    dense.set_weights([np.array([[3.0, 0.0]]), np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])])
    # Factors diag(3) and diag(2): Gram matrices 9 and 4, so the imbalance is 5 / 9. A step is
    # 2 * 6 times as long at depth 2, and as long as ever at depth 1.
    assert [line.split("  ") for line in printed(model)][0][0] == "linear map"
    assert [re.sub("  +", "  ", line) for line in printed(model)][1:] == [
        "m/conv/kernel  1x2x1x1  2  2x1  2  1  0.000  5.000 to 5.000  1.000 to 1.000",
        "m/dense/kernel  1x3  3  1x2 · 2x3  8  1  0.556  6.000 to 6.000  12.000 to 12.000",
        "m/kept/kernel  3x1  3  it has a constraint, which acts on one variable",
        "15 parameters trained, 10 deployed",
    ]
    header, *rows = printed(model)[:-2]
    assert {row.index("to") > header.index("singular values") for row in rows} == {True}


def test_shared_nested_and_wrapped_layers():
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared, layers.BatchNormalization()])
    inputs = keras.Input((3, 4))
    outputs = layers.TimeDistributed(inner)(layers.TimeDistributed(shared)(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="kept")(outputs))
    deployed = model.count_params()
    overparameterize(model, depth=3, filter=lambda each: each.layer is shared, verbose=0)
    _, row, kept, totals = printed(model)
    assert "shared/kernel" in row and kept.endswith("left out")
    assert totals == f"{deployed + 32} parameters trained, {deployed} deployed"
    assert collapse(model).count_params() == deployed


def test_rank_is_that_of_the_product():
    layer = FactorizedDense(6, hidden_units=2)
    _, row, _ = printed(keras.Sequential([keras.Input((5,)), layer]))
    assert row.split()[-8] == "2"


def test_a_stack_of_matrices():
    layer = FactorizedConv2D(4, 1, groups=2, name="conv")
    _, row, _ = printed(keras.Sequential([keras.Input((3, 3, 6)), layer], name="m"))
    assert re.match(r"m/conv/kernel +1x1x3x4 +12  2x3x2 · 2x2x2 +20 +4 ", row)


def test_a_model_trained_partly_by_the_rule():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, name="d"), FactorizedDense(3, name="f")], name="m"
    )
    model.compile(EndToEnd(keras.optimizers.SGD(0.1), depth=2), "mse", jit_compile=False)
    model.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    firsts = [line.split()[0] for line in printed(model)]
    assert firsts == ["linear", "m/d/kernel", "m/f/kernel", "52"]


def test_a_model_without_linear_maps():
    *_, totals = printed(keras.Sequential([keras.Input((4,)), layers.ReLU()]))
    assert totals == "0 parameters trained, 0 deployed"


def test_a_layer_that_is_not_built():
    with pytest.raises(ValueError, match="Layer `late` is not built"):
        summary(keras.Sequential([FactorizedDense(3, name="late")]))
