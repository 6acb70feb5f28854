"""What training is measured against: the smallest l_p loss, and descent without a step size.

The gradient flow is that of a deep linear network with one unit a layer. An implicit solver follows
it through times at which no gradient descent is stable.
"""

import numpy as np
from scipy.integrate import solve_ivp

GRADIENT_NORM = 1e-10
LARGEST_NUMBER_OF_STEPS = 200


class NotConvergedError(Exception):
    """The solve did not get to its tolerance."""


def optimum(features, targets, p):
    """The kernel that minimizes mean |features kernel - targets|^p, p an even integer.

    Newton's method. The Hessian is p (p-1) A'A with A = diag(r^((p-2)/2)) X / sqrt(m), r the
    residuals, and may be very ill-conditioned: a step is a least squares problem in A, in which
    no Hessian is formed. For p = 2 the first step is the closed form.

    Args:
        features, targets: Arrays of shape (m, d) and (m,), float64.
        p: Even integer >= 2.

    Returns:
        The kernel, of shape (d,), with a gradient of norm at most 1e-10; and its loss.

    Raises:
        NotConvergedError: If the gradient's norm does not get there.
    """
    kernel = np.zeros(features.shape[1])
    for _ in range(LARGEST_NUMBER_OF_STEPS):
        residuals = features @ kernel - targets
        gradient = p / len(targets) * features.T @ residuals ** (p - 1)
        if np.linalg.norm(gradient) <= GRADIENT_NORM:
            return kernel, float(np.mean(residuals**p))
        weights = residuals ** ((p - 2) // 2)
        weighted = weights[:, None] * features
        # NumPy 1 has another default for `rcond`.
        step, *_ = np.linalg.lstsq(weighted, weights * residuals, rcond=None)
        kernel = _line_search(kernel, -step / (p - 1), features, targets, p)
    raise NotConvergedError(
        f"The gradient's norm is {np.linalg.norm(gradient):.1e} after "
        f"{LARGEST_NUMBER_OF_STEPS} steps, not {GRADIENT_NORM:.0e}."
    )


def _line_search(kernel, step, features, targets, p):
    """The whole step, or the first half, quarter … of it that does not raise the loss."""

    def loss(kernel):
        return np.mean((features @ kernel - targets) ** p)

    before, share = loss(kernel), 1.0
    # Near the optimum the loss no longer changes: rounding must not keep a good step back.
    while loss(kernel + share * step) > before * (1 + 1e-12) and share > 1e-6:
        share /= 2
    return kernel + share * step


def gradient_flow(factors, features, targets, p, times):
    """The state over time of a network that follows its negative gradient.

    Args:
        factors: The layers at time 0: arrays of shape (d, 1), (1, 1), … (1, 1).
        features, targets: Arrays of shape (m, d) and (m,).
        p: Even integer; the loss is mean |y - t|^p.
        times: Ascending, from 0: iterations times learning rate.

    Returns:
        Array of shape (len(times), d + depth - 1): at each time the first layer and then the
        scalars that follow it.

    Raises:
        RuntimeError: If the solver gives up.
    """
    start = np.concatenate([factor.ravel() for factor in factors])
    solution = solve_ivp(
        lambda t, state: velocity(state, features, targets, p),
        (0, times[-1]),
        start,
        method="BDF",
        t_eval=times,
        jac=lambda t, state: jacobian(state, features, targets, p),
        rtol=1e-7,
        atol=1e-10,
    )
    if not solution.success:
        raise RuntimeError(solution.message)
    return solution.y.T


def end_to_end(states, d):
    """The kernels (len(states), d) of an array of states."""
    return states[:, :d] * np.prod(states[:, d:], axis=1, keepdims=True)


def sharpness(state, features, targets, p):
    """The Hessian's largest eigenvalue.

    Descent is stable for as long as it is at most 2 by the learning rate: beyond, a small
    deviation from the flow grows.
    """
    return float(np.linalg.eigvalsh(-jacobian(state, features, targets, p))[-1])


def velocity(state, features, targets, p):
    """The negative gradient, of the first layer w (d,) and of the scalars that follow it."""
    w, scalars = np.split(state, [features.shape[1]])
    residuals = features @ w * np.prod(scalars) - targets
    gradient = p / len(targets) * features.T @ residuals ** (p - 1)
    others = _products_without(scalars)
    return -np.concatenate([np.prod(scalars) * gradient, others * (w @ gradient)])


def jacobian(state, features, targets, p):
    """Derivative of the velocity: the negative Hessian of the loss in w and the scalars."""
    d = features.shape[1]
    w, scalars = np.split(state, [d])
    product, others = np.prod(scalars), _products_without(scalars)
    residuals = features @ w * product - targets
    gradient = p / len(targets) * features.T @ residuals ** (p - 1)
    weights = p * (p - 1) / len(targets) * residuals ** (p - 2)
    # Of the end-to-end kernel w * product: its derivative, and its curvature along the gradient.
    inner = np.hstack([product * np.eye(d), np.outer(w, others)])
    hessian = inner.T @ (features.T @ (weights[:, None] * features)) @ inner
    hessian[:d, d:] += np.outer(gradient, others)
    hessian[d:, :d] += np.outer(others, gradient)
    for j in range(len(scalars)):
        for k in range(len(scalars)):
            if j != k:
                hessian[d + j, d + k] += (w @ gradient) * np.prod(np.delete(scalars, [j, k]))
    return -hessian


def _products_without(scalars):
    """For each of the numbers, the product of all others."""
    return np.array([np.prod(np.delete(scalars, j)) for j in range(len(scalars))])
