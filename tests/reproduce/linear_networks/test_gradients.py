"""Gradients, and p = 2 in float64 against plain loops in NumPy that go through all examples."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from reproduce.linear_networks import Run, initial_factors, losses, train
from reproduce.linear_networks.gradients import gradients_of

STEPS = 400


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(1)
    features = random.normal(size=(50, 7)) * np.geomspace(1, 0.05, 7)
    return features, features @ random.normal(size=7) + 0.1 * random.normal(size=50)


@pytest.mark.parametrize("p, dtype, tolerance", [(2, "float64", 1e-14), (4, "float32", 1e-6)])
def test_gradients_are_those_of_the_loss(p, dtype, tolerance, data):
    features, targets = data
    kernels = np.random.default_rng(2).normal(size=(7, 3))
    gradients = gradients_of(features, targets, p)
    found = gradients(tf.constant(kernels, dtype))
    assert gradients.dtype == dtype == found.dtype.name
    expected = p / 50 * features.T @ (features @ kernels - targets[:, None]) ** (p - 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("p", [2, 4])
def test_a_gradient_is_finite_where_float32_can_hold_it(p):
    gradients = gradients_of(np.ones((1, 1)), np.zeros(1), p)
    kernels = (np.array([[3e38, 4e38, np.nan]]) / p) ** (1 / (p - 1))
    found = gradients(tf.constant(kernels, gradients.dtype)).numpy()
    assert np.isfinite(found).tolist() == [[True, False, False]]


RUNS = [
    Run(p=2, depth=1, learning_rate=0.1, seed=0),
    Run(p=2, depth=3, learning_rate=0.02, seed=1, start="identity"),
    Run(p=2, depth=3, width=4, learning_rate=0.02, seed=2, stddev=0.3),
    Run(p=2, depth=3, learning_rate=0.02, seed=3, rule="own", stddev=0.3),
    Run(p=2, depth=2, learning_rate=0.02, seed=3, rule="product", stddev=0.3),
    *(
        Run(p=2, depth=depth, learning_rate=rate, seed=4, optimizer=optimizer, stddev=0.3)
        for depth in (1, 2)
        for optimizer, rate in (
            ("adagrad", 0.05),
            ("adadelta", 1.0),
            ("adadelta_1e-8", 1.0),
            ("adam", 0.01),
        )
    ),
]


@pytest.fixture(scope="module")
def trained(data):
    return dict(zip(RUNS, train(RUNS, *data, STEPS, range(STEPS + 1))))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.optimizer} {run.depth} {run.rule}")
def test_for_p_2_it_is_descent_in_float64(run, data, trained):
    features, targets = data
    factors = initial_factors(run, features.shape[1])
    update, found = UPDATES[run.optimizer](), []
    for step in range(STEPS + 1):
        kernel = functools.reduce(np.matmul, factors)
        found.append(losses(kernel, features, targets, 2)[0])
        slope = 2 / len(targets) * features.T @ (features @ kernel - targets[:, None])
        directions = update(directions_of(run, factors, kernel, slope), run.learning_rate, step)
        factors = [factor - direction for factor, direction in zip(factors, directions)]
    assert found[-1] < 0.9 * found[0]
    np.testing.assert_allclose(np.array(trained[run].losses)[:, 1], found, rtol=1e-10)


def directions_of(run, factors, kernel, slope):
    """Each factor's gradient; or the rule's, as a matrix that is applied to that of the kernel."""
    if run.rule:
        norm = np.linalg.norm(kernel)
        projection = kernel @ kernel.T / norm**2
        return [
            norm ** (2 - 2 / run.depth)
            * (np.eye(len(kernel)) + (run.depth - 1) * projection)
            @ slope
        ]
    product = functools.partial(functools.reduce, np.matmul)
    before = [product([np.eye(len(kernel)), *factors[:j]]) for j in range(len(factors))]
    after = [product([*factors[j:], np.eye(1)]) for j in range(1, len(factors) + 1)]
    return [b.T @ slope @ a.T for b, a in zip(before, after)]


def sgd():
    return lambda gradients, rate, step: [rate * gradient for gradient in gradients]


def rounded(constant):
    """As Keras takes up some constants, whatever the dtype of the weights."""
    return float(np.float32(constant))


def elementwise(states, rule):
    """An optimizer that keeps `states` numbers for every weight."""
    kept = {}

    def update(gradients, rate, step):
        result = []
        for index, gradient in enumerate(gradients):
            before = kept.get(index, [start + 0 * gradient for start in states])
            direction, kept[index] = rule(gradient, before, step + 1)
            result.append(rate * direction)
        return result

    return update


def adagrad():
    def rule(gradient, state, _):
        total = state[0] + gradient**2
        return gradient / np.sqrt(total + 1e-7), [total]

    return elementwise([rounded(0.1)], rule)


def adadelta(epsilon=1e-7):
    def rule(gradient, state, _):
        squares = 0.95 * state[0] + 0.05 * gradient**2
        direction = np.sqrt(state[1] + epsilon) / np.sqrt(squares + epsilon) * gradient
        return direction, [squares, 0.95 * state[1] + 0.05 * direction**2]

    return elementwise([0.0, 0.0], rule)


def adam():
    def rule(gradient, state, t):
        first = 0.9 * state[0] + 0.1 * gradient
        second = 0.999 * state[1] + 0.001 * gradient**2
        rate = np.sqrt(1 - rounded(0.999) ** t) / (1 - rounded(0.9) ** t)
        return rate * first / (np.sqrt(second) + 1e-7), [first, second]

    return elementwise([0.0, 0.0], rule)


UPDATES = {
    "sgd": sgd,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adadelta_1e-8": functools.partial(adadelta, 1e-8),
    "adam": adam,
}
