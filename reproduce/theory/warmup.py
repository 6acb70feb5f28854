"""Observation 1: a vector times a scalar moves as with momentum."""

import numpy as np

from reproduce.claims import judge

RATES = (1e-4, 5e-5, 2.5e-5, 1.25e-5)
STEPS = 30
SIZE, P = 5, 4
EXAMPLES = 20
START = 0.01


def observation_1(sampled):
    """The error of both forms of the observation over learning rates.

    Args:
        sampled: Whether descent is by an example a step, as in the paper's first version, or by the
            mean over all examples, as in the published one.
    """
    errors = np.array([decomposition_errors(rate, STEPS, sampled) for rate in RATES])
    slopes = [np.polyfit(np.log(RATES), np.log(column), 1)[0] for column in errors.T]
    share = share_of_the_start(rate=0.005, steps=8000, sampled=sampled)
    how = "SGD" if sampled else "gradient descent"
    return judge(
        f"{how} over w_1 w_2 is {how} over w with an adaptive learning rate rho and a momentum "
        "term with coefficients mu, up to O(eta^2)",
        f"Observation 1, {'first' if sampled else 'published'} version",
        "slopes of the error over eta in [1.9, 2.1]",
        f"{slopes[0]:.3f} with rho and gamma, {slopes[1]:.3f} with rho and mu (l{P} loss, "
        f"{STEPS} steps; largest error at eta = {RATES[0]:g}: {errors[0].max():.1e}, the start's "
        f"own term kept: after 8000 steps at eta = 0.005 it is {share:.1%} of w)",
        all(1.9 <= slope <= 2.1 for slope in slopes),
    )


def decomposition_errors(rate, steps, sampled):
    """Largest errors of one step of w = w_1 w_2 as the observation has it.

    Returns:
        With the factors' own values for w on the right-hand side (rho and gamma), and with
        weighted past gradients in its place (rho and mu).
    """
    with_gamma, with_momentum = [], []
    past: list = []  # pairs of a coefficient and a vector: the start, then the gradients
    for w1, w2, gradient in descent(rate, steps, sampled):
        w = w1 * w2
        past = past or [(1.0, w)]
        rho, gamma = rho_and_gamma(w1, w2, gradient, rate)
        next_w = (w1 - rate * w2 * gradient) * (w2 - rate * (w1 @ gradient))
        momentum = sum(gamma * coefficient * vector for coefficient, vector in past)
        with_gamma.append(np.linalg.norm(next_w - (w - rho * gradient - gamma * w)))
        with_momentum.append(np.linalg.norm(next_w - (w - rho * gradient - momentum)))
        past = [((1 - gamma) * coefficient, vector) for coefficient, vector in past]
        past.append((-rho, gradient))
    return np.max(with_gamma), np.max(with_momentum)


def share_of_the_start(rate, steps, sampled):
    """Norm of what the start contributes to w after training, relative to w."""
    coefficient, start = 1.0, 0.0
    for step, (w1, w2, gradient) in enumerate(descent(rate, steps, sampled)):
        if step == 0:
            start = float(np.linalg.norm(w1 * w2))
        coefficient *= 1 - rho_and_gamma(w1, w2, gradient, rate)[1]
    return abs(coefficient) * start / np.linalg.norm(w1 * w2)


def rho_and_gamma(w1, w2, gradient, rate):
    """The adaptive learning rate eta w_2^2, and gamma: eta over w_2 times the gradient for it."""
    return rate * w2**2, rate * (w1 @ gradient) / w2


def descent(rate, steps, sampled):
    """Descent over w_1 and w_2 from near zero, on regression without noise.

    Yields:
        w_1 of shape (d,), w_2, and the gradient for w = w_1 w_2, of shape (d,), in each step: the
        mean of (x'w - y)^(p-1) x, over one example, a new one each step, or over all.
    """
    rng = np.random.default_rng(4)
    target = rng.normal(size=SIZE) / np.sqrt(SIZE)
    w1, w2 = START * rng.normal(size=SIZE), START * rng.normal()
    inputs = np.random.default_rng(5).normal(size=(EXAMPLES, SIZE))
    for _ in range(steps):
        if sampled:
            inputs = rng.normal(size=(1, SIZE))
        gradient = np.mean((inputs @ (w1 * w2 - target))[:, None] ** (P - 1) * inputs, axis=0)
        yield w1, w2, gradient
        w1, w2 = w1 - rate * w2 * gradient, w2 - rate * (w1 @ gradient)
