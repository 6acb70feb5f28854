"""Training, mixed precision, masks and the other ways in which Keras runs a layer."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import FactorizedDense
from tfoverparam.initializers import NearIdentity

EPSILON = float(np.finfo("float32").eps)
OUTPUT_DTYPES = {
    "float32": "float32",
    "float64": "float64",
    "mixed_float16": "float16",
    "mixed_bfloat16": "bfloat16",
    "bfloat16": "bfloat16",
}


@pytest.fixture
def regression():
    """Inputs, and the outputs of a linear map that training is to find."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(64, 6)).astype("float32")
    return inputs, inputs @ random.normal(size=(6, 4)).astype("float32")


@pytest.mark.parametrize("policy", OUTPUT_DTYPES)
def test_training_under_every_policy(policy, regression):
    layer = FactorizedDense(4, depth=3, dtype=policy, seed=0)
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    losses = model.fit(*regression, epochs=15, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    outputs = layer(regression[0])
    assert keras.backend.standardize_dtype(outputs.dtype) == OUTPUT_DTYPES[policy]
    expected = layer.dtype_policy.variable_dtype
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {expected}


@pytest.mark.jit_compile
@pytest.mark.parametrize("initializer", [None, NearIdentity(seed=1)], ids=["balanced", "identity"])
def test_compiled_training_is_traced_training(initializer, regression):
    weights = []
    for jit_compile in (False, True):
        layer = FactorizedDense(
            4, depth=3, kernel_regularizer="l2", factor_initializer=initializer, seed=1
        )
        model = keras.Sequential([layer])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        model.fit(*regression, epochs=1, batch_size=16, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        # Four steps; in each, sums over up to 16 examples and four products of up to 6 terms
        # are rounded differently, relative to entries of the order of one.
        np.testing.assert_allclose(one, other, rtol=0, atol=4 * (16 + 4 * 6) * EPSILON)


def test_a_step_on_a_scalar_by_hand():
    layer = FactorizedDense(1, hidden_units=1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.set_weights([np.array([[2.0]]), np.array([[0.5]])])
    model.compile(keras.optimizers.SGD(0.25), "mse", jit_compile=False)
    model.train_on_batch(np.array([[1.0]]), np.array([[2.0]]))
    # The error is 2 * 0.5 - 2 = -1, the kernel's gradient -2, so the factors go by
    # 0.25 * 2 * 0.5 and 0.25 * 2 * 2.
    assert [float(factor[0, 0]) for factor in layer.factors] == [2.25, 1.5]


def test_constraints_act_on_each_factor(regression):
    layer = FactorizedDense(4, depth=3, factor_constraint="non_neg", bias_constraint="non_neg")
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.train_on_batch(*regression)
    assert all(np.min(weight) >= 0 for weight in layer.get_weights())


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_input_ranks(shape):
    layer = FactorizedDense(4, depth=2)
    inputs = np.random.default_rng(0).normal(size=shape).astype("float32")
    outputs = layer(inputs)
    assert tuple(outputs.shape) == (*shape[:-1], 4) == layer.compute_output_shape(shape)
    # The leading axes are rows like any other; a dot product has five, then four terms.
    rows = np.asarray(layer(inputs.reshape(-1, 5)))
    np.testing.assert_allclose(
        np.asarray(outputs).reshape(-1, 4), rows, rtol=0, atol=20 * EPSILON * np.abs(rows).max()
    )
    symbolic = FactorizedDense(4, depth=2)(keras.Input(shape[1:]))
    assert symbolic.shape == (None, *shape[1:-1], 4)


def test_vectors_are_refused_before_anything_is_built_and_after():
    layer = FactorizedDense(4)
    for built in (False, True):
        with pytest.raises(ValueError, match="expected min_ndim=2"):
            layer(ops.ones((3,)))
        assert layer.built == built
        layer(ops.ones((1, 3)))


def test_masks_pass_through():
    sequence = np.ones((2, 3, 5), "float32")
    sequence[0, 1:] = 0.0
    inputs = keras.Input((3, 5))
    masked = layers.Masking()(inputs)
    outputs = FactorizedDense(4, depth=3)(masked)
    # The sum over time skips what is masked, if the mask arrives.
    model = keras.Model(inputs, [outputs, layers.GlobalAveragePooling1D()(outputs)])
    outputs, means = model(sequence)
    np.testing.assert_array_equal(outputs._keras_mask, [[True, False, False], [True] * 3])
    np.testing.assert_allclose(means[0], outputs[0, 0], rtol=4 * EPSILON)


def test_stateless_call_computes_with_the_given_weights():
    layer = FactorizedDense(4, depth=2, kernel_regularizer="l2")
    layer.build((None, 5))
    inputs = np.ones((2, 5), "float32")
    doubled = [2 * np.asarray(weight) for weight in layer.trainable_variables]
    outputs, states, losses = layer.stateless_call(doubled, [], inputs, return_losses=True)
    # Powers of two are exact: two factors doubled are four times the product.
    np.testing.assert_array_equal(outputs, 4 * layer(inputs))
    assert states == []
    assert [float(loss) for loss in losses] == [16 * float(loss) for loss in layer.losses]


@pytest.mark.tensorflow("sparse tensors")
def test_sparse_inputs():
    import tensorflow as tf

    layer, inputs = FactorizedDense(4, depth=2), np.eye(3, 5, dtype="float32")
    outputs = layer(tf.sparse.from_dense(inputs))
    np.testing.assert_allclose(outputs, layer(inputs), rtol=0, atol=20 * EPSILON)


def test_integer_inputs_are_cast_as_by_dense():
    outputs = FactorizedDense(4)(np.ones((2, 3), "int32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_time_distributed_computes_the_layer_itself():
    layer = FactorizedDense(4, depth=2)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    np.testing.assert_allclose(
        layers.TimeDistributed(layer)(inputs), layer(inputs), rtol=0, atol=20 * EPSILON
    )


def test_a_frozen_layer_is_not_trained(regression):
    layer = FactorizedDense(4, depth=2, trainable=False)
    model = keras.Sequential([layer, layers.Dense(4)])
    model.compile("sgd", "mse", jit_compile=False)
    model.build((None, 6))
    before = layer.get_weights()
    model.fit(*regression, verbose=0)
    assert layer.trainable_weights == []
    for actual, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`")
def test_quantizing_a_model_leaves_the_layer_as_it_is():
    layer = FactorizedDense(8, depth=2)
    model = keras.Sequential([keras.Input((8,)), layer, layers.Dense(4)])
    before = layer.get_weights()
    # It warns of the input layer, too, as always.
    with pytest.warns(UserWarning, match="is factorized: .*Call `collapse.*quantized"):
        model.quantize("int8")
    for actual, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert model(np.ones((1, 8))).shape == (1, 4)
