"""The smallest l_p loss of a linear model: what the figures measure distance from."""

import numpy as np

GRADIENT_NORM = 1e-10
LARGEST_NUMBER_OF_STEPS = 200


class NotConvergedError(Exception):
    """The solve did not get to its tolerance."""


def optimum(features, targets, p):
    """The kernel that minimises mean |features kernel - targets|^p, p an even integer.

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
