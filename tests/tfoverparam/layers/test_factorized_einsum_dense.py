"""`FactorizedEinsumDense`, and convolutions of 1 and 3 dimensions, against the plain layers."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import (
    FactorizedConv1D,
    FactorizedConv3D,
    FactorizedEinsumDense,
    collapse,
    overparameterize,
)

from tests.tfoverparam import oracles


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


CASES = {
    "heads": (layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"), (3, 6)),
    "output": (layers.EinsumDense("abcd,cde->abe", (None, 5), bias_axes="e"), (4, 3, 2)),
    "ellipsis": (layers.EinsumDense("...x,xy->...y", 5, activation="tanh"), (3, 4)),
    "kernel transposed": (layers.EinsumDense("btd,ndh->btnh", (3, 2, 4)), (3, 6)),
    "rows not last": (layers.EinsumDense("bdt,de->bet", (5, 3)), (4, 3)),
    "experts": (layers.EinsumDense("bed,edf->bef", (3, 5), bias_axes="ef"), (3, 4)),
    "causal": (layers.Conv1D(4, 3, padding="causal", dilation_rate=2), (7, 3)),
    "causal, strides": (layers.Conv1D(4, 3, padding="causal", strides=2), (7, 3)),
    "groups 1D": (layers.Conv1D(4, 3, groups=2, padding="same"), (7, 4)),
    "3D": (layers.Conv3D(4, (2, 1, 3), padding="same", strides=(1, 2, 1)), (4, 3, 5, 2)),
    "groups 3D": (layers.Conv3D(4, 2, groups=2), (4, 3, 3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_those_of_the_plain_layer(name, layer_gradients):
    layer, shape = CASES[name]
    layer = type(layer).from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer])
    oracles.assert_conversion_changes_nothing(model, drawn(0, 2, *shape), layer_gradients)


@pytest.mark.parametrize("hidden", [1, 2])
def test_narrow_factors_convolve_one_after_the_other(hidden, layer_gradients):
    # Where the product is not the cheaper way; the oracle is the plain layer with the product.
    for layer, plain, shape in (
        (
            FactorizedConv1D(4, 3, hidden_filters=hidden, padding="causal"),
            layers.Conv1D(4, 3, padding="causal"),
            (9, 5),
        ),
        (FactorizedConv3D(4, 2, hidden_filters=hidden), layers.Conv3D(4, 2), (4, 4, 4, 5)),
    ):
        inputs = drawn(0, 2, *shape)
        layer(inputs), plain(inputs)
        assert not layer._product_is_cheaper(inputs.shape)
        plain.set_weights([ops.convert_to_numpy(layer.kernel), drawn(1, 4)])
        layer.bias.assign(plain.bias)
        oracles.assert_close(layer(inputs), plain(inputs))


@pytest.fixture
def products(monkeypatch):
    """The shapes of each `ops.matmul`."""
    record, matmul = [], ops.matmul

    def recording(a, b):
        record.append((tuple(a.shape), tuple(b.shape)))
        return matmul(a, b)

    monkeypatch.setattr(ops, "matmul", recording)
    return record


def test_the_cheapest_order_is_taken(products):
    layer = FactorizedEinsumDense("abc,cde->abde", (None, 2, 4), hidden_units=6)
    layer.build((None, None, 6))
    del products[:]
    layer(drawn(0, 1, 2, 6))  # few rows: one factor after the other
    assert products == [((1, 2, 6), (6, 6)), ((1, 2, 6), (6, 8))]
    del products[:]
    layer(drawn(0, 50, 9, 6))  # many rows: the product of the factors first
    assert products == [((6, 6), (6, 8)), ((50, 9, 6), (6, 8))]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_unknown_sizes(policy):
    inputs = keras.Input((None, 6))
    layer = FactorizedEinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="e", dtype=policy)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 2, 4)
    assert model.predict(drawn(0, 3, 5, 6), verbose=0).shape == (3, 5, 2, 4)


def test_the_start_is_that_of_the_plain_layer():
    for seeds in ({"kernel_initializer": keras.initializers.GlorotUniform(3)}, {"seed": 3}):
        layer = FactorizedEinsumDense("abcd,cde->abe", (None, 5), depth=3, **seeds)
        plain = layers.EinsumDense(
            "abcd,cde->abe", (None, 5), kernel_initializer=keras.initializers.GlorotUniform(3)
        )
        for each in (layer, plain):
            each.build((None, 4, 3, 2))
        oracles.assert_close(layer.kernel, plain.kernel)
        assert float(layer.imbalance()) < 1e-5


def test_configuration_and_class():
    layer = FactorizedEinsumDense(
        "ab,bc->ac",
        5,
        depth=3,
        hidden_units=[6, 7],
        bias_axes="c",
        activation="relu",
        kernel_regularizer="l2",
        factor_regularizer="l1",
        factor_constraint="max_norm",
        seed=4,
    )
    again = FactorizedEinsumDense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for each in (layer, again):
        each.build((None, 4))
        assert isinstance(each, layers.EinsumDense)
        assert [tuple(factor.shape) for factor in each.factors] == [(4, 6), (6, 7), (7, 5)]
    oracles.assert_close(layer.kernel, again.kernel)
    assert type(layer.collapse()) is layers.EinsumDense and layer.built
    assert type(layer.kernel.regularizer) is keras.regularizers.L2


def test_attention_that_was_converted_returns_its_scores():
    inputs = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 3)
    model = keras.Model(inputs, attention(inputs, inputs, return_attention_scores=True))
    x = drawn(0, 2, 5, 4)
    expected = [np.array(each) for each in model(x)]
    overparameterize(model, verbose=0)
    for found, value in zip(model(x), expected, strict=True):
        oracles.assert_close(found, value)
    collapse(model)
