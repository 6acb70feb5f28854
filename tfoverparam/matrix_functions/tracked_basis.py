"""Singular bases of kernels that are followed from step to step by products of matrices.

A kernel moves little in a step of training. In the singular bases U and V of an earlier one,
`B = U' kernel V` is then a diagonal, the singular values s, and a small rest E. From these

- the *direction* of the end-to-end rule is taken with fractional powers of `B B'` and `B' B` to
  first order in E: elementwise, by divided differences (Daleckii and Krein, 1951), for which
  singular values may be as close as they like. Its error is of the order of the square of E;
- the bases are *turned*, where E is larger than `NEAR`, by one damped Jacobi rotation of all
  pairs of singular vectors at once (Davies and Smith, 2004), which takes a few products;
- they are made *anew*, by a decomposition, where E is larger than `FAR` or no number, as it is
  after other weights have been loaded.

Matrices are of shape `(d, k)`, or `(g, d, k)` for a stack of them, with d >= k, in float32 or
float64. A kernel is divided by its largest entry, so that none is too large or too small.

References:
    Davies, Smith, 2004. Updating the singular value decomposition.
    https://doi.org/10.1007/s00211-004-0539-y
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from tfoverparam.matrix_functions.end_to_end import eigenvalues_of_depth, largest_entry

# Bounds on the rest E, relative to B, in Frobenius norms.
NEAR = {"float32": 3e-3, "float64": 1e-6}
FAIR, FAR = 8e-3, 0.1
# U of a tall kernel is needed where singular values fall below this fraction of the largest.
SPREAD = 0.02
DAMPING = 8.0
TINY = 1e-30
_IDENTITY = object()


class Basis(NamedTuple):
    """Singular bases of a kernel, or of a stack of kernels.

    Attributes:
        u: Left singular vectors, `(..., d, k)`.
        v: Right singular vectors, `(..., k, k)`.
        s: Singular values, in any order, `(..., k)`.
        is_u_kept: Scalar: 1 where `u` is followed, 0 where it is out of date, as it is for tall
            kernels that are well conditioned. For these `kernel v / s` takes its place.
    """

    u: Any
    v: Any
    s: Any
    is_u_kept: Any


def is_tracked(depth) -> bool:
    """Whether products alone make the rule of this depth: integers with prime factors up to 7."""
    return depth == int(depth) and max(_prime_factors(int(depth)), default=0) <= 7


def decompose(kernel) -> Basis:
    """The bases of a kernel of shape `(..., d, k)`; of one that is not finite, those of zero."""
    is_finite = ops.all(ops.isfinite(kernel), axis=(-2, -1), keepdims=True)
    # Of what is not finite, no backend makes a decomposition; some end the program.
    kernel = ops.where(is_finite, kernel, ops.zeros_like(kernel))
    scale = largest_entry(kernel)
    u, s, v_t = ops.svd(kernel / scale, full_matrices=False)
    return Basis(u, _t(v_t), s * scale[..., 0], _is_u_needed(s, SPREAD))


def direction(gradient, basis, depth):
    """The direction of the end-to-end rule (Equation 10) in a basis as it stands.

    With `g = U' gradient V` and the eigenvalues c of the preconditioner (Claim 1) it is
    `U (c o g) V'`; for tall kernels, also what the gradient has outside of U.

    Args:
        gradient: Tensor of shape `(..., d, k)`.
        basis: A `Basis` whose `u` is kept.
        depth: Real number N >= 1.
    """
    u, v, s, _ = basis
    v_t = _t(v)
    g = ops.matmul(ops.matmul(_t(u), gradient), v)
    c, outside = _eigenvalues(s, depth)
    if u.shape[-2] == u.shape[-1]:
        return ops.matmul(u, ops.matmul(c * g, v_t))
    return ops.matmul(u, ops.matmul((c - outside) * g, v_t)) + ops.matmul(
        gradient, ops.matmul(v * outside, v_t)
    )


def stale_direction(kernel, gradient, basis, depth):
    """As `direction`, of a `Basis` whose `u` is not kept too: 4 products for square kernels."""
    if kernel.shape[-2] == kernel.shape[-1]:
        return direction(gradient, basis, depth)

    def without_u():
        _, v, s, _ = basis
        v_t = _t(v)
        c, outside = _eigenvalues(s, depth)
        # U' gradient V = diag(1 / s) V' kernel' gradient V, and U once more from the left.
        t = ops.matmul(v_t, ops.matmul(ops.matmul(_t(kernel), gradient), v))
        inner = (c - outside) * t / ops.square(s)[..., :, None]
        return ops.matmul(kernel, ops.matmul(v, ops.matmul(inner, v_t))) + ops.matmul(
            gradient, ops.matmul(v * outside, v_t)
        )

    return ops.cond(basis.is_u_kept > 0.5, lambda: direction(gradient, basis, depth), without_u)


def tracked_direction(kernel, gradient, basis, depth):
    """The direction of the end-to-end rule, and the bases for the next step.

    Products of square kernels: 8 at depth 2, 10 at depths 3 and 4, 12 at depth 8; 6 more where
    the bases are turned. Of tall ones at depth 2: 5 of d k^2 multiplications and 5 of k^3 where
    the kernel is well conditioned, else 6 and 11.

    Args:
        kernel, gradient: Tensors of shape `(..., d, k)`.
        basis: A `Basis` of an earlier kernel.
        depth: A depth of which `is_tracked` holds.

    Returns:
        The direction, of shape `(..., d, k)`, NaN for a kernel that is not finite; and a `Basis`.
    """
    arguments = (kernel, gradient, basis, depth, largest_entry(kernel))
    if kernel.shape[-2] == kernel.shape[-1]:
        found = _step_with_u(*arguments)
    else:
        found = ops.cond(
            basis.is_u_kept > 0.5,
            lambda: _step_with_u(*arguments),
            lambda: _step_without_u(*arguments),
        )
    return found[0], Basis(*found[1:])


def vector_direction(kernel, gradient, depth):
    """The direction for kernels of one column, `(..., d, 1)`, in closed form (Claim 2)."""
    scale = largest_entry(kernel)
    w = kernel / scale
    square = ops.sum(ops.square(w), axis=(-2, -1), keepdims=True)
    safe = ops.maximum(square, TINY)
    along = ops.sum(w * gradient, axis=(-2, -1), keepdims=True) / safe
    factor = ops.power(square, 1 - 1 / depth) * scale ** (2 - 2 / depth)
    return factor * (gradient + (depth - 1) * along * w)


def _step_anew(kernel, gradient, depth):
    basis = decompose(kernel)
    is_finite = ops.all(ops.isfinite(kernel), axis=(-2, -1), keepdims=True)
    found = direction(gradient, basis, depth)
    return ops.where(is_finite, found, math.nan), *basis


def _step_with_u(kernel, gradient, basis, depth, scale):
    size = kernel.shape[-1]
    is_tall = kernel.shape[-2] > size

    def see(u, v):
        """`U' kernel`, `B = U' kernel V`, what is outside of U, and the relative size of E."""
        u_kernel = ops.matmul(_t(u), kernel)
        b = ops.matmul(u_kernel, v / scale)
        s, e = _split(b)
        rest = ops.sum(ops.square(e), axis=(-2, -1))
        whole = inside = rest + ops.sum(ops.square(s), axis=-1)
        if is_tall:
            whole = ops.sum(ops.square(kernel / scale), axis=(-2, -1))
        outside = ops.maximum(whole - inside, 0.0)
        return u_kernel, b, outside, ops.sqrt((rest + outside) / ops.maximum(whole, TINY))

    def turn(u, v, b):
        x, y = _rotations(*_split(b))
        v_new = v + ops.matmul(v, _rotation(y) + _defect(v))
        defect = _defect(u)
        step = _rotation(x) + defect
        if not is_tall:
            return u + ops.matmul(u, step), v_new
        # U + R z, to second order, where R = kernel V - U (U' U)^-1 B is what is outside of U.
        m, s = ops.matmul(kernel, v / scale), _split(b)[0]
        r = ops.sum(ops.square(m), axis=-2) - ops.sum(ops.square(b), axis=-2)
        r = ops.maximum(r, 0.0)
        z = s / (ops.square(s) + DAMPING * r + TINY)
        inside = (b + 2 * ops.matmul(defect, b)) * z[..., None, :]
        step = step - inside - _eye(s) * (ops.square(z) * r / 2)[..., None, :]
        return u + ops.matmul(u, step) + m * z[..., None, :], v_new

    def track():
        def turn_and_see(u, v, _, b, *others):
            bases = turn(u, v, b)
            return *bases, *see(*bases)

        u, v, u_kernel, b, outside, _ = _turned(turn_and_see, basis.u, basis.v, *seen)
        s, e = _split(b)
        squared = ops.square(e)
        rows = ops.mean(squared, axis=-1)
        columns = ops.mean(squared, axis=-2) + outside[..., None] / size**2

        def powers(n):
            root = ops.power(ops.square(s), 1 / n)
            row = ops.power(ops.square(s) + rows, 1 / n)
            column = ops.power(ops.square(s) + columns, 1 / n)
            sums = _power_sum(row[..., :, None], column[..., None, :], n) + TINY
            left, right = e * s[..., None, :], s[..., :, None] * e
            return (
                _with_diagonal((left + _t(left)) / sums, root),
                _with_diagonal((right + _t(right)) / sums, root),
                s / (column ** (n - 1) + TINY),
            )

        u_gradient = ops.matmul(_t(u), gradient)
        g = ops.matmul(u_gradient, v)
        back = _t(v) * scale ** (2 - 2 / depth)
        if is_tall:
            h = ops.matmul(_t(kernel), gradient) - ops.matmul(_t(u_kernel), u_gradient)
            h = ops.matmul(_t(v / scale), ops.matmul(h, v))
            x, y, f = _chain((None, None, _IDENTITY), depth, _tall_with_u(powers, g, h))
            y = ops.matmul(y, back)
            found = ops.matmul(u, ops.matmul(x, back) - ops.matmul(b, y))
            found = found + ops.matmul(kernel, ops.matmul(v / scale, y))
            found = found + ops.matmul(gradient, ops.matmul(v, ops.matmul(f, back)))
        else:
            found = ops.matmul(u, ops.matmul(_chain(g, depth, _square(powers)), back))
        is_kept = ops.maximum(
            _is_u_needed(s, SPREAD), _is_u_needed(s, 2 * SPREAD) * basis.is_u_kept
        )
        return found, u, v, s * scale[..., 0], is_kept

    seen = see(basis.u, basis.v)
    return ops.cond(
        ops.all(seen[-1] <= FAR), track, lambda: _step_anew(kernel, gradient, depth)
    )


def _step_without_u(kernel, gradient, basis, depth, scale):
    def see(v):
        """`M = kernel V`, `M' M`, and the relative size of its rest."""
        m = ops.matmul(kernel, v / scale)
        gram = ops.matmul(_t(m), m)
        squares, e = _split(gram)
        rest = ops.sum(ops.square(e), axis=(-2, -1))
        whole = rest + ops.sum(ops.square(squares), axis=-1)
        return m, gram, ops.sqrt(rest / ops.maximum(whole, TINY))

    def turn(v, gram):
        squares, e = _split(gram)
        gaps = squares[..., None, :] - squares[..., :, None]
        return v + ops.matmul(v, _rotation(_damped(e, gaps, 4)) + _defect(v))

    def track():
        def turn_and_see(v, _, gram, off):
            v = turn(v, gram)
            return v, *see(v)

        v, m, gram, _ = _turned(turn_and_see, basis.v, *seen)
        squares, e = _split(gram)

        def powers(n):
            root = ops.power(squares, 1 / n)
            row, column = root[..., :, None], root[..., None, :]
            quotients = e / _power_sum(row, column, n)
            inverse = 1 / root ** (n - 1)
            inverse_quotients = _power_sum(row, column, n - 1) * quotients
            inverse_quotients = inverse_quotients * inverse[..., :, None] * -inverse[..., None, :]
            return _with_diagonal(quotients, root), _with_diagonal(inverse_quotients, inverse)

        t = ops.matmul(ops.matmul(_t(m), gradient), v)
        y, f = _chain((None, _IDENTITY), depth, _tall_without_u(powers, t))
        back = _t(v) * scale ** (2 - 2 / depth)
        found = ops.matmul(m, ops.matmul(y, back)) + ops.matmul(
            gradient, ops.matmul(v, ops.matmul(f, back))
        )
        return found, basis.u, v, ops.sqrt(squares) * scale[..., 0], basis.is_u_kept

    seen = see(basis.v)
    s = ops.sqrt(ops.maximum(_split(seen[1])[0], 0.0))
    is_good = ops.logical_and(ops.all(seen[-1] <= FAR), _is_u_needed(s, SPREAD / 2) < 0.5)
    return ops.cond(is_good, track, lambda: _step_anew(kernel, gradient, depth))


def _turned(turn_and_see, *state):
    """The state after one turn where E, its last part, is above `NEAR`, two above `FAIR`."""
    dtype = keras.backend.standardize_dtype(state[0].dtype)
    turns = ops.sum(ops.cast(ops.max(state[-1]) > ops.array([NEAR[dtype], FAIR], dtype), dtype))
    _, *state = ops.while_loop(
        lambda left, *_: left > 0.5,
        lambda left, *state: (left - 1.0, *turn_and_see(*state)),
        (turns, *state),
    )
    return state


# Equation 10 as a chain. With A = (W W')^(1/N) and C = (W' W)^(1/N), N = n M, it is
# sum_i A^i G C^(N-1-i) = sum_i (A^n)^i [sum_j A^j G C^(n-1-j)] (C^n)^(M-1-i).


def _chain(vector, depth, operators):
    """`operators(n)`: the sum of two vectors, and products of one with n-th roots on either side."""
    order = int(depth)
    for n in _prime_factors(order):
        plus, left, right = operators(order)
        shifted = vector
        for _ in range(n - 1):
            shifted = right(shifted)
            vector = plus(left(vector), shifted)
        order //= n
    return vector


def _square(powers):
    """For vectors U x V'."""

    def operators(n):
        a, c, _ = powers(n)
        return _plus, lambda x: ops.matmul(a, x), lambda x: ops.matmul(x, c)

    return operators


# For tall kernels a vector is several matrices, None for zero; `_IDENTITY` of
# F, which is gradient V.


def _tall_with_u(powers, g, h):
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


def _tall_without_u(powers, t):
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
    if a is _IDENTITY or b is _IDENTITY:
        return b if a is _IDENTITY else a
    return ops.matmul(a, b)


# The rotations, and what else is done to one matrix.


def _rotations(s, e):
    """Skew matrices by which U and V turn, to first order, so that E becomes zero."""
    row, column = s[..., :, None], s[..., None, :]
    e_t = _t(e)
    plus, minus = _damped(e + e_t, column - row), _damped(e - e_t, column + row)
    return (plus + minus) / 2, (plus - minus) / 2


def _damped(rest, gaps, factor=1):
    """`rest / gaps`, less where the gap is not large against the rest in its row and column."""
    size = (factor * DAMPING / 2) * ops.sum(ops.square(rest), axis=-1)
    return rest * gaps / (ops.square(gaps) + (size[..., :, None] + size[..., None, :] + TINY))


def _rotation(x):
    """A rotation less the identity, to second order in the skew matrix x."""
    return x + ops.matmul(x, x) / 2


def _defect(basis):
    """What the columns of a basis are short of orthonormal by, in halves."""
    gram = ops.matmul(_t(basis), basis)
    return (_eye(gram[..., 0]) - gram) / 2


def _eigenvalues(s, depth):
    """Those of the preconditioner (Claim 1), and, as a row, those of left vectors outside of U."""
    s = ops.abs(s)
    outside = ops.power(s, 2 - 2 / depth)[..., None, :]
    if depth == int(depth) and depth <= 8:
        a = ops.power(s, 2 / depth)
        return _power_sum(a[..., :, None], a[..., None, :], int(depth)), outside
    return eigenvalues_of_depth(s, depth), outside


def _power_sum(a, b, n):
    """`sum_(i<n) a^i b^(n-1-i)`, which is `(a^n - b^n) / (a - b)`."""
    if n == 1:
        return 1.0
    if n % 2:
        return a * _power_sum(a, b, n - 1) + b ** (n - 1)
    half = a ** (n // 2) + b ** (n // 2)
    return half if n == 2 else half * _power_sum(a, b, n // 2)


def _prime_factors(n):
    factors, p = [], 2
    while n > 1:
        while n % p:
            p += 1
        factors.append(p)
        n //= p
    return factors


def _split(matrix):
    """The diagonal, and the matrix without it."""
    diagonal = ops.diagonal(matrix, axis1=-2, axis2=-1)
    return diagonal, matrix * (1.0 - _eye(diagonal))


def _with_diagonal(matrix, diagonal):
    return matrix + _eye(diagonal) * diagonal[..., None, :]


def _eye(vector):
    return ops.eye(vector.shape[-1], dtype=vector.dtype)


def _t(matrix):
    return ops.swapaxes(matrix, -2, -1)


def _is_u_needed(s, spread):
    s = ops.abs(s)
    is_needed = ops.min(s, axis=-1) <= spread * ops.max(s, axis=-1)
    return ops.cast(ops.any(is_needed), s.dtype)

