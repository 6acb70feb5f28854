"""The end-to-end rule (Equation 10) and its preconditioner (Claim 1)."""

import math

import keras
from keras import ops

from tfoverparam.annotations import Tensor
from tfoverparam.arguments import check_depth, check_not_negative, check_shape


def end_to_end_direction(kernel: Tensor, gradient: Tensor, depth: float) -> Tensor:
    """The direction in which training a product of matrices moves the product (Equation 10).

    Where gradient descent on a single matrix moves it against its gradient G, descent on N
    balanced factors of it moves it, to first order in the learning rate, against

        sum_(j=1)^N [W W']^((j-1)/N) G [W' W]^((N-j)/N).

    No matrix power is formed. With the eigenvectors V of the smaller of the two Gram matrices,
    say `kernel' kernel`, and its eigenvalues s^2 (a = s^(2/N)), the sum is

        G V diag(a^(N-1)) V'  +  kernel V [R o (V' kernel' G V)] V',
        R_rs = a_r^(1-N) (a_r^(N-1) - a_s^(N-1)) / (a_r - a_s),

    which costs one eigendecomposition and four products with matrices of the kernel's size, for
    any real N >= 1. For N -> infinity the direction divided by N converges, to that with
    `N^(-1) R_rs -> (s_r^2 - s_s^2) / (s_r^2 (log s_r^2 - log s_s^2))` and no first term.

    Eigenvalues below `eps * max(d, k)` times the largest count as zeros: to a fractional power,
    what rounding leaves of a zero would be far from zero. In float32 that is reached where
    singular values spread over a factor of a few hundred; `EndToEnd`, which follows the singular
    bases from step to step, is not limited by it.

    Args:
        kernel: Matrix of shape `(d, k)`, float32 or float64, of any scale: it is divided by its
            largest entry first.
        gradient: Gradient of the loss with respect to the kernel, of the same shape. NaN and
            infinity pass into the result; no decomposition sees them.
        depth: Real number N >= 1. With N = 1 the gradient is returned as it is.

    Returns:
        A matrix of shape `(d, k)`; zero where `kernel` is, unless N = 1; NaN where the kernel
        holds what is not finite.

    Raises:
        ValueError: If `depth` is no number >= 1, the shapes differ, or the kernel is of another
            dtype.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import end_to_end_direction
    >>> kernel, gradient = 4 * keras.ops.ones((1, 1)), keras.ops.ones((1, 1))
    >>> float(end_to_end_direction(kernel, gradient, depth=2)[0, 0])  # 2 * |kernel|
    8.0
    """
    check_depth(depth)
    check_shape("gradient", gradient, kernel.shape)
    if depth == 1:
        return gradient
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"`kernel` must be of float32 or float64. Received: dtype={dtype}")
    if kernel.shape[0] < kernel.shape[1]:
        kernel, gradient = ops.transpose(kernel), ops.transpose(gradient)
        return ops.transpose(end_to_end_direction(kernel, gradient, depth))
    scale = largest_entry(kernel)
    kernel = kernel / scale
    v, eigenvalues = _gram_basis(kernel)
    v_t = ops.transpose(v)
    log_a = _log_or_minus_infinity(eigenvalues) / depth
    outside = ops.exp((depth - 1) * log_a)
    inner = ops.matmul(v_t, ops.matmul(ops.matmul(ops.transpose(kernel), gradient), v))
    larger, quotient = _divided_differences(log_a, depth - 1)
    is_zero = ops.isinf(log_a)
    log_row = ops.where(is_zero, ops.zeros_like(log_a), log_a)[:, None]
    ratio = ops.exp((depth - 2) * larger - (depth - 1) * log_row) * quotient
    inner = ops.where(is_zero[:, None], ops.zeros_like(inner), ratio * inner)
    direction = ops.matmul(gradient, ops.matmul(v * outside, v_t)) + ops.matmul(
        kernel, ops.matmul(v, ops.matmul(inner, v_t))
    )
    # In two steps, and last: the square of a small number may be none that float32 has.
    root = scale ** (1 - 1 / depth)
    return root * (root * direction)


def _gram_basis(kernel):
    """Eigenvectors and eigenvalues of `kernel' kernel`; NaN for a kernel that is not finite."""
    gram = ops.matmul(ops.transpose(kernel), kernel)
    # Of what is not finite, no backend makes a decomposition; some end the program.
    is_finite = ops.all(ops.isfinite(gram))
    values, vectors = ops.eigh(ops.where(is_finite, gram, ops.zeros_like(gram)))
    values = ops.where(is_finite, values, math.nan)
    epsilon = 2.0**-52 if keras.backend.standardize_dtype(kernel.dtype) == "float64" else 2.0**-23
    is_zero = values <= epsilon * kernel.shape[0] * ops.max(values)
    return vectors, ops.where(is_zero, ops.zeros_like(values), values)


def largest_entry(matrices):
    """The largest absolute value in each matrix, of shape `(..., 1, 1)`; 1 where all are zero."""
    # Takes half the time of the maximum of `abs(matrices)`, which would be stored.
    highest, lowest = (each(matrices, axis=(-2, -1), keepdims=True) for each in (ops.max, ops.min))
    largest = ops.maximum(highest, -lowest)
    return ops.where(largest == 0, ops.ones_like(largest), largest)


def preconditioner_eigenvalues(singular_values: Tensor, depth: float) -> Tensor:
    """Eigenvalues of the preconditioner that depth puts before the gradient (Claim 1).

    The one that belongs to the r-th left and the s-th right singular vector of the end-to-end
    matrix is

        sum_(j=1)^N sigma_r^(2 (N-j)/N) sigma_s^(2 (j-1)/N)
            = (sigma_r^2 - sigma_s^2) / (sigma_r^(2/N) - sigma_s^(2/N)),

    on the diagonal `N sigma_r^(2 - 2/N)`: the larger the singular values of a direction are, the
    further depth lets the matrix move in it.

    Args:
        singular_values: Vector of shape `(n,)`, float32 or float64, not negative. For a matrix
            that is not square, append zeros for the singular vectors of its larger side.
        depth: Real number N >= 1. With N = 1 all eigenvalues are 1.

    Returns:
        A symmetric matrix of shape `(n, n)`.

    Raises:
        ValueError: If `depth` is no number >= 1, `singular_values` no vector, or one of them
            negative.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import preconditioner_eigenvalues
    >>> values = keras.ops.convert_to_tensor([4.0, 1.0, 0.0], "float32")
    >>> keras.ops.convert_to_numpy(preconditioner_eigenvalues(values, depth=2)).round(4)
    array([[8., 5., 4.],
           [5., 2., 1.],
           [4., 1., 0.]], dtype=float32)
    """
    check_depth(depth)
    singular_values = ops.convert_to_tensor(singular_values)
    if len(singular_values.shape) != 1:
        raise ValueError(
            f"`singular_values` must be a vector. Received: shape {tuple(singular_values.shape)}"
        )
    check_not_negative("singular_values", singular_values)
    return eigenvalues_of_depth(singular_values, depth)


def eigenvalues_of_depth(singular_values, depth):
    """`preconditioner_eigenvalues` without its checks, of vectors of shape `(..., n)`."""
    logs = _log_or_minus_infinity(singular_values)
    larger, quotient = _divided_differences(2 * logs / depth, depth)
    if depth == 1:
        return ops.ones_like(quotient)
    return ops.exp((depth - 1) * larger) * quotient


def _log_or_minus_infinity(values):
    """Logarithms of numbers >= 0, minus infinity for 0."""
    is_zero = values == 0
    logs = ops.log(ops.where(is_zero, ops.ones_like(values), values))
    return ops.where(is_zero, -math.inf, logs)


def _divided_differences(log_a, power):
    """`(a_r^power - a_s^power) / (a_r - a_s)` for all pairs, as `larger^(power - 1) * quotient`.

    With t the smaller of a pair divided by the larger, the quotient is `(1 - t^power) / (1 - t)`.
    By way of `expm1` it is accurate however close the two are.

    Returns:
        The logarithms of the larger of each pair, and the quotients, both of shape (..., n, n).
    """
    shape = (*log_a.shape, log_a.shape[-1])
    row = ops.broadcast_to(log_a[..., :, None], shape)
    column = ops.broadcast_to(log_a[..., None, :], shape)
    larger = ops.maximum(row, column)
    equal = row == column  # two zeros too, of which the difference of logarithms is NaN
    log_t = ops.where(equal, -ops.ones_like(larger), ops.minimum(row, column) - larger)
    quotient = ops.expm1(power * log_t) / ops.expm1(log_t)
    return larger, ops.where(equal, power, quotient)


def with_length_of(gradient, direction):
    """The direction, scaled to the Frobenius norm of the gradient; zero stays zero."""
    length = _length(direction)
    return direction * (_length(gradient) / ops.where(length > 0, length, ops.ones_like(length)))


def _length(tensor):
    largest = ops.max(ops.abs(tensor))
    scale = ops.where(largest > 0, largest, ops.ones_like(largest))
    return scale * ops.sqrt(ops.sum(ops.square(tensor / scale)))
