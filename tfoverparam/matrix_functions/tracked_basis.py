"""Singular bases of kernels that are followed from step to step by products of matrices.

A kernel moves little in a step of training. In the singular bases U and V of an earlier one,
`B = U' kernel V` is then a diagonal, the singular values s, and a small rest E. From these

- the *direction* of the end-to-end rule is taken with fractional powers of `B B'` and `B' B` to
  first order in E: elementwise, by divided differences (Daleckii and Krein, 1951), for which
  singular values may be as close as they like. Its error is of the order of the square of E;
- the bases are *turned*, where an estimate of that error is above `NEAR`, by a damped Jacobi
  rotation of all pairs of singular vectors at once (Davies and Smith, 2004), which takes a few
  products; after large steps several times. Among singular values that are all but equal, where
  rotations do little, the powers are then taken to second order;
- they are made *anew*, by a decomposition, where E is larger than `FAR` or no number, as it is
  after other weights have been loaded, and where turns after a large step leave much to be wished.

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
from tfoverparam.matrix_functions.first_order import (
    DAMPING,
    IDENTITY,
    TINY,
    chain,
    choose,
    damped_rotation,
    identity_like,
    orthonormality_defect,
    power_sum,
    prime_factors,
    repeat_while,
    rotations,
    second_order,
    split_diagonal,
    square_among_equals,
    square_vectors,
    tall_vectors_with_u,
    tall_vectors_without_u,
    transpose,
    with_diagonal,
)

# Bound on the relative error of a direction, as it is estimated: turn.
NEAR = {"float32": 1e-5, "float64": 1e-12}
# Bounds on the rest E, relative to B, in Frobenius norms: treat with care; make anew.
FAIR, FAR = 8e-3, 0.1
# With care: bounds on the estimated error to turn again, so often at most; and to make anew.
ROUGH, MOST_TURNS, WRONG = 3e-4, 4, 4e-3
# U of a tall kernel is needed where singular values fall below this fraction of the largest.
SPREAD = 0.02


class Basis(NamedTuple):
    """Singular bases of a kernel, or of a stack of kernels.

    Attributes:
        u: Left singular vectors, `(..., d, k)`.
        v: Right singular vectors, `(..., k, k)`.
        s: Singular values, in any order, `(..., k)`.
        is_u_kept: Scalar: 1 where `u` is followed, 0 where it is only `kernel v / s`, as it is
            for tall kernels that are well conditioned.
    """

    u: Any
    v: Any
    s: Any
    is_u_kept: Any


def is_tracked(depth) -> bool:
    """Whether products alone make the rule of this depth: integers with prime factors up to 7."""
    return depth == int(depth) and max(prime_factors(int(depth)), default=0) <= 7


def decompose(kernel) -> Basis:
    """The bases of a kernel of shape `(..., d, k)`; NaN for singular values if it is not finite."""
    is_finite = ops.all(ops.isfinite(kernel), axis=(-2, -1), keepdims=True)
    # Of what is not finite, no backend makes a decomposition; some end the program.
    safe = ops.where(is_finite, kernel, ops.zeros_like(kernel))
    scale = largest_entry(safe)
    u, s, v_t = ops.svd(safe / scale, full_matrices=False)
    s = ops.where(is_finite[..., 0], s * scale[..., 0], math.nan)
    return Basis(u, transpose(v_t), s, _is_u_needed(s, SPREAD))


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
    v_t = transpose(v)
    c, outside = _eigenvalues(s, depth)
    d, k = u.shape[-2:]
    if k < d < 3 * k:  # 4 products of d k^2 multiplications; below, 3 of them and 3 of k^3.
        f = ops.matmul(gradient, v)
        inner = (c - outside) * ops.matmul(transpose(u), f)
        return ops.matmul(ops.matmul(u, inner) + f * outside, v_t)
    g = ops.matmul(ops.matmul(transpose(u), gradient), v)
    if d == k:
        return ops.matmul(u, ops.matmul(c * g, v_t))
    return ops.matmul(u, ops.matmul((c - outside) * g, v_t)) + ops.matmul(
        gradient, ops.matmul(v * outside, v_t)
    )


def tracked_direction(kernel, gradient, basis, depth, is_to_stand=False):
    """The direction of the end-to-end rule, and the bases for the next step.

    Products of square kernels: 8 at depth 2, 10 at depths 3 and 4, 12 at depth 8; 6 more where
    the bases are turned. Of tall ones at depth 2: 5 of d k^2 multiplications and 5 of k^3 where
    the kernel is well conditioned, else 6 and 11.

    Args:
        kernel, gradient: Tensors of shape `(..., d, k)`.
        basis: A `Basis` of an earlier kernel.
        depth: A depth of which `is_tracked` holds.
        is_to_stand: Whether the bases are to stand as they are for some steps. Then they are
            turned in any case, and U is as it should be where it is not kept, too.

    Returns:
        The direction, of shape `(..., d, k)`, NaN for a kernel that is not finite; and a `Basis`.
    """
    near = 0.0 if is_to_stand else NEAR[keras.backend.standardize_dtype(kernel.dtype)]
    arguments = (kernel, gradient, basis, depth, largest_entry(kernel), near)
    if kernel.shape[-2] == kernel.shape[-1]:
        *tracked, is_near = _step_with_u(*arguments)
    else:
        *tracked, is_near = choose(
            basis.is_u_kept > 0.5,
            lambda: _step_with_u(*arguments),
            lambda: _step_without_u(*arguments),
        )

    def make_anew():
        found = decompose(kernel)
        # A kernel that is not finite leaves no NaN behind, for weights that are loaded after it.
        return direction(gradient, found, depth), *found._replace(s=ops.nan_to_num(found.s))

    found, *basis = choose(is_near, lambda: tuple(tracked), make_anew)
    return found, Basis(*basis)


def vector_direction(kernel, gradient, depth):
    """The direction for kernels of one column, `(..., d, 1)`, in closed form (Claim 2)."""
    scale = largest_entry(kernel)
    w = kernel / scale
    square = ops.sum(ops.square(w), axis=(-2, -1), keepdims=True)
    safe = ops.maximum(square, TINY)
    along = ops.sum(w * gradient, axis=(-2, -1), keepdims=True) / safe
    factor = ops.power(square, 1 - 1 / depth) * scale ** (2 - 2 / depth)
    return factor * (gradient + (depth - 1) * along * w)


def _step_with_u(kernel, gradient, basis, depth, scale, near):
    size = kernel.shape[-1]
    is_tall = kernel.shape[-2] > size

    def see(u, v):
        """`U' kernel`; s and E; the means of its squares, and of what is outside; how off it is."""
        u_kernel = ops.matmul(transpose(u), kernel)
        s, e = split_diagonal(ops.matmul(u_kernel, v / scale))
        squared = ops.square(e)
        rows, columns = ops.mean(squared, axis=-1), ops.mean(squared, axis=-2)
        rest = size * ops.sum(rows, axis=-1)
        whole = rest + ops.sum(ops.square(s), axis=-1)
        if is_tall:
            inside, whole = whole, ops.sum(ops.square(kernel / scale), axis=(-2, -1))
            outside = ops.maximum(whole - inside, 0.0)[..., None] / size
            rest, columns = rest + size * outside[..., 0], columns + outside / size
        off = rest / ops.maximum(whole, TINY)
        row, column = _root(s, rows, depth), _root(s, columns, depth)
        error = _error(squared, row ** (depth - 1), column ** (depth - 1), row)
        if is_tall:
            missed = ops.sqrt(ops.mean(ops.square(outside / column ** (depth - 1)), axis=-1))
            error = error + off + missed / ops.max(column, axis=-1)
        return u_kernel, s, e, rows, columns, ops.sqrt(off), ops.max(error)

    def turn(u, v, s, e):
        x, y = rotations(s, e)
        v_new = v + ops.matmul(v, second_order(y) + orthonormality_defect(v))
        defect = orthonormality_defect(u)
        step = second_order(x) + defect
        if not is_tall:
            return u + ops.matmul(u, step), v_new
        # U + R z, to second order, where R = kernel V - U (U' U)^-1 B is what is outside of U.
        m, b = ops.matmul(kernel, v / scale), with_diagonal(e, s)
        r = ops.sum(ops.square(m), axis=-2) - ops.sum(ops.square(b), axis=-2)
        r = ops.maximum(r, 0.0)
        z = s / (ops.square(s) + DAMPING * r + TINY)
        inside = (b + 2 * ops.matmul(defect, b)) * z[..., None, :]
        step = step - inside - identity_like(s) * (ops.square(z) * r / 2)[..., None, :]
        return u + ops.matmul(u, step) + m * z[..., None, :], v_new

    seen = see(basis.u, basis.v)

    def turn_and_see(u, v, _, s, e, *others):
        bases = turn(u, v, s, e)
        return *bases, *see(*bases)

    state = _turned(turn_and_see, near, basis.u, basis.v, *seen)
    u, v, u_kernel, s, e, rows, columns, _, error = state
    is_near = _is_near(seen, error)

    def powers(n):
        root = ops.power(ops.square(s), 1 / n)
        row, column = _root(s, rows, n), _root(s, columns, n)
        sums = power_sum(row[..., :, None], column[..., None, :], n)
        left, right = e * s[..., None, :], s[..., :, None] * e
        left, right = left + transpose(left), right + transpose(right)
        if n > 2:
            left, right = _with_equals(error, s, e, (left, right), (2 / n - 1, 2 / n - 1))
        return (
            with_diagonal(left / sums, root),
            with_diagonal(right / sums, root),
            s / column ** (n - 1),
        )

    u_gradient = ops.matmul(transpose(u), gradient)
    g = ops.matmul(u_gradient, v)
    back = transpose(v) * scale ** (2 - 2 / depth)
    if is_tall:
        h = ops.matmul(transpose(kernel), gradient) - ops.matmul(transpose(u_kernel), u_gradient)
        h = ops.matmul(transpose(v / scale), ops.matmul(h, v))
        x, y, f = chain((None, None, IDENTITY), depth, tall_vectors_with_u(powers, g, h))
        y = ops.matmul(y, back)
        found = ops.matmul(u, ops.matmul(x, back) - ops.matmul(with_diagonal(e, s), y))
        found = found + ops.matmul(kernel, ops.matmul(v / scale, y))
        found = found + ops.matmul(gradient, ops.matmul(v, ops.matmul(f, back)))
    else:
        found = ops.matmul(u, ops.matmul(chain(g, depth, square_vectors(powers)), back))
    is_kept = _is_u_needed(s, 2 * SPREAD) * basis.is_u_kept
    return found, u, v, s * scale[..., 0], is_kept, is_near


def _step_without_u(kernel, gradient, basis, depth, scale, near):
    def see(v):
        """`M = kernel V`; the diagonal of `M' M` and its rest; and how far off it is."""
        m = ops.matmul(kernel, v / scale)
        squares, e = split_diagonal(ops.matmul(transpose(m), m))
        squared = ops.square(e)
        rest = ops.sum(squared, axis=(-2, -1))
        off = rest / ops.maximum(rest + ops.sum(ops.square(squares), axis=-1), TINY)
        # Inverse powers weigh more.
        weight = ops.power(squares + TINY, 2 - 1 / depth)
        error = off + _error(squared, weight, weight, ops.power(squares + TINY, 1 / depth))
        return m, squares, e, ops.sqrt(off), ops.max(error)

    def turn(v, squares, e):
        gaps = squares[..., None, :] - squares[..., :, None]
        step = second_order(damped_rotation(e, gaps, 4)) + orthonormality_defect(v)
        return v + ops.matmul(v, step)

    seen = see(basis.v)

    def turn_and_see(v, _, squares, e, *others):
        v = turn(v, squares, e)
        return v, *see(v)

    v, m, squares, e, _, error = _turned(turn_and_see, near, basis.v, *seen)
    is_near = _is_near(seen, error)

    def powers(n):
        root = ops.power(squares, 1 / n)
        row, column = root[..., :, None], root[..., None, :]
        inverse = 1 / root ** (n - 1)
        factors = [(p - 1) / (2 * squares + TINY)[..., :, None] for p in (1 / n, 1 / n - 1)]
        e_root, e_inverse = _with_equals(error, squares, e, (e, e), factors)
        sums = power_sum(row, column, n)
        e_inverse = e_inverse * (power_sum(row, column, n - 1) / sums)
        e_inverse = e_inverse * inverse[..., :, None] * -inverse[..., None, :]
        return with_diagonal(e_root / sums, root), with_diagonal(e_inverse, inverse)

    t = ops.matmul(ops.matmul(transpose(m), gradient), v)
    y, f = chain((None, IDENTITY), depth, tall_vectors_without_u(powers, t))
    back = transpose(v) * scale ** (2 - 2 / depth)
    found = ops.matmul(m, ops.matmul(y, back)) + ops.matmul(
        gradient, ops.matmul(v, ops.matmul(f, back))
    )
    s = ops.sqrt(ops.maximum(squares, 0.0))
    is_near = ops.logical_and(is_near, _is_u_needed(s, SPREAD / 2) < 0.5)
    u = basis.u if near else m / ops.maximum(s, TINY)[..., None, :]
    return found, u, v, s * scale[..., 0], basis.is_u_kept, is_near


def _root(s, rest, n):
    """The n-th root of s^2, where s is not small against the rest in its row or column."""
    return ops.power(ops.square(s) + rest + TINY, 1 / n)


def _error(squared, row, column, root):
    """Estimate of what the direction lacks: of second order in E, weighted as its roots are."""
    squared = squared / (row[..., :, None] + column[..., None, :])
    both = sum(ops.mean(ops.square(ops.sum(squared, axis)), axis=-1) for axis in (-2, -1))
    return ops.sqrt(both) / ops.max(root, axis=-1)


def _with_equals(error, s, e, numerators, factors):
    """Numerators with what they lack of second order among equals, where it matters."""

    def add():
        square = square_among_equals(s, e)
        return tuple(each + factor * square for each, factor in zip(numerators, factors))

    return choose(error > NEAR["float32"], add, lambda: tuple(numerators))


def _is_near(seen, error):
    """Whether the bases need not be made anew, for what they were and the error that is left."""
    is_right = ops.logical_or(ops.all(seen[-2] <= FAIR), error <= WRONG)
    return ops.logical_and(is_right, ops.all(seen[-2] <= FAR))


def _turned(turn_and_see, near, *state):
    """The state after turns, as E and the error, its last two parts, call for."""
    again = ops.where(ops.max(state[-2]) > FAIR, MOST_TURNS, 1)

    def is_off(turns, *state):
        bound = ops.cast(ops.where(turns < 1, near, ROUGH), state[-1].dtype)
        return ops.logical_and(turns < again, state[-1] > bound)

    def turn(turns, *state):
        return turns + 1, *turn_and_see(*state)

    return repeat_while(is_off, turn, (ops.zeros((), "int32"), *state))[1:]


def _eigenvalues(s, depth):
    """Those of the preconditioner (Claim 1), and, as a row, those of left vectors outside of U."""
    s = ops.abs(s)
    outside = ops.power(s, 2 - 2 / depth)[..., None, :]
    if depth == int(depth) and depth <= 8:
        a = ops.power(s, 2 / depth)
        return power_sum(a[..., :, None], a[..., None, :], int(depth)), outside
    return eigenvalues_of_depth(s, depth), outside


def _is_u_needed(s, spread):
    s = ops.abs(s)
    is_needed = ops.min(s, axis=-1) <= spread * ops.max(s, axis=-1)
    return ops.cast(ops.any(is_needed), s.dtype)
