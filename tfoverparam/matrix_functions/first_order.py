"""Nearly diagonal matrices to first order: products with their powers, and their rotations."""

import keras
from keras import ops

# What a rotation is damped by, in the mean squares of the rest in its two rows.
DAMPING = 8.0
TINY = 1e-30
# Root mean square of what a vector's image under U'U is off by: above, it is more than rounding.
ROUNDING = {"float32": 1e-6, "float64": 2e-15}
IDENTITY = object()

# Equation 10 as a chain. With A = (W W')^(1/N) and C = (W' W)^(1/N), N = n M, it is
# sum_i A^i G C^(N-1-i) = sum_i (A^n)^i [sum_j A^j G C^(n-1-j)] (C^n)^(M-1-i).


def chain(vector, depth, operators):
    """`operators(n)`: how to add two vectors, and to multiply one by n-th roots on either side."""
    order = int(depth)
    for n in prime_factors(order):
        plus, left, right = operators(order)
        shifted = vector
        for _ in range(n - 1):
            shifted = right(shifted)
            vector = plus(left(vector), shifted)
        order //= n
    return vector


def square_vectors(powers):
    """For vectors U x V'."""

    def operators(n):
        a, c, _ = powers(n)
        return _plus, lambda x: ops.matmul(a, x), lambda x: ops.matmul(x, c)

    return operators


# For tall kernels a vector is several matrices: None for zero, `IDENTITY` for the f of F itself,
# which is gradient V.


def tall_vectors_with_u(powers, g, h):
    """For vectors (U x + R y + F f) V'; g = U' F and h = R' F."""

    def operators(n):
        a, c, z = powers(n)
        z = z[..., :, None]

        def left(vector):
            x, _, f = vector  # What A makes of R is of second order.
            x = _plus(x, _times(g, f))
            outside = None if f is None else z * _times(h, f)
            return _plus(ops.matmul(a, x), outside), z * x, None

        return _plus_each, left, lambda vector: [_times(each, c) for each in vector]

    return operators


def tall_vectors_without_u(powers, t):
    """For vectors (M y + F f) V'; M = kernel V, and t = M' F."""

    def operators(n):
        c, inverse = powers(n)
        t_n = ops.matmul(inverse, t)

        def left(vector):
            y, f = vector
            return _plus(None if y is None else ops.matmul(c, y), _times(t_n, f)), None

        return _plus_each, left, lambda vector: [_times(each, c) for each in vector]

    return operators


def _plus(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _plus_each(left, right):
    return [_plus(a, b) for a, b in zip(left, right)]


def _times(a, b):
    if a is None or b is None:
        return None
    if a is IDENTITY or b is IDENTITY:
        return b if a is IDENTITY else a
    return ops.matmul(a, b)


# The rotations, and what else is done to one matrix.


def rotations(s, e):
    """Skew matrices by which U and V turn, to first order, so that E becomes zero."""
    row, column = s[..., :, None], s[..., None, :]
    e_t = transpose(e)
    plus, minus = damped_rotation(e + e_t, column - row), damped_rotation(e - e_t, column + row)
    return (plus + minus) / 2, (plus - minus) / 2


def damped_rotation(rest, gaps, factor=1):
    """`rest / gaps`, less where the gap is not large against the rest in its row and column."""
    size = (factor * DAMPING / 2) * ops.sum(ops.square(rest), axis=-1)
    return rest * gaps / (ops.square(gaps) + (size[..., :, None] + size[..., None, :] + TINY))


def second_order(x):
    """A rotation less the identity, to second order in the skew matrix x."""
    return x + ops.matmul(x, x) / 2


def square_among_equals(s, e):
    """The square of the symmetric part of E among singular values that are all but equal.

    Others are left out by the weight, a power of `2 r s / (r^2 + s^2)`. What a power to first
    order misses of the second is, among equals, a multiple of this.
    """
    row, column = s[..., :, None], s[..., None, :]
    weight = ops.square(2 * row * column / (ops.square(row) + ops.square(column) + TINY))
    among = (e + transpose(e)) / 2 * ops.square(weight)
    return ops.matmul(among, among) * weight


def orthonormality_defect(basis):
    """What the columns of a basis are short of orthonormal by, in halves."""
    gram = ops.matmul(transpose(basis), basis)
    return (identity_like(gram[..., 0]) - gram) / 2


def with_repair(step, basis):
    """A step of a basis, and what its columns lack of orthonormal, if that is more than rounding.

    Rotations to second order leave them orthonormal to fourth: there is seldom much to repair. One
    vector tells whether there is, by its image under U'U, without a product of matrices.
    """
    dtype = keras.backend.standardize_dtype(step.dtype)
    probe = ops.cos(ops.arange(basis.shape[-1], dtype=dtype))[:, None]
    missed = ops.matmul(transpose(basis), ops.matmul(basis, probe)) - probe
    is_off = ops.max(ops.mean(ops.square(missed), axis=-2)) > ROUNDING[dtype] ** 2
    return choose(is_off, lambda: step + orthonormality_defect(basis), lambda: step)


def power_sum(a, b, n):
    """`sum_(i<n) a^i b^(n-1-i)`, which is `(a^n - b^n) / (a - b)`."""
    if n == 1:
        return 1.0
    if n % 2:
        return a * power_sum(a, b, n - 1) + b ** (n - 1)
    half = a ** (n // 2) + b ** (n // 2)
    return half if n == 2 else half * power_sum(a, b, n // 2)


def prime_factors(n):
    factors, p = [], 2
    while n > 1:
        while n % p:
            p += 1
        factors.append(p)
        n //= p
    return factors


def split_diagonal(matrix):
    """The diagonal, and the matrix without it."""
    diagonal = ops.diagonal(matrix, axis1=-2, axis2=-1)
    return diagonal, matrix * (1.0 - identity_like(diagonal))


def with_diagonal(matrix, diagonal):
    return matrix + identity_like(diagonal) * diagonal[..., None, :]


def identity_like(vector):
    return ops.eye(vector.shape[-1], dtype=vector.dtype)


def transpose(matrix):
    return ops.swapaxes(matrix, -2, -1)


# Control flow. While nothing is traced it is Python's: JAX would compile the branches anew each
# time.


def choose(condition, if_true, if_false):
    """What one of two functions returns."""
    try:
        is_true = bool(condition)
    except TypeError:
        return ops.cond(condition, if_true, if_false)
    return if_true() if is_true else if_false()


def repeat_while(condition, function, state):
    """The state after calls of `function(*state)` for as long as `condition(*state)` holds."""
    try:
        while bool(condition(*state)):
            state = function(*state)
    except TypeError:
        state = ops.while_loop(condition, function, state)
    return state
