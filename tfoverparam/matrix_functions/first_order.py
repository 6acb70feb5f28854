"""Nearly diagonal matrices to first order: products with their powers, and their rotations."""

import functools

import keras
from keras import ops

# What a rotation is damped by, in the mean squares of the rest in its two rows.
DAMPING = 8.0
TINY = 1e-30
# Root mean square of what a vector's image under U'U is off by: above, it is more than rounding.
ROUNDING = {"float32": 1e-6, "float64": 2e-15}

# Equation 10 is `sum_(i<N) A^i G C^(N-1-i)` with A = (W W')^(1/N) and C = (W' W)^(1/N). Sums of
# more terms are made of those of half as many.


def power_sums(a, b):
    """The function of n and k that is `sum_(i<n) a^(ki) b^(k(n-1-i))`.

    That is `(a^(kn) - b^(kn)) / (a^k - b^k)`.
    """

    @functools.cache
    def sums(n, k=1):
        if n == 1:
            return 1.0
        if n % 2:
            return a**k * sums(n - 1, k) + b ** (k * (n - 1))
        pair = a**k + b**k
        return pair if n == 2 else pair * sums(n // 2, 2 * k)

    return sums


def quotients(sums, n, k):
    """`(a^n - b^n) / (a^k - b^k)`, of the function that `power_sums` returned."""
    return sums(n) / sums(k) if n % k else sums(n // k, k)


def operator_sums(matrix, left, right):
    """Two functions of n: `sum_(i<n) A^i X C^(n-1-i)`, and that without its first term, X C^(n-1).

    `left(x, k)` is to multiply a matrix by A^k, `right(x, k)` by C^k.
    """

    @functools.cache
    def last(n):  # The last n // 2 terms.
        half = n - n // 2
        return left(rest(half) if n % 2 else whole(half), n // 2)

    @functools.cache
    def whole(n):
        return matrix if n == 1 else last(n) + right(whole(n - n // 2), n // 2)

    @functools.cache
    def rest(n):
        return last(n) if n == 2 else last(n) + right(rest(n - n // 2), n // 2)

    return whole, rest


def exponents(n):
    """The powers of A and C that a sum of n terms takes."""
    return set() if n < 2 else {n // 2} | exponents(n - n // 2)


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
    x = probe(step)
    missed = ops.matmul(transpose(basis), ops.matmul(basis, x)) - x
    share = ROUNDING[keras.backend.standardize_dtype(step.dtype)]
    is_off = ops.max(ops.mean(ops.square(missed), axis=-2)) > share**2
    return choose(is_off, lambda: step + orthonormality_defect(basis), lambda: step)


def probe(matrix):
    """A vector, as a column, that matrices of this shape and dtype are told apart by."""
    dtype = keras.backend.standardize_dtype(matrix.dtype)
    return ops.cos(ops.arange(matrix.shape[-1], dtype=dtype))[:, None]


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
