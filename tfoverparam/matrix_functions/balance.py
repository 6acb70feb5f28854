"""Balanced factors (Equation 7), and the distance from balance."""

import keras
from keras import ops

from tfoverparam.arguments import (
    check_chain,
    check_finite,
    check_matrix,
    check_positive_integer,
    checked_hidden_widths,
    hidden_widths,
)


def balanced_factors(kernel, depth, hidden_units=None, seed=0):
    """Factors of `kernel` that satisfy Equation 7, the balance that Theorem 1 asks for.

    With the thin singular value decomposition `kernel = U S V'` they are

        U S^(1/N) Q_1',   Q_1 S^(1/N) Q_2',   ...,   Q_(N-1) S^(1/N) V',

    each Q_j a random matrix with orthonormal columns (uniformly distributed). Neighbours then
    have the same Gram matrix on the side that they share. Balanced factors have the rank of
    their product, so hidden width beyond it carries nothing: Equation 7 forbids it.

    Args:
        kernel: Matrix of shape `(d, k)`. Decomposed in at least float32.
        depth: Number of factors N >= 1.
        hidden_units: One width per hidden layer, `depth - 1` integers, or one for all. Defaults
            to `min(d, k)`. Where one is smaller than `min(d, k)` the factors multiply to the
            best approximation of `kernel` of that rank.
        seed: Integer. The rotations are a function of it.

    Returns:
        A list of `depth` matrices of the kernel's dtype.

    Raises:
        ValueError: If an argument is not of the kind described, or the kernel holds NaN or
            infinity.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import balanced_factors
    >>> first, second = balanced_factors(9 * keras.ops.ones((1, 1)), depth=2)
    >>> abs(float(first[0, 0])), round(float(first[0, 0] * second[0, 0]), 5)
    (3.0, 9.0)
    """
    check_positive_integer("depth", depth)
    check_matrix("kernel", kernel)
    if depth == 1:
        return [kernel]
    hidden_units = checked_hidden_widths("hidden_units", hidden_units, depth)
    hidden_units = hidden_widths(hidden_units, depth, *kernel.shape)
    check_finite("`kernel`", kernel)
    rank = min(*kernel.shape, *hidden_units)
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    working_dtype = dtype if dtype == "float64" else "float32"

    u, s, vt = ops.svd(ops.cast(kernel, working_dtype), full_matrices=False)
    root = s[:rank] ** (1 / depth)
    gaussians = keras.random.normal((sum(hidden_units), rank), seed=seed, dtype=working_dtype)
    frames = [u[:, :rank]]
    first_row = 0
    for width in hidden_units:
        q, r = ops.qr(gaussians[first_row : first_row + width])
        # The sign of R's diagonal is a convention of the QR routine: without it, Q is uniform.
        frames.append(ops.where(ops.diagonal(r) < 0, -q, q))
        first_row += width
    frames.append(ops.transpose(vt[:rank]))
    return [
        ops.cast(ops.matmul(left * root, ops.transpose(right)), dtype)
        for left, right in zip(frames[:-1], frames[1:])
    ]


def imbalance(factors):
    """How far `factors` are from the balance of Equation 7, relative to their own size.

    The largest Frobenius norm of `W_(j+1)' W_(j+1) - W_j W_j'` (in Keras's orientation:
    `factors[j] factors[j]' - factors[j-1]' factors[j-1]`) over all neighbours, divided by the
    largest Frobenius norm of those Gram matrices.

    Args:
        factors: A sequence of matrices that can be multiplied in this order.

    Returns:
        A scalar tensor >= 0: 0 for balanced factors, for a single one, and where all are zero.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import imbalance
    >>> float(imbalance([2 * keras.ops.eye(3), keras.ops.eye(3)]))
    0.75
    """
    factors = [ops.convert_to_tensor(factor) for factor in factors]
    check_chain(factors)
    if len(factors) == 1:
        return ops.zeros((), dtype=factors[0].dtype)
    norms, gaps = [], []
    for left, right in zip(factors[:-1], factors[1:]):
        left_gram = ops.matmul(ops.transpose(left), left)
        right_gram = ops.matmul(right, ops.transpose(right))
        norms += [ops.norm(left_gram), ops.norm(right_gram)]
        gaps.append(ops.norm(right_gram - left_gram))
    size = ops.max(ops.stack(norms))
    return ops.max(ops.stack(gaps)) / ops.where(size > 0, size, ops.ones_like(size))
