"""The theorem as a test: descent on balanced factors is the end-to-end rule, to first order.

Both run for the same time (steps times learning rate) from the same product; the largest gap
between the products is then of the order of the learning rate (Theorem 1 is about its limit 0).
"""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from tfoverparam import EndToEnd
from tfoverparam.matrix_functions import balanced_factors, end_to_end_kernel

RATES = (0.02, 0.01, 0.005)
TIME = 0.4

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(20, 5)) / 2


def l2_gradient(kernel):
    return INPUTS.T @ (INPUTS @ kernel - 1) / len(INPUTS)


def l4_gradient(kernel):
    # Scaled down: it is steep, and the rates are to be small enough for the first order to rule.
    return INPUTS.T @ (INPUTS @ kernel - 1) ** 3 / len(INPUTS) / 8


def cross_entropy_gradient(kernel):
    probabilities = np.exp(INPUTS @ kernel)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.eye(kernel.shape[1])[np.arange(len(INPUTS)) % kernel.shape[1]]
    return INPUTS.T @ (probabilities - labels) / len(INPUTS)


def train_factors(factors, gradient_of, rate):
    factors = [np.asarray(factor) for factor in factors]
    for _ in range(round(TIME / rate)):
        gradient = gradient_of(functools.reduce(np.matmul, factors))
        factors = [
            factor
            - rate
            * functools.reduce(np.matmul, factors[:j], np.eye(len(factors[0]))).T
            @ gradient
            @ functools.reduce(np.matmul, factors[j + 1 :], np.eye(factor.shape[1])).T
            for j, factor in enumerate(factors)
        ]
    return functools.reduce(np.matmul, factors)


def train_end_to_end(kernel, gradient_of, rate, depth):
    variable = keras.Variable(kernel, dtype="float64", name="kernel")
    optimizer = EndToEnd(keras.optimizers.SGD(rate), depth=depth)
    optimizer.build([variable])
    for _ in range(round(TIME / rate)):
        gradient = gradient_of(ops.convert_to_numpy(variable))
        optimizer.apply([ops.convert_to_tensor(gradient)])
    return ops.convert_to_numpy(variable)


def gaps(factors, gradient_of):
    start = np.asarray(end_to_end_kernel([ops.convert_to_tensor(f) for f in factors]))
    return [
        np.linalg.norm(
            train_factors(factors, gradient_of, rate)
            - train_end_to_end(start, gradient_of, rate, len(factors))
        )
        for rate in RATES
    ]


def slope(values):
    return np.polyfit(np.log(RATES), np.log(values), 1)[0]


@pytest.mark.parametrize(
    "gradient_of, units, depth",
    [
        pytest.param(l2_gradient, 1, 5, id="l2"),
        pytest.param(l4_gradient, 3, 2, id="l4"),
        pytest.param(cross_entropy_gradient, 7, 3, id="cross-entropy", marks=pytest.mark.slow),
    ],
)
def test_from_a_balanced_start_the_gap_is_of_the_order_of_the_learning_rate(
    gradient_of, units, depth
):
    kernel = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(5, units)))
    factors = balanced_factors(kernel, depth, seed=2)
    assert 0.9 < slope(gaps(factors, gradient_of)) < 1.1


@pytest.mark.slow
def test_from_an_unbalanced_start_the_gap_stays_and_grows_with_the_imbalance():
    kernel = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(5, 3)))
    first, second = balanced_factors(kernel, 2, seed=2)
    # The same product; the larger the scale, the further from balance.
    found = [gaps([first * scale, second / scale], l2_gradient) for scale in (1.5, 3.0)]
    for one in found:
        assert abs(slope(one)) < 0.2
    assert found[1][-1] > 2 * found[0][-1]
