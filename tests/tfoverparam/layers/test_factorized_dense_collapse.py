"""What `collapse()` gives is stock `Dense`, and computes what the factors compute."""

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
    assert type(dense) is layers.Dense and dense.built
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
    assert dense.dtype_policy == layer.dtype_policy
    assert dense.activation is keras.activations.gelu
    assert dense.kernel_regularizer.l1 == 0.5 and dense.bias_regularizer.l2 == 0.25
    assert dense.activity_regularizer.l2 == 0.125
    assert isinstance(dense.bias_constraint, keras.constraints.NonNeg)
    assert len(dense.trainable_weights) == 2 * built * trainable
    if not built:
        dense.build((None, 6))
    assert tuple(dense.kernel.shape) == (6, 4)


def test_the_layer_itself_is_left_as_it_is():
    layer = FactorizedDense(4, depth=2, kernel_regularizer="l2")
    layer.build((None, 6))
    before = layer.get_weights()
    dense = layer.collapse()
    dense.kernel.assign(0 * dense.kernel)
    for actual, expected in zip(layer.get_weights(), before):
        np.testing.assert_array_equal(actual, expected)


def test_singular_values_are_those_of_the_collapsed_kernel():
    layer = FactorizedDense(4, depth=3, factor_initializer="glorot_normal", dtype="bfloat16")
    layer.build((None, 6))
    kernel = np.asarray(layer.collapse().kernel).astype("float64")
    expected = np.linalg.svd(kernel, compute_uv=False)
    # The kernel is the same bfloat16 matrix in both; its decomposition is a float32 one.
    np.testing.assert_allclose(layer.singular_values(), expected, atol=6 * 2.0**-23 * expected[0])


def test_a_collapsed_model_is_saved_and_loaded_with_keras_alone(tmp_path):
    layer = FactorizedDense(4, depth=3, name="linear")
    layer.build((None, 6))
    model = keras.Sequential([keras.Input((6,)), layer.collapse()])
    model.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras", custom_objects={})
    assert type(revived.layers[0]) is layers.Dense
    np.testing.assert_array_equal(revived.layers[0].kernel, model.layers[0].kernel)
