"""Balance, small rates and the vanishing factor: by hand, by simulation, and made to fail."""

import numpy as np
import pytest

from reproduce import claims
from reproduce.theory import gradient_flow, line_integral, near_zero, preconditioner, rule


def test_the_imbalance_of_scalar_factors_by_hand(monkeypatch):
    monkeypatch.setattr(near_zero, "FEATURES", 1)
    monkeypatch.setattr(near_zero, "DRAWS", 1)
    rng = np.random.default_rng(0)
    first, second = (near_zero.STDDEV * rng.normal(size=(1, 1)).item() for _ in range(2))
    gap = abs(first**2 - second**2)
    relative, absolute = near_zero.imbalances((1,))
    assert absolute == pytest.approx(gap)
    assert relative == pytest.approx(gap / max(first**2, second**2))


def test_the_imbalance_of_the_paper_s_starts_is_that_of_their_first_layer():
    # A vector of 128 entries against a scalar: 128 * 0.01^2 against 0.01^2.
    relative, absolute = near_zero.imbalances((1,))
    assert relative > 0.95 and absolute == pytest.approx(128e-4, rel=0.1)


def test_a_start_is_balanced_in_part_and_wholly_if_its_factors_are_alike(monkeypatch):
    assert near_zero.balance().verdict == claims.PARTLY
    monkeypatch.setattr(near_zero, "imbalances", lambda widths: (0.05, 0.01))
    assert near_zero.balance().verdict == claims.HOLDS
    monkeypatch.setattr(near_zero, "imbalances", lambda widths: (0.5, 0.2))
    assert near_zero.balance().verdict == claims.FAILS


def test_scalar_factors_descend_as_the_rule_up_to_a_term_by_hand(monkeypatch):
    # Two equal scalars a, loss (w - t)^2 / 2: a <- a - r a (a^2 - t); the rule: w <- w - r 2 w g.
    monkeypatch.setattr(near_zero, "TIME", 0.1)
    start, target = 0.5, 2.0
    factors = [np.array([[np.sqrt(start)]])] * 2
    monkeypatch.setattr(
        gradient_flow, "problem", lambda *a, balanced: (lambda w: w - target, factors)
    )
    gradient = start - target
    by_factors = (np.sqrt(start) * (1 - 0.1 * gradient)) ** 2
    by_rule = start - 0.1 * 2 * start * gradient
    gap = near_zero.discrete_gap(1, 1, (1,), 2, 0.0, rate=0.1)
    assert gap == pytest.approx((by_factors - by_rule) / by_rule)
    # With decay: a <- a (1 - r l - r g), w <- w (1 - 2 r l) - r 2 w g.
    by_factors = (np.sqrt(start) * (1 - 0.1 * 0.3 - 0.1 * gradient)) ** 2
    by_rule = start * (1 - 2 * 0.1 * 0.3) - 0.1 * 2 * start * gradient
    gap = near_zero.discrete_gap(1, 1, (1,), 2, 0.3, rate=0.1)
    assert gap == pytest.approx((by_factors - by_rule) / by_rule)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_small_rates_hold_and_fail_with_the_rule_of_another_depth(weight_decay, monkeypatch):
    monkeypatch.setattr(gradient_flow, "NETWORKS", ((3, 2, (2,), 2),))
    assert near_zero.small_rates(weight_decay).verdict == claims.HOLDS
    right = rule.direction
    monkeypatch.setattr(rule, "direction", lambda w, g, depth: right(w, g, depth + 1))
    assert near_zero.small_rates(weight_decay).verdict == claims.FAILS


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_escape_time_is_that_of_a_simulated_descent_by_the_rule(depth):
    start, rate = 0.05, 1e-4
    gradient = np.array([0.6, -0.8])  # of norm 1
    w, steps = -start * gradient, 0
    while np.linalg.norm(w) < 1:
        w = w - rate * preconditioner.single_output_direction(w, gradient, depth)
        steps += 1
    assert near_zero.escape_time(depth, start) == pytest.approx(rate * steps, rel=0.01)


def test_start_norms_and_the_vanishing_factor(monkeypatch):
    # Of the norm of 128 numbers, and of the median of |z|, 0.674, for each scalar.
    assert near_zero.start_norm(1) == pytest.approx(0.01 * np.sqrt(128), rel=0.05)
    assert near_zero.start_norm(2) == pytest.approx(0.113 * 0.00674, rel=0.1)
    assert near_zero.vanishing_factor().verdict == claims.HOLDS
    monkeypatch.setattr(near_zero, "STDDEV", 0.5)
    assert near_zero.vanishing_factor().verdict == claims.FAILS


# Lemma 2, and what Theorem 2 assumes


def test_lemma_2_s_bound_on_a_straight_segment_by_hand():
    # Along e from -1 to -1/2 with phi = e: the integral of 3 |w|^(4/3), against 3 * 1/2 * 1 * 1.
    curve = line_integral.random_curve(3, 0.5, 1.0, np.random.default_rng(0))
    first, second, *_, whole = line_integral.lemma_2_ratios(lambda w: curve.e, curve, 3)
    integral = 3 * (1 - 0.5 ** (7 / 3)) / (7 / 3)
    assert first == pytest.approx(integral / 1.5)
    # Over the half circle of radius 1/2 from -e to e: 2 * (1/2)^(7/3), against 3 pi (1/2)^(7/3).
    assert second == pytest.approx(2 / (3 * np.pi))
    length = 1.0 + 1.5 * np.pi
    assert whole == pytest.approx(line_integral.closed_form(3, 0.5, 1.0) / (3 * length))


def test_lemma_2_holds_and_fails_with_the_rule_of_another_depth(monkeypatch):
    monkeypatch.setattr(line_integral, "SIZES", (3,))
    assert line_integral.lemma_2().verdict == claims.HOLDS
    right = rule.direction
    monkeypatch.setattr(rule, "direction", lambda w, g, depth: right(w, g, depth + 1))
    assert line_integral.lemma_2().verdict == claims.FAILS


def test_without_its_assumption_theorem_2_fails_and_with_it_it_does_not(monkeypatch):
    assert line_integral.theorem_2_without_its_assumptions().verdict == claims.HOLDS
    # A gradient that does not vanish at zero: least squares.
    loss = line_integral.least_squares(5, np.random.default_rng(0))
    right = line_integral.closed_integral
    monkeypatch.setattr(
        line_integral, "closed_integral", lambda phi, *rest: right(loss.gradient, *rest)
    )
    assert line_integral.theorem_2_without_its_assumptions().verdict == claims.FAILS


def test_the_potential_of_the_quadratic_loss_by_finite_differences():
    def potential(w, depth):
        return depth / (4 - 2 / depth) * np.linalg.norm(w) ** (4 - 2 / depth)

    w, step = np.array([0.3, -0.5, 0.7]), 1e-6
    for depth in (3, 4):
        gradient = [
            (potential(w + step * unit, depth) - potential(w - step * unit, depth)) / (2 * step)
            for unit in np.eye(3)
        ]
        assert line_integral.field(w, w, depth) == pytest.approx(gradient, rel=1e-6)
