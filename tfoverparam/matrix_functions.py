"""The mathematics of products of matrices, as pure functions of `keras.ops`.

Orientation. Keras multiplies from the right, `outputs = inputs @ kernel`, so a kernel has the
shape `(input_dim, units)` and is the transpose of the paper's end-to-end matrix W_e. A product
is written in the order in which its factors are applied,

    kernel = factors[0] @ factors[1] @ ... @ factors[N-1],

and the paper's W_j is the transpose of `factors[j - 1]`. This is the only place that says so.

References:
    Arora, Cohen, Hazan, 2018. On the Optimization of Deep Networks: Implicit Acceleration by
    Overparameterization. https://arxiv.org/abs/1802.06509
"""

import functools
import math

import keras
from keras import ops

from tfoverparam.arguments import (
    check_chain,
    check_depth,
    check_finite,
    check_matrix,
    check_positive_integer,
    check_shape,
    checked_hidden_widths,
    hidden_widths,
)
from tfoverparam.polar_factor import polar_factor


@functools.lru_cache(maxsize=None)
def _cheapest_splits(dims):
    """Where to split each run of matrices so that a chain costs the fewest multiplications.

    Matrix `i` has the shape `(dims[i], dims[i + 1])`. Returns a dict from `(first, last)` to the
    index of the last matrix of the left part.
    """
    count = len(dims) - 1
    cost = {(i, i): 0 for i in range(count)}
    split = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            cost[first, last], split[first, last] = min(
                (
                    cost[first, middle]
                    + cost[middle + 1, last]
                    + dims[first] * dims[middle + 1] * dims[last + 1],
                    middle,
                )
                for middle in range(first, last)
            )
    return split


def chain_product(matrices):
    """Product of a chain of matrices, in the order that needs the fewest multiplications.

    Args:
        matrices: A sequence of at least one tensor or variable. The first may have any rank >= 2
            (its leading axes count as rows), the others are matrices.

    Returns:
        A tensor of shape `matrices[0].shape[:-1] + (matrices[-1].shape[-1],)`. The input itself
        when there is one matrix only. Where the number of rows is unknown (a batch of unknown
        size in a traced function) the product is taken from left to right, which is the cheap
        order for few rows.

    Raises:
        ValueError: If there is no matrix, or if they cannot be multiplied in this order.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import chain_product
    >>> batch, kernel = keras.ops.ones((2, 3)), keras.ops.ones((3, 4))
    >>> tuple(chain_product([batch, kernel, keras.ops.ones((4, 5))]).shape)
    (2, 5)
    """
    check_chain(matrices)
    rows = matrices[0].shape[:-1]
    # On JAX, Keras finds out the shapes of a layer's outputs with a symbol for what is unknown.
    if not all(isinstance(size, int) for size in rows):
        return functools.reduce(_matmul, matrices)
    dims = (math.prod(rows), *(int(matrix.shape[-2]) for matrix in matrices[1:]))
    split = _cheapest_splits((*dims, int(matrices[-1].shape[-1])))

    def product(first, last):
        if first == last:
            return matrices[first]
        middle = split[first, last]
        return _matmul(product(first, middle), product(middle + 1, last))

    return product(0, len(matrices) - 1)


def _matmul(left, right):
    product = ops.matmul(left, right)
    # On PyTorch, Keras makes a float32 matrix of two in float64: too few bits, but all operations
    # that follow want the dtype of what it is combined with.
    is_double = keras.backend.standardize_dtype(left.dtype) == "float64"
    return ops.cast(product, "float64") if is_double else product


def end_to_end_kernel(factors):
    """The product of `factors`: the transpose of the paper's W_e (Equation 5).

    Args:
        factors: A sequence of N >= 1 matrices, `factors[j]` of shape `(d_j, d_(j+1))`.

    Returns:
        A matrix of shape `(d_0, d_N)`.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import end_to_end_kernel
    >>> keras.ops.convert_to_numpy(end_to_end_kernel([2 * keras.ops.eye(2), keras.ops.eye(2)]))
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """
    return chain_product(factors)


def squared_norm_of_product(factors):
    """Squared Frobenius norm of the product of `factors`, and its gradient, at least cost.

    For two factors A (d x h) and B (h x k) it is `sum((A'A) * (BB'))`, whose gradient
    `(2 A BB', 2 A'A B)` reuses both Gram matrices: `2 h^2 (d + k)` multiplications in a training
    step against `3 d h k` by way of the product. The cheaper way is taken; both are exact.

    Args:
        factors: A sequence of matrices that can be multiplied in this order.

    Returns:
        A scalar tensor.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import squared_norm_of_product
    >>> float(squared_norm_of_product([2 * keras.ops.ones((9, 2)), keras.ops.ones((2, 1))]))
    144.0
    """
    if len(factors) == 2:
        (d, h), k = factors[0].shape, factors[1].shape[1]
        if 2 * h * (d + k) < 3 * d * k:
            # Reshaping reads the variables at no cost: a custom gradient takes tensors only.
            return _squared_norm_by_grams(*(ops.reshape(f, f.shape) for f in factors))
    return ops.sum(ops.square(end_to_end_kernel(factors)))


@ops.custom_gradient
def _squared_norm_by_grams(a, b):
    gram_a = ops.matmul(ops.transpose(a), a)
    gram_b = ops.matmul(b, ops.transpose(b))

    def gradient(*args, upstream=None):
        scale = 2 * (args[0] if upstream is None else upstream)
        return scale * ops.matmul(a, gram_b), scale * ops.matmul(gram_a, b)

    return ops.sum(gram_a * gram_b), gradient


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


def gram_basis(kernel):
    """Eigenvectors and eigenvalues of the smaller Gram matrix of a kernel.

    Args:
        kernel: Matrix of shape `(d, k)`, float32 or float64.

    Returns:
        The eigenvectors, as columns of a matrix of shape `(n, n)`, n = min(d, k), and the
        eigenvalues, the squared singular values of the kernel, of shape `(n,)`. Those below
        `eps * max(d, k)` times the largest are exact zeros: to a fractional power, what rounding
        leaves of a zero would be far from zero. Of a kernel that is not finite, as after a
        divergence, they are NaN.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import gram_basis
    >>> _, values = gram_basis(3 * keras.ops.ones((4, 2)))
    >>> keras.ops.convert_to_numpy(values).round(4)
    array([ 0., 72.], dtype=float32)
    """
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"`kernel` must be of float32 or float64. Received: dtype={dtype}")
    if kernel.shape[0] < kernel.shape[1]:
        kernel = ops.transpose(kernel)
    gram = ops.matmul(ops.transpose(kernel), kernel)
    # Of what is not finite, no backend makes a decomposition; some end the program.
    is_finite = ops.all(ops.isfinite(gram))
    values, vectors = ops.eigh(ops.where(is_finite, gram, ops.zeros_like(gram)))
    values = ops.where(is_finite, values, math.nan)
    epsilon = 2.0**-52 if dtype == "float64" else 2.0**-23
    is_zero = values <= epsilon * kernel.shape[0] * ops.max(values)
    return vectors, ops.where(is_zero, ops.zeros_like(values), values)


def end_to_end_direction(kernel, gradient, depth, basis=None):
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

    At N = 2 in float32, for sides of at least 32 and within a factor of 2, the polar factor Q of
    the kernel gives both square roots by products alone, which is faster there:

        G Q' kernel  +  kernel Q' G.

    Args:
        kernel: Matrix of shape `(d, k)`, float32 or float64.
        gradient: Gradient of the loss with respect to the kernel, of the same shape. NaN and
            infinity pass into the result; no decomposition sees them.
        depth: Real number N >= 1. With N = 1 the gradient is returned as it is.
        basis: What `gram_basis` returned for this kernel, or for a close one: the direction is
            then approximate, and costs no decomposition. Defaults to `None`, this kernel's.

    Returns:
        A matrix of shape `(d, k)`; zero where `kernel` is, unless N = 1.

    Raises:
        ValueError: If `depth` is no number >= 1, or the shapes differ.

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
    if depth == 2 and basis is None and _is_polar_factor_faster(kernel):
        return _depth_2_direction(kernel, gradient)
    v, eigenvalues = gram_basis(kernel) if basis is None else basis
    if kernel.shape[0] < kernel.shape[1]:
        kernel, gradient = ops.transpose(kernel), ops.transpose(gradient)
        return ops.transpose(
            end_to_end_direction(kernel, gradient, depth, basis=(v, eigenvalues))
        )
    v_t = ops.transpose(v)
    log_a = _log_or_minus_infinity(eigenvalues) / depth
    scale = ops.exp((depth - 1) * log_a)
    inner = ops.matmul(v_t, ops.matmul(ops.matmul(ops.transpose(kernel), gradient), v))
    larger, quotient = _divided_differences(log_a, depth - 1)
    is_zero = ops.isinf(log_a)
    log_row = ops.where(is_zero, ops.zeros_like(log_a), log_a)[:, None]
    ratio = ops.exp((depth - 2) * larger - (depth - 1) * log_row) * quotient
    inner = ops.where(is_zero[:, None], ops.zeros_like(inner), ratio * inner)
    return ops.matmul(gradient, ops.matmul(v * scale, v_t)) + ops.matmul(
        kernel, ops.matmul(v, ops.matmul(inner, v_t))
    )


def _is_polar_factor_faster(kernel):
    dtype = keras.backend.standardize_dtype(kernel.dtype)
    smaller, larger = sorted(kernel.shape)
    return dtype == "float32" and 32 <= smaller and larger <= 2 * smaller


def _depth_2_direction(kernel, gradient):
    """`gradient [W' W]^(1/2) + [W W']^(1/2) gradient`, W the kernel."""
    if kernel.shape[0] < kernel.shape[1]:
        return ops.transpose(_depth_2_direction(ops.transpose(kernel), ops.transpose(gradient)))
    q_t = ops.transpose(polar_factor(kernel))
    root = ops.matmul(q_t, kernel)
    root = (root + ops.transpose(root)) / 2  # as it is but for rounding, most of which cancels
    return ops.matmul(gradient, root) + ops.matmul(kernel, ops.matmul(q_t, gradient))


def preconditioner_eigenvalues(singular_values, depth):
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
        ValueError: If `depth` is no number >= 1, or `singular_values` no vector.

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
            "`singular_values` must be a vector. Received: shape "
            f"{tuple(singular_values.shape)}"
        )
    logs = _log_or_minus_infinity(singular_values)
    larger, quotient = _divided_differences(2 * logs / depth, depth)
    if depth == 1:
        return ops.ones_like(quotient)
    return ops.exp((depth - 1) * larger) * quotient


def factor_direction(factors, gradient):
    """The exact first-order step of a product whose factors descend, no balance assumed.

    Where each factor moves against its own gradient, at the same learning rate, the product
    moves, to first order in it, against `sum_l A_l A_l' G B_l' B_l`, with A_l the product of the
    factors before the l-th and B_l of those after it. For balanced factors this is
    `end_to_end_direction` (Theorem 1).

    Args:
        factors: A sequence of N >= 1 matrices, `factors[j]` of shape `(d_j, d_(j+1))`.
        gradient: Gradient of the loss with respect to the product, shape `(d_0, d_N)`.

    Returns:
        A matrix of shape `(d_0, d_N)`.

    Raises:
        ValueError: If the shapes do not fit.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import factor_direction
    >>> two, three, one = (n * keras.ops.ones((1, 1)) for n in (2.0, 3.0, 1.0))
    >>> float(factor_direction([two, three], one)[0, 0])  # 3 * 3 + 2 * 2
    13.0
    """
    factors = [ops.convert_to_tensor(factor) for factor in factors]
    check_chain(factors)
    check_shape("gradient", gradient, (factors[0].shape[0], factors[-1].shape[-1]))
    direction = ops.zeros_like(gradient)
    for index in range(len(factors)):
        before, after = factors[:index], factors[index + 1 :]
        transposed = [ops.transpose(factor) for factor in (*before, *after)]
        # A_l' and B_l', the transposed products, whose order is reversed.
        left, right = transposed[:index][::-1], transposed[index:][::-1]
        direction = direction + chain_product([*before, *left, gradient, *right, *after])
    return direction


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
        The logarithms of the larger of each pair, and the quotients, both of shape (n, n).
    """
    shape = (log_a.shape[0], log_a.shape[0])
    row = ops.broadcast_to(log_a[:, None], shape)
    column = ops.broadcast_to(log_a[None, :], shape)
    larger = ops.maximum(row, column)
    equal = row == column  # two zeros too, of which the difference of logarithms is NaN
    log_t = ops.where(equal, -ops.ones_like(larger), ops.minimum(row, column) - larger)
    quotient = ops.expm1(power * log_t) / ops.expm1(log_t)
    return larger, ops.where(equal, power, quotient)
