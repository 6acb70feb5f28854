"""A kernel regularizer means what it means in `Dense`: a penalty on the product."""

import functools
import math

import keras
import numpy as np
import pytest
from keras import layers, ops, regularizers
from tfoverparam import FactorizedDense, matrix_functions

KERAS = tuple(map(int, keras.__version__.split(".")[:2]))
EPSILON = float(np.finfo("float32").eps)


@keras.saving.register_keras_serializable(package="tfoverparam_tests")
def largest_entry(kernel):
    return 0.3 * ops.max(ops.abs(kernel))


REGULARIZERS = {
    "l1": regularizers.L1(0.2),
    "l2": regularizers.L2(0.3),
    "l1l2": regularizers.L1L2(0.2, 0.3),
    "orthogonal": regularizers.OrthogonalRegularizer(0.5),
    "callable": largest_entry,
}


def dense_like(layer):
    """Stock `Dense` with the same regularizers, holding the product of the factors."""
    dense = layers.Dense(
        layer.units,
        kernel_regularizer=layer.kernel_regularizer,
        bias_regularizer=layer.bias_regularizer,
        dtype=layer.dtype_policy,
    )
    dense.build((None, layer.factors[0].shape[0]))
    dense.kernel.assign(layer.kernel)
    dense.bias.assign(layer.bias)
    return dense


def assert_same_losses(layer, oracle):
    """Same number and values; each loss is a sum of some 20 to 60 rounded terms."""
    assert len(layer.losses) == len(oracle.losses) > 0
    for actual, expected in zip(layer.losses, oracle.losses):
        np.testing.assert_allclose(actual, expected, rtol=60 * EPSILON)


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_losses_are_those_of_dense_before_and_after_calls(name, depth):
    if name == "callable" and KERAS < (3, 15):
        pytest.skip("Keras before 3.15 takes no functions as regularizers")
    layer = FactorizedDense(4, depth=depth, kernel_regularizer=REGULARIZERS[name], seed=0)
    layer.build((None, 6))
    assert_same_losses(layer, dense_like(layer))
    layer(np.ones((2, 6), "float32"))
    layer(np.ones((3, 6), "float32"))
    assert len(layer.losses) == 1
    assert_same_losses(layer, dense_like(layer))


def test_losses_by_hand():
    layer = FactorizedDense(
        1, kernel_regularizer="l2", factor_regularizer="l1", factor_initializer="ones"
    )
    layer.build((None, 3))
    # The product is (1, 1, 1)', so L2's 0.01 gives 0.03; L1's 0.01 gives 0.03 and 0.01 for the
    # factors of three ones and of one, the first of them together with the product's.
    np.testing.assert_allclose(layer.losses, [0.03 + 0.03, 0.01], rtol=4 * EPSILON)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_factor_regularizer_counts_once_per_factor(depth):
    layer = FactorizedDense(4, depth=depth, factor_regularizer=regularizers.L1(0.2))
    layer.build((None, 6))
    expected = [0.2 * np.abs(np.asarray(factor)).sum() for factor in layer.factors]
    np.testing.assert_allclose(layer.losses, expected, rtol=60 * EPSILON)


def test_all_regularizers_add_up():
    arguments = {"depth": 3, "seed": 0, "bias_initializer": "ones"}
    kernel, factor, bias = regularizers.L2(0.3), regularizers.L1(0.2), regularizers.L2(0.1)
    losses = []
    for regularizer in (
        {"kernel_regularizer": kernel},
        {"factor_regularizer": factor},
        {"bias_regularizer": bias},
        {"kernel_regularizer": kernel, "factor_regularizer": factor, "bias_regularizer": bias},
    ):
        layer = FactorizedDense(4, **arguments, **regularizer)
        layer.build((None, 6))
        losses.append([float(loss) for loss in layer.losses])
    assert [len(one) for one in losses] == [1, 3, 1, 4]
    np.testing.assert_allclose(sum(losses[3]), sum(map(sum, losses[:3])), rtol=60 * EPSILON)


def test_a_shared_layer_is_penalised_once():
    layer = FactorizedDense(
        6, kernel_regularizer="l2", bias_regularizer="l1", bias_initializer="ones"
    )
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layer(layer(inputs)))
    model(np.ones((2, 6), "float32"))
    assert_same_losses(model, dense_like(layer))


def test_under_time_distributed():
    layer = FactorizedDense(4, kernel_regularizer="l2")
    wrapper = layers.TimeDistributed(layer)
    wrapper(np.ones((2, 3, 6), "float32"))
    assert_same_losses(wrapper, dense_like(layer))


class Cell(layers.Layer):
    """A recurrent cell whose state passes through a factorized layer at each step."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 4
        self.linear = FactorizedDense(4, kernel_regularizer="l2")

    def build(self, input_shape):
        self.linear.build((None, 4))

    def call(self, inputs, states):
        output = inputs + self.linear(states[0])
        return output, [output]


def test_inside_a_recurrent_cell():
    cell = Cell()
    recurrent = layers.RNN(cell)
    recurrent(np.ones((2, 5, 4), "float32"))
    assert_same_losses(recurrent, dense_like(cell.linear))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_mixed_precision_computes_the_penalty_in_float32(policy, name):
    layer = FactorizedDense(4, kernel_regularizer=REGULARIZERS[name], dtype=policy)
    layer(np.ones((2, 6), "float32"))
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"
    assert_same_losses(layer, dense_like(layer))


def test_a_frozen_layer_has_no_losses():
    layer = FactorizedDense(
        4, kernel_regularizer="l2", factor_regularizer="l1", bias_regularizer="l1"
    )
    layer.build((None, 6))
    assert len(layer.losses) == 3
    layer.trainable = False
    assert layer.losses == []


def test_activity_regularizer_is_that_of_dense():
    layer = FactorizedDense(4, activity_regularizer="l2")
    inputs = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    layer(inputs)
    dense = dense_like(layer)
    dense.activity_regularizer = layer.activity_regularizer
    dense(inputs)
    assert_same_losses(layer, dense)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("units", [1, 6])
def test_a_training_step_moves_each_factor_by_the_chain_rule(depth, units, jit_compile):
    # A loss of zero, so that all that moves the weights is the penalty 0.3 |K|^2: each factor
    # goes by -0.1 A' (0.6 K) B', A and B being the products of the factors before and after.
    layer = FactorizedDense(units, depth=depth, kernel_regularizer=regularizers.L2(0.3), seed=1)
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.SGD(0.1), lambda y, p: 0.0 * p, jit_compile=jit_compile)
    before = [np.asarray(factor).astype("float64") for factor in layer.factors]
    gradient = 0.6 * functools.reduce(np.matmul, before)
    model.train_on_batch(np.ones((2, 5)), np.ones((2, units)))
    for index, factor in enumerate(layer.factors):
        left = functools.reduce(np.matmul, before[:index], np.eye(5))
        right = functools.reduce(np.matmul, before[index + 1 :], np.eye(before[index].shape[1]))
        step = -0.1 * left.T @ gradient @ right.T
        # The new value is rounded once; the step is a chain of products, each entry with some
        # 5 + 6 * depth roundings relative to the largest.
        atol = EPSILON * (np.abs(before[index]).max() + 30 * np.abs(step).max())
        np.testing.assert_allclose(factor, before[index] + step, rtol=0, atol=atol)
        assert np.abs(step).max() > 100 * atol


# Shapes (d, h, k) on both sides of 2 h^2 (d + k) < 3 d h k.
GRAM_SHAPES = [(9, 2, 8), (30, 1, 30), (9, 5, 8)]
PRODUCT_SHAPES = [(2, 9, 2), (1, 1, 1), (3, 5, 4), (4, 4, 4)]


def pair(shape, dtype="float32"):
    d, h, k = shape
    random = np.random.default_rng(0)
    values = [random.normal(size=size) for size in [(d, h), (h, k)]]
    return [ops.convert_to_tensor(value, dtype=dtype) for value in values]


def naive(a, b):
    return ops.sum(ops.square(ops.matmul(a, b)))


def cheap(a, b):
    return matrix_functions.squared_norm_of_product([a, b])


@pytest.mark.parametrize("shape", GRAM_SHAPES + PRODUCT_SHAPES)
def test_the_cheaper_way_to_the_squared_norm_is_taken(shape, monkeypatch):
    calls = []
    by_grams = matrix_functions.products._squared_norm_by_grams
    monkeypatch.setattr(
        matrix_functions.products,
        "_squared_norm_by_grams",
        lambda *a: calls.append(a) or by_grams(*a),
    )
    cheap(*pair(shape))
    assert len(calls) == (shape in GRAM_SHAPES)


def hessian_vector_product(value_and_gradients, function, a, b):
    # Any direction will do that is neither of the factors.
    directions = [np.arange(1.0, 1 + math.prod(x.shape)).reshape(x.shape) for x in (a, b)]
    directions = [ops.convert_to_tensor(direction, dtype=a.dtype) for direction in directions]

    def slope(a, b):
        _, *gradients = value_and_gradients(function, a, b)
        return sum(ops.sum(g * v) for g, v in zip(gradients, directions))

    return value_and_gradients(slope, a, b)[1:]


def modes():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return {"traced": tf.function, "compiled": functools.partial(tf.function, jit_compile=True)}
    if keras.backend.backend() == "jax":
        import jax

        return {"compiled": jax.jit}
    return {}


MODES = {"eager": lambda function: function, **modes()}


@pytest.mark.float64
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("second", [False, True], ids=["gradients", "second derivatives"])
def test_derivatives_of_the_squared_norm(value_and_gradients, second, mode, dtype):
    derivative = value_and_gradients
    if second:
        derivative = functools.partial(hessian_vector_product, value_and_gradients)
    expected = derivative(naive, *pair(GRAM_SHAPES[0], "float64"))
    actual = MODES[mode](functools.partial(derivative, cheap))(*pair(GRAM_SHAPES[0], dtype))
    for one, other in zip(actual, expected):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        # Chains of products with 9 + 2 + 8 terms to an entry, relative to the largest.
        atol = 19 * np.finfo(dtype).eps * np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


# Keras adds a float32 loss to penalties in the dtype of the variables, so that `fit` with a
# regularizer fails under the policies "float64" and "bfloat16", for `Dense` too.
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_gram_route_trains_in_mixed_precision(policy):
    penalty = regularizers.L2(0.1)
    layer = FactorizedDense(8, hidden_units=2, kernel_regularizer=penalty, dtype=policy)
    model = keras.Sequential([keras.Input((9,)), layer])
    model.compile(keras.optimizers.SGD(0.1), lambda y, p: 0.0 * p, jit_compile=False)
    losses = model.fit(np.ones((4, 9)), np.ones((4, 8)), epochs=3, batch_size=4, verbose=0)
    losses = losses.history["loss"]
    assert 0 < losses[2] < losses[1] < losses[0]
