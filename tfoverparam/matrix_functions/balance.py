"""Balanced factors (Equation 7), and the distance from balance."""

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfoverparam.annotations import Tensor, Widths
from tfoverparam.arguments import (
    check_chain,
    check_finite,
    check_matrices,
    check_positive_integer,
    checked_hidden_widths,
    hidden_widths,
)
from tfoverparam.lapack import one_thread

# Entries of a kernel that are float64 at a time, if it is not wide: 4 MiB.
_BLOCK = 2**19


def balanced_factors(
    kernel: Tensor, depth: int, hidden_units: Widths = None, seed: int = 0
) -> list[Tensor]:
    """Factors of `kernel` that satisfy Equation 7, the balance that Theorem 1 asks for.

    With the thin singular value decomposition `kernel = U S V'` they are

        U S^(1/N) Q_1',   Q_1 S^(1/N) Q_2',   ...,   Q_(N-1) S^(1/N) V',

    each Q_j a random matrix with orthonormal columns (uniformly distributed). Neighbors then
    have the same Gram matrix on the side that they share. Balanced factors have the rank of
    their product, so hidden width beyond it carries nothing: Equation 7 forbids it.

    Matrices whose entries are known are decomposed on the host, in float64 throughout, so that
    the product is off by the rounding of the factors only, on every backend. While a function is
    traced, and for matrices of float64, the backend decomposes them, in at least float32.

    Args:
        kernel: Matrix of shape `(d, k)`, or a stack of them, of shape `(g, d, k)`.
        depth: Number of factors N >= 1.
        hidden_units: One width per hidden layer, `depth - 1` integers, or one for all. Defaults
            to `min(d, k)`. Where one is smaller than `min(d, k)` the factors multiply to the
            best approximation of `kernel` of that rank.
        seed: Integer. The rotations are a function of it.

    Returns:
        A list of `depth` matrices, or stacks of them, of the kernel's dtype.

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
    check_matrices("kernel", kernel)
    if depth == 1:
        return [kernel]
    d, k = kernel.shape[-2:]
    widths = hidden_widths(checked_hidden_widths("hidden_units", hidden_units, depth), depth, d, k)
    check_finite("`kernel`", kernel)
    factors = balanced_split(kernel, widths, seed)()
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    return [ops.cast(ops.convert_to_tensor(factor), dtype) for factor in factors]


def balanced_split(kernel, widths, seed):
    """A function of nothing to what `balanced_factors` returns, as arrays of float32 or tensors.

    The backend is done with: the function may be called in a thread of its own.
    """
    if not widths:
        return lambda: [kernel]
    *stack, d, k = kernel.shape
    rank = min(d, k, *widths)
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    working_dtype = dtype if dtype == "float64" else "float32"
    gaussians = keras.random.normal((*stack, sum(widths), rank), seed=seed, dtype=working_dtype)
    if dtype == "float64" or is_traced(kernel):
        u, s, vt = ops.svd(ops.cast(kernel, working_dtype), full_matrices=False)
        factors = _factors(ops, u, s, ops.swapaxes(vt, -1, -2), gaussians, widths)
        return lambda: factors
    return functools.partial(
        _split_on_host, ops.convert_to_numpy(kernel), ops.convert_to_numpy(gaussians), widths
    )


def are_zero(matrices):
    """Whether each matrix of a stack is of zeros, a tensor of shape `(..., 1, 1)`."""
    return ops.logical_not(ops.any(ops.not_equal(matrices, 0), axis=(-2, -1), keepdims=True))


def leaving_zero(matrices, factors):
    """Balanced factors that can move: of a matrix of zeros they are zeros, which cannot.

    There all but the one at the wider end are identities, cut or padded with zeros.

    Args:
        matrices: What the factors multiply to.
        factors: Balanced factors of it.
    """
    d, k = matrices.shape[-2:]
    wider = 0 if d >= k else len(factors) - 1
    is_zero = are_zero(matrices)
    return [
        factor
        if n == wider
        else ops.where(is_zero, ops.eye(*factor.shape[-2:], dtype=factor.dtype), factor)
        for n, factor in enumerate(factors)
    ]


def _split_on_host(kernel, gaussians, widths):
    first, u, s, v, last = _singular_value_decomposition(kernel)
    factors = _factors(np, u, s, v, gaussians, widths)
    if first is not None:
        factors[0] = _product(first, factors[0])
    if last is not None:
        transposed = _product(np.swapaxes(last, -1, -2), np.swapaxes(factors[-1], -1, -2))
        factors[-1] = np.swapaxes(transposed, -1, -2)
    return [np.ascontiguousarray(factor, "float32") for factor in factors]


def _factors(xp, u, s, v, gaussians, widths):
    """The balanced factors of `u diag(s) v'`; `keras.ops` has NumPy's names, so `xp` is either."""
    rank = gaussians.shape[-1]
    root = s[..., None, :rank] ** (1 / (len(widths) + 1))
    frames = [u[..., :rank]]
    first_row = 0
    for width in widths:
        frames.append(_rotation(gaussians[..., first_row : first_row + width, :], s.dtype, xp))
        first_row += width
    frames.append(v[..., :rank])
    return [
        xp.matmul(left * root, xp.swapaxes(right, -1, -2))
        for left, right in zip(frames[:-1], frames[1:])
    ]


def _rotation(gaussians, dtype, xp):
    """Matrices with orthonormal columns, uniformly distributed."""
    with one_thread():
        q, r = xp.linalg.qr(gaussians.astype(dtype) if xp is np else gaussians)
    # The sign of R's diagonal is a convention of the QR routine: without it, Q is uniform.
    return q * xp.sign(_diagonal(r, xp))


def is_traced(tensor):
    """Whether `tensor` stands for a value that is not known yet."""
    try:
        ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError, ValueError):
        return True
    return False


def _diagonal(matrices, xp):
    """The diagonals of a stack of square matrices, as rows."""
    return xp.diagonal(matrices, axis1=-2, axis2=-1)[..., None, :]


def _singular_value_decomposition(kernel):
    """U, s and V of `U diag(s) V'`, on the host, to the accuracy of float32 whatever the kernel.

    The eigenvectors V of the smaller Gram matrix take a third of the time of LAPACK's own
    decomposition, and U is then `kernel V / s`: the product with the kernel, which may have many
    rows, is left to the caller, who has to multiply by U anyway. In float64 the columns of
    `kernel V` are orthogonal up to 1e-16 of the largest singular value squared. Where some are so
    short that this turns them, QR makes U orthogonal; what R then has beside its diagonal, some
    1e-8 of the largest singular value, is dropped.

    Args:
        kernel: Array of shape `(..., d, k)`.

    Returns:
        A tuple `(first, u, s, v, last)` with `U = first u` and `V' = v' last`, where `first` and
        `last` may be `None`, for nothing to multiply by.
    """
    if kernel.shape[-2] < kernel.shape[-1]:
        first, v, s, u, _ = _singular_value_decomposition(np.swapaxes(kernel, -1, -2))
        return None, u, s, v, None if first is None else kernel
    gram = sum(np.swapaxes(rows, -1, -2) @ rows for rows in _in_float64(kernel))
    with one_thread():
        squares, v = np.linalg.eigh(gram)
    v = v[..., ::-1]  # the largest singular value comes first
    s = np.sqrt(np.maximum(squares, 0.0))[..., ::-1]
    if np.all(s[..., -1] > 1e-4 * s[..., 0]):
        return kernel, v / s[..., None, :], s, v, None
    with one_thread():
        q, r = np.linalg.qr(kernel.astype("float64") @ v)
    s = _diagonal(r, np)
    return None, np.where(s < 0, -q, q), np.abs(s)[..., 0, :], v, None


def _product(kernel, matrices):
    """Of float32, multiplied in float64."""
    rows = [(each @ matrices).astype("float32") for each in _in_float64(kernel)]
    return np.concatenate(rows, axis=-2)


def _in_float64(kernel):
    """The rows of an array, or of a stack, a few MiB or as many as there are columns at a time."""
    step = max(kernel.shape[-1], _BLOCK * kernel.shape[-2] // kernel.size)
    for first in range(0, kernel.shape[-2], step):
        yield kernel[..., first : first + step, :].astype("float64")


def imbalance(factors: Sequence[Tensor]) -> Tensor:
    """How far `factors` are from the balance of Equation 7, relative to their own size.

    The largest Frobenius norm of `W_(j+1)' W_(j+1) - W_j W_j'` (in Keras's orientation:
    `factors[j] factors[j]' - factors[j-1]' factors[j-1]`) over all neighbors, divided by the
    largest Frobenius norm of those Gram matrices. No scale of the factors overflows or vanishes
    on the way, as they are divided by their largest entry first.

    Args:
        factors: A sequence of matrices that can be multiplied in this order, or of stacks of
            them, of shapes `(g, d_j, d_(j+1))`.

    Returns:
        A scalar tensor >= 0, of at least float32: 0 for balanced factors, for a single one, and
        where all are zero. For stacks the largest of the g.

    Raises:
        ValueError: If the factors cannot be multiplied.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import imbalance
    >>> float(imbalance([2 * keras.ops.eye(3), keras.ops.eye(3)]))
    0.75
    """
    factors = [ops.convert_to_tensor(factor) for factor in factors]
    check_chain(factors, is_batch_first=False)
    if keras.backend.standardize_dtype(factors[0].dtype) in ("float16", "bfloat16"):
        factors = [ops.cast(factor, "float32") for factor in factors]
    if len(factors) == 1:
        return ops.zeros((), dtype=factors[0].dtype)
    largest = _largest([ops.max(ops.abs(each), axis=(-2, -1), keepdims=True) for each in factors])
    factors = [factor / _or_one(largest) for factor in factors]
    norms, gaps = [], []
    for left, right in zip(factors[:-1], factors[1:]):
        left_gram = ops.matmul(ops.swapaxes(left, -1, -2), left)
        right_gram = ops.matmul(right, ops.swapaxes(right, -1, -2))
        norms += [_norm(left_gram), _norm(right_gram)]
        gaps.append(_norm(right_gram - left_gram))
    return ops.max(_largest(gaps) / _or_one(_largest(norms)))


def _norm(matrices):
    """Frobenius norms of a stack of matrices."""
    return ops.sqrt(ops.sum(ops.square(matrices), axis=(-2, -1)))


def _largest(tensors):
    return ops.max(ops.stack(tensors), axis=0)


def _or_one(tensor):
    """What to divide by: 1 where there is nothing but zeros."""
    return ops.where(tensor > 0, tensor, ops.ones_like(tensor))
