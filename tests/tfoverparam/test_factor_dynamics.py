"""The rule's step against Equation 10, and the time to leave zero against training itself."""

import functools
import math

import numpy as np
import pytest
from keras import ops
from tfoverparam.factor_dynamics import iterations_to_leave_zero, rule_step, singular_values
from tfoverparam.matrix_functions import balanced_factors, end_to_end_direction


def chain(matrices, size):
    return functools.reduce(np.matmul, matrices, np.eye(size))


def gradients(factors, gradient):
    """Of a loss with respect to each factor, from that with respect to the product."""
    return [
        chain(factors[:j], gradient.shape[0]).T
        @ gradient
        @ chain(factors[j + 1 :], factor.shape[1]).T
        for j, factor in enumerate(factors)
    ]


def tensors(arrays):
    return [ops.convert_to_tensor(array, dtype="float64") for array in arrays]


@pytest.mark.float64
@pytest.mark.parametrize("dims", [(6, 4, 3), (3, 5, 6), (5, 4, 4, 4), (2, 7, 3, 3, 4), (4, 3, 1)])
def test_it_is_the_rule_whether_or_not_the_factors_are_balanced(dims):
    random = np.random.default_rng(0)
    factors = [random.normal(size=shape) for shape in zip(dims[:-1], dims[1:])]
    gradient = random.normal(size=(dims[0], dims[-1]))
    depth = len(factors)
    found = rule_step(factors, gradients(factors, gradient))
    kernel = chain(factors, dims[0])
    expected = end_to_end_direction(*tensors([kernel, gradient]), depth)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.float64
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_balanced_factors_make_the_rules_step_with_any_moves(depth):
    random = np.random.default_rng(0)
    kernel = ops.convert_to_tensor(random.normal(size=(4, 4)))
    factors = [np.asarray(factor) for factor in balanced_factors(kernel, depth)]
    moves = [random.normal(size=factor.shape) for factor in factors]
    expected = sum(
        chain(factors[:j], 4) @ moves[j] @ chain(factors[j + 1 :], 4) for j in range(depth)
    )
    found = rule_step(factors, moves)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("dims", [(6, 4, 3), (2, 7, 3, 3, 4), (5, 2)])
def test_stacks_are_taken_one_by_one(dims):
    random = np.random.default_rng(0)
    shapes = list(zip(dims[:-1], dims[1:]))
    factors = [random.normal(size=(3, *shape)) for shape in shapes]
    moves = [random.normal(size=(3, *shape)) for shape in shapes]
    one_by_one = [(list(f), list(m)) for f, m in zip(zip(*factors), zip(*moves))]
    expected = np.stack([rule_step(*chain) for chain in one_by_one])
    np.testing.assert_allclose(rule_step(factors, moves), expected, rtol=1e-9, atol=1e-9)
    kernels = functools.reduce(np.matmul, factors)
    values = np.concatenate([np.linalg.svd(kernel)[1] for kernel in kernels])
    np.testing.assert_allclose(singular_values(kernels), np.sort(values)[::-1], rtol=1e-6)
    near_zero = [1e-3 * factor for factor in factors]
    times = [iterations_to_leave_zero([1e-3 * f for f in fs], ms) for fs, ms in one_by_one]
    assert iterations_to_leave_zero(near_zero, moves) == min(times)


def test_directions_in_which_the_product_is_zero():
    # Factors diag(2, 0): in the second direction the rule moves nothing.
    factor = np.diag([2.0, 0.0])
    found = rule_step([factor, factor], gradients([factor] * 2, np.eye(2)))
    np.testing.assert_allclose(found, np.diag([8.0, 0.0]), atol=1e-9)


def test_directions_in_which_the_product_is_small_but_not_zero():
    # Factors diag(1, s): in the second direction the rule moves 2 s^2. There the square of the
    # product is 8e-11 of the largest, which float32 could not tell from zero.
    factor = np.diag([1.0, 3e-3])
    found = rule_step([factor, factor], gradients([factor] * 2, np.eye(2)))
    np.testing.assert_allclose(np.diag(found), [2, 18e-6], rtol=1e-6)


def train(factors, rate, target, inputs, until):
    """Iterations until the product is half of the target, and the estimate after ten of them."""
    rows, estimate = len(target), None
    for iteration in range(until):
        kernel = chain(factors, rows)
        if np.linalg.norm(kernel) > 0.5 * np.linalg.norm(target):
            return iteration, estimate
        gradient = inputs.T @ inputs @ (kernel - target) / len(inputs)
        moves = [-rate * each for each in gradients(factors, gradient)]
        if iteration == 10:
            estimate = 10 + iterations_to_leave_zero(factors, moves)
        factors = [factor + move for factor, move in zip(factors, moves)]
    return math.inf, estimate


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "dims, stddev, rate",
    [((8, 1, 1), 0.01, 1e-2), ((8, 8, 8), 0.003, 1e-2), ((16, 16, 16, 4), 0.01, 0.2)],
)
def test_the_estimate_is_of_the_order_of_the_time_that_training_takes(dims, stddev, rate, seed):
    random = np.random.default_rng(seed)
    factors = [stddev * random.normal(size=shape) for shape in zip(dims[:-1], dims[1:])]
    target = random.normal(size=(dims[0], 1)) @ random.normal(size=(1, dims[-1]))
    target /= np.linalg.norm(target)
    inputs = random.normal(size=(200, dims[0]))
    taken, estimate = train(factors, rate, target, inputs, until=20000)
    assert 1 / 3 < estimate / taken < 3


def test_no_plateau_where_factors_are_not_near_zero():
    move = [1e-9 * np.ones((3, 3))] * 2
    assert iterations_to_leave_zero([np.eye(3)] * 2, move) == 0
    assert iterations_to_leave_zero([np.zeros((3, 3))], move[:1]) == 0
    # Trained to the end, and at rest.
    assert iterations_to_leave_zero([np.eye(3)] * 2, [np.zeros((3, 3))] * 2) == 0


def test_what_does_not_move_never_leaves():
    zeros = [np.zeros((3, 3))] * 2
    assert iterations_to_leave_zero(zeros, zeros) == math.inf
    assert iterations_to_leave_zero(zeros, [np.ones((3, 3))] * 2) == math.inf
