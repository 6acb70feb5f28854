"""Products of chains: the same result in every order, and the order that costs least."""

import functools
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tfoverparam import FactorizedDense, matrix_functions

dims = st.lists(st.integers(1, 30), min_size=2, max_size=6)


def all_orders(first, last):
    """Every full parenthesisation of the matrices `first` to `last`, as nested pairs."""
    if first == last:
        return [first]
    return [
        (left, right)
        for middle in range(first, last)
        for left in all_orders(first, middle)
        for right in all_orders(middle + 1, last)
    ]


def shape_and_cost(order, dims):
    """Shape of the product and the multiplications that `order` spends on it."""
    if isinstance(order, int):
        return (dims[order], dims[order + 1]), 0
    (rows, inner), left_cost = shape_and_cost(order[0], dims)
    (_, columns), right_cost = shape_and_cost(order[1], dims)
    return (rows, columns), left_cost + right_cost + rows * inner * columns


def evaluate(order, matrices):
    if isinstance(order, int):
        return matrices[order]
    return evaluate(order[0], matrices) @ evaluate(order[1], matrices)


def order_from_splits(splits, first, last):
    if first == last:
        return first
    middle = splits[first, last]
    return order_from_splits(splits, first, middle), order_from_splits(splits, middle + 1, last)


@pytest.fixture
def multiplications(monkeypatch):
    """The `(rows, inner, columns)` of each `ops.matmul` in the order in which they run."""
    record = []
    matmul = ops.matmul

    def recording_matmul(a, b):
        sizes = [None if size is None else int(size) for size in (*a.shape, b.shape[-1])]
        rows = None if None in sizes[:-2] else math.prod(sizes[:-2])
        record.append((rows, *sizes[-2:]))
        return matmul(a, b)

    monkeypatch.setattr(matrix_functions.products.ops, "matmul", recording_matmul)
    return record


@settings(deadline=None, max_examples=100, derandomize=True)
@given(dims)
def test_the_splits_cost_as_little_as_the_best_of_all_orders(dims):
    last = len(dims) - 2
    chosen = order_from_splits(matrix_functions.products._cheapest_splits(tuple(dims)), 0, last)
    best = min(shape_and_cost(order, dims)[1] for order in all_orders(0, last))
    assert shape_and_cost(chosen, dims)[1] == best


@settings(deadline=None, max_examples=25, derandomize=True)
@given(dims, st.integers(0, 1000))
def test_the_result_is_that_of_every_order(dims, seed):
    random = np.random.default_rng(seed)
    # Small integers: float32 holds every partial sum exactly, 2^5 * 6^4 at most, so that all
    # orders agree to the bit.
    dims = [1 + size % 6 for size in dims]
    matrices = [
        random.integers(-2, 3, shape).astype("float32") for shape in zip(dims[:-1], dims[1:])
    ]
    actual = ops.convert_to_numpy(
        matrix_functions.chain_product([ops.convert_to_tensor(matrix) for matrix in matrices])
    )
    for order in all_orders(0, len(matrices) - 1):
        np.testing.assert_array_equal(actual, evaluate(order, matrices))


def test_many_rows_multiply_the_factors_first(multiplications):
    # 3 * 4 * 5 for the factors and 1000 * 3 * 5 for the batch, against 1000 * (12 + 20).
    layer = FactorizedDense(5, hidden_units=4, use_bias=False, factor_initializer="ones")
    layer.build((None, 3))
    layer(np.ones((1000, 3), "float32"))
    assert multiplications == [(3, 4, 5), (1000, 3, 5)]


def test_few_rows_go_through_one_factor_after_the_other(multiplications):
    layer = FactorizedDense(5, hidden_units=4, use_bias=False, factor_initializer="ones")
    layer.build((None, 3))
    layer(np.ones((1, 3), "float32"))
    assert multiplications == [(1, 3, 4), (1, 4, 5)]


def test_leading_axes_count_as_rows(multiplications):
    layer = FactorizedDense(5, hidden_units=4, use_bias=False, factor_initializer="ones")
    layer.build((None, None, 3))
    layer(np.ones((1, 1000, 3), "float32"))
    assert multiplications == [(3, 4, 5), (1000, 3, 5)]


def test_wide_outputs_are_multiplied_by_few_rows(multiplications):
    # 4 * 3 * (2 + 100) one after the other, against 2 * 3 * 100 + 4 * 2 * 100.
    matrix_functions.chain_product([ops.ones((4, 2)), ops.ones((2, 3)), ops.ones((3, 100))])
    assert multiplications == [(4, 2, 3), (4, 3, 100)]


@pytest.mark.tensorflow("traced functions")
def test_unknown_rows_go_through_one_factor_after_the_other(multiplications):
    import tensorflow as tf

    layer = FactorizedDense(5, depth=3, hidden_units=4, use_bias=False, factor_initializer="ones")
    layer.build((None, 3))
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, 3), "float32")])
    traced.get_concrete_function()
    assert multiplications == [(None, 3, 4), (None, 4, 4), (None, 4, 5)]


def test_a_bottleneck_is_not_multiplied_out(multiplications):
    # The product of a 9 x 1 and a 1 x 9 factor costs 81; a batch of 4 through both only 72.
    matrices = [ops.ones((4, 9)), ops.ones((9, 1)), ops.ones((1, 9))]
    matrix_functions.chain_product(matrices)
    assert multiplications == [(4, 9, 1), (4, 1, 9)]


def test_a_single_matrix_is_returned_as_it_is():
    variable = keras.Variable(np.ones((2, 3), "float32"))
    assert matrix_functions.chain_product([variable]) is variable
    assert matrix_functions.end_to_end_kernel([variable]) is variable


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_empty_batches(shape):
    product = matrix_functions.chain_product([ops.ones(shape), ops.ones((3, 4)), ops.ones((4, 5))])
    assert tuple(product.shape) == (*shape[:-1], 5)


def test_end_to_end_kernel_is_the_product_from_left_to_right():
    random = np.random.default_rng(0)
    factors = [random.integers(-3, 4, shape) for shape in [(2, 3), (3, 5), (5, 1), (1, 4)]]
    tensors = [ops.cast(factor, "float32") for factor in factors]
    product = matrix_functions.end_to_end_kernel(tensors)
    np.testing.assert_array_equal(product, functools.reduce(np.matmul, factors))
