"""The optimum, against SciPy, and what is asked of it."""

import numpy as np
import pytest
from scipy import optimize

from reproduce.linear_networks import exact as module
from reproduce.linear_networks.exact import NotConvergedError, optimum


def problem(condition=10.0):
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 5)) * np.geomspace(1, 1 / condition, 5)
    return features, features @ random.normal(size=5) + random.standard_t(3, size=60)


@pytest.mark.parametrize("p", [2, 4, 6])
def test_no_other_solver_finds_a_smaller_loss(p):
    features, targets = problem()
    kernel, loss = optimum(features, targets, p)
    found = optimize.minimize(
        lambda w: np.mean((features @ w - targets) ** p),
        np.zeros(5),
        jac=lambda w: p / 60 * features.T @ (features @ w - targets) ** (p - 1),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    assert loss == pytest.approx(found.fun, rel=1e-10)
    np.testing.assert_allclose(kernel, found.x, rtol=1e-4)


@pytest.mark.parametrize("p", [2, 4])
def test_an_ill_conditioned_problem_has_a_gradient_of_zero(p):
    features, targets = problem(condition=1e4)
    kernel, loss = optimum(features, targets, p)
    residuals = features @ kernel - targets
    assert np.linalg.norm(p / 60 * features.T @ residuals ** (p - 1)) <= 1e-10
    assert loss == pytest.approx(np.mean(residuals**p), rel=1e-14)


def test_for_l2_it_is_least_squares():
    features, targets = problem()
    kernel, _ = optimum(features, targets, 2)
    expected = np.linalg.lstsq(features, targets, rcond=None)[0]
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)


@pytest.mark.parametrize("step, share", [(-1.5, 1), (-3, 1 / 2), (-5, 1 / 4), (1, 2.0**-20)])
def test_a_step_that_raises_the_loss_is_halved_until_it_does_not_or_is_tiny(step, share):
    # The loss is the square of the kernel, which is 1.
    found = module._line_search(np.ones(1), np.array([step]), np.ones((1, 1)), np.zeros(1), 2)
    np.testing.assert_allclose(found, 1 + share * step, rtol=1e-12)


def test_what_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_NUMBER_OF_STEPS", 3)
    with pytest.raises(NotConvergedError, match="after 3 steps"):
        optimum(*problem(), 4)
