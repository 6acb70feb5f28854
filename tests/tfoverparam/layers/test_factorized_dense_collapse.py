"""`collapse()` makes the layer a `Dense` that computes what the factors computed."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import FactorizedDense


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("use_bias", [True, False])
def test_same_function(depth, use_bias, policy):
    layer = FactorizedDense(
        4, depth=depth, use_bias=use_bias, bias_initializer="ones", activation="tanh", dtype=policy
    )
    inputs = np.random.default_rng(0).normal(size=(8, 3, 6))
    expected = np.asarray(layer(inputs)).astype("float64")
    dense = layer.collapse()
    assert dense is layer and type(dense) is layers.Dense and dense.built
    assert len(dense.weights) == 1 + use_bias
    actual = np.asarray(dense(inputs)).astype("float64")
    # In half precision each of the depth + 1 products rounds to 11 or 8 bits.
    epsilon = {"mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7}.get(policy)
    bound = 1e-5 if epsilon is None else 2 * (depth + 1) * epsilon
    assert np.abs(actual - expected).max() <= bound * np.abs(expected).max()
    assert actual.shape == expected.shape


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_the_rest_is_carried_over(built, trainable):
    layer = FactorizedDense(
        4,
        depth=3,
        hidden_units=[5, 6],
        activation="gelu",
        kernel_initializer=keras.initializers.HeNormal(seed=keras.random.SeedGenerator(1)),
        kernel_regularizer=keras.regularizers.L1(0.5),
        factor_regularizer="l2",
        bias_regularizer=keras.regularizers.L2(0.25),
        activity_regularizer=keras.regularizers.L2(0.125),
        factor_constraint="non_neg",
        bias_constraint="non_neg",
        seed=3,
        name="linear",
        dtype="mixed_bfloat16",
    )
    if built:
        layer.build((None, 6))
    layer.trainable = trainable
    dense = layer.collapse()
    assert dense.built == built
    assert dense.name == "linear" and dense.trainable == trainable
    assert dense.dtype_policy == keras.DTypePolicy("mixed_bfloat16")
    assert dense.activation is keras.activations.gelu
    assert dense.kernel_regularizer.l1 == 0.5 and dense.bias_regularizer.l2 == 0.25
    assert dense.activity_regularizer.l2 == 0.125
    assert isinstance(dense.bias_constraint, keras.constraints.NonNeg)
    assert len(dense.trainable_weights) == 2 * built * trainable
    if not built:
        dense.build((None, 6))
    assert tuple(dense.kernel.shape) == (6, 4)


def test_nothing_of_the_factors_is_left():
    layer, plain = FactorizedDense(4, depth=2, kernel_regularizer="l2"), layers.Dense(4)
    for each in (layer, plain):
        each.build((None, 6))
    layer.collapse()
    assert set(vars(layer)) == set(vars(plain))
    assert [weight.path for weight in layer.weights] == [
        f"{layer.name}/kernel",
        f"{layer.name}/bias",
    ]
    assert type(layer.kernel.regularizer) is keras.regularizers.L2 and len(layer.losses) == 1
    assert set(layer.get_config()) == set(plain.get_config())


def test_a_collapsed_layer_is_quantized_and_gets_lora():
    inputs = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    for change in (lambda each: each.quantize("int8"), lambda each: each.enable_lora(2)):
        layer, plain = FactorizedDense(4, depth=2), layers.Dense(4)
        for each in (layer, plain):
            each.build((None, 6))
        plain.set_weights([layer.kernel, layer.bias])
        for each in (layer.collapse(), plain):
            keras.utils.set_random_seed(0)
            change(each)
        assert [each.shape for each in layer.weights] == [each.shape for each in plain.weights]
        np.testing.assert_allclose(layer(inputs), plain(inputs), rtol=1e-6, atol=1e-6)
        assert len(layer.weights) > 2


def test_singular_values_are_those_of_the_product():
    layer = FactorizedDense(4, depth=3, factor_initializer="glorot_normal", dtype="bfloat16")
    layer.build((None, 6))
    factors = [np.asarray(each).astype("float64") for each in layer.factors]
    expected = np.linalg.svd(functools.reduce(np.matmul, factors), compute_uv=False)
    # Products and decomposition are of float32 whatever the layer's own precision.
    np.testing.assert_allclose(layer.singular_values(), expected, atol=2e-6 * expected[0])


def test_a_collapsed_model_is_saved_and_loaded_with_keras_alone(tmp_path):
    layer = FactorizedDense(4, depth=3, name="linear")
    layer.build((None, 6))
    model = keras.Sequential([keras.Input((6,)), layer.collapse()])
    model.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras", custom_objects={})
    assert type(revived.layers[0]) is layers.Dense
    np.testing.assert_array_equal(revived.layers[0].kernel, model.layers[0].kernel)
