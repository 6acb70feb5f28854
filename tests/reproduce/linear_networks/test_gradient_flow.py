"""The flow, against the closed form, finite differences and descent with small steps."""

import functools

import numpy as np
import pytest

from reproduce.linear_networks.exact import (
    end_to_end,
    gradient_flow,
    jacobian,
    sharpness,
    velocity,
)


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 4)) * np.array([3, 1, 0.3, 0.1])
    return features, features @ random.normal(size=4) + 0.1 * random.normal(size=30)


def test_depth_1_follows_the_closed_form(data):
    features, targets = data
    start, times = np.full((4, 1), 0.01), np.array([0, 0.1, 1, 10, 100])
    found = end_to_end(gradient_flow([start], features, targets, 2, times), 4)
    values, vectors = np.linalg.eigh(features.T @ features / 30)
    best = np.linalg.lstsq(features, targets, rcond=None)[0]
    for t, kernel in zip(times, found):
        remaining = np.exp(-2 * values * t) * (vectors.T @ (start[:, 0] - best))
        np.testing.assert_allclose(kernel, best + vectors @ remaining, atol=1e-6)


@pytest.mark.parametrize("depth, p", [(1, 4), (2, 2), (3, 4), (4, 2)])
def test_the_velocity_and_its_derivative_are_those_of_finite_differences(data, depth, p):
    state = np.random.default_rng(1).normal(size=4 + depth - 1)

    def loss(state):
        return np.mean((data[0] @ state[:4] * np.prod(state[4:]) - data[1]) ** p)

    steps = 1e-5 * np.eye(len(state))
    slopes = [(loss(state + h) - loss(state - h)) / 2e-5 for h in steps]
    np.testing.assert_allclose(velocity(state, *data, p), -np.array(slopes), rtol=1e-6)
    columns = [
        (velocity(state + h, *data, p) - velocity(state - h, *data, p)) / 2e-5 for h in steps
    ]
    exact = jacobian(state, *data, p)
    np.testing.assert_allclose(exact, np.array(columns).T, atol=1e-7 * np.abs(exact).max())


@pytest.mark.parametrize("depth, p", [(2, 4), (3, 2)])
def test_descent_with_small_steps_comes_close(data, depth, p):
    random, rate, steps = np.random.default_rng(2), 1e-5, 20000
    factors = [0.5 * random.normal(size=(4, 1))] + [np.array([[0.8]])] * (depth - 1)
    found = end_to_end(gradient_flow(factors, *data, p, [0, rate * steps]), 4)
    state = np.concatenate([factor.ravel() for factor in factors])
    for _ in range(steps):
        state = state + rate * velocity(state, *data, p)
    np.testing.assert_allclose(found[0], functools.reduce(np.matmul, factors)[:, 0])
    np.testing.assert_allclose(found[1], state[:4] * np.prod(state[4:]), rtol=1e-3)


@pytest.mark.parametrize("above", [False, True])
def test_descent_is_stable_up_to_two_by_the_sharpness(data, above):
    best = np.linalg.lstsq(*data, rcond=None)[0]
    largest = sharpness(best, *data, 2)
    assert largest == pytest.approx(2 * np.linalg.norm(data[0], 2) ** 2 / 30)
    rate, state = (2.02 if above else 1.98) / largest, best + 1e-3
    for _ in range(1000):
        state = state + rate * velocity(state, *data, 2)
    assert (np.linalg.norm(state - best) > 1) == above
