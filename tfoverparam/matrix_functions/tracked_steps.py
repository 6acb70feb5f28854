"""A step of bases that are followed: they are turned as far as need be, and the direction is taken.

What is turned, and when, is told in `tracked_basis`.
"""

import functools

from keras import ops

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
    with_repair,
)

# Bound on the relative error of a direction, as it is estimated: turn. Without U the estimate is 1
# to 4 times too large: the bound is as much larger.
NEAR = {"float32": 1e-5, "float64": 1e-12}
LESS_NEAR = 3
# Of larger kernels the estimate is the further below, the larger they are: so is the bound.
NEAR_UP_TO = 128
# Bounds on the rest E, relative to B, in Frobenius norms: treat with care; make anew.
FAIR, FAR = 8e-3, 0.1
# With care: bounds on the estimated error to turn again, so often at most; and to make anew.
ROUGH, MOST_TURNS, WRONG = 3e-4, 4, 4e-3
# U of a tall kernel is needed where singular values fall below this fraction of the largest.
SPREAD = 0.02


def step_with_u(kernel, gradient, basis, depth, scale, near):
    """The direction, and U, V, s, whether U is kept, and whether all this is near enough."""
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
        v_new = v + ops.matmul(v, with_repair(second_order(y), v))
        if not is_tall:
            return u + ops.matmul(u, with_repair(second_order(x), u)), v_new
        defect = orthonormality_defect(u)
        # U + R z, to second order, where R = kernel V - U (U' U)^-1 B is what is outside of U.
        m, b = ops.matmul(kernel, v / scale), with_diagonal(e, s)
        r = ops.sum(ops.square(m), axis=-2) - ops.sum(ops.square(b), axis=-2)
        r = ops.maximum(r, 0.0)
        z = s / (ops.square(s) + DAMPING * r + TINY)
        inside = (b + 2 * ops.matmul(defect, b)) * z[..., None, :]
        step = (
            second_order(x)
            + defect
            - inside
            - identity_like(s) * (ops.square(z) * r / 2)[..., None, :]
        )
        return u + ops.matmul(u, step) + m * z[..., None, :], v_new

    seen = see(basis.u, basis.v)

    def turn_and_see(u, v, _, s, e, *others):
        bases = turn(u, v, s, e)
        return *bases, *see(*bases)

    state = _turned(turn_and_see, near, basis.u, basis.v, *seen)
    u, v, u_kernel, s, e, rows, columns, _, error = state
    is_near = _is_near(seen, error)

    left, right = e * s[..., None, :], s[..., :, None] * e
    numerators = left + transpose(left), right + transpose(right)
    sums = _power_sums(lambda n: (_root(s, rows, n), _root(s, columns, n)))

    def powers(n):
        left, right = numerators
        if n > 2:
            left, right = _with_equals(error, s, e, numerators, (2 / n - 1, 2 / n - 1))
        root = ops.power(ops.square(s), 1 / n)
        return (
            with_diagonal(left / sums(n), root),
            with_diagonal(right / sums(n), root),
            s / _root(s, columns, n) ** (n - 1),
        )

    u_gradient = ops.matmul(transpose(u), gradient)
    g = ops.matmul(u_gradient, v)
    back = transpose(v * scale ** (2 - 2 / depth))
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
    is_kept = is_u_needed(s, 2 * SPREAD) * basis.is_u_kept
    return found, u, v, s * scale[..., 0], is_kept, is_near


def step_without_u(kernel, gradient, basis, depth, scale, near):
    """As `step_with_u`, of a tall kernel that is well conditioned: U is `kernel V / s`."""

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
        step = second_order(damped_rotation(e, gaps, 4))
        return v + ops.matmul(v, with_repair(step, v))

    seen = see(basis.v)

    def turn_and_see(v, _, squares, e, *others):
        v = turn(v, squares, e)
        return v, *see(v)

    v, m, squares, e, _, error = _turned(turn_and_see, LESS_NEAR * near, basis.v, *seen)
    is_near = _is_near(seen, error)

    sums = _power_sums(lambda n: (ops.power(squares, 1 / n),) * 2)

    def powers(n):
        root = ops.power(squares, 1 / n)
        inverse = 1 / root ** (n - 1)
        factors = [(p - 1) / (2 * squares + TINY)[..., :, None] for p in (1 / n, 1 / n - 1)]
        e_root, e_inverse = _with_equals(error / LESS_NEAR, squares, e, (e, e), factors)
        reciprocal = 1 / sums(n)
        # The divided differences of the inverse: `1 / (a^n P)` less `1 / (a^n b^(n-1))`.
        e_inverse = e_inverse * (reciprocal - inverse[..., None, :]) / squares[..., :, None]
        return with_diagonal(e_root * reciprocal, root), with_diagonal(e_inverse, inverse)

    # Of d k^2 multiplications each, 3 products more, or 4 of k^3.
    is_nearly_square = kernel.shape[-2] < 2 * kernel.shape[-1]
    if is_nearly_square:
        turned = ops.matmul(gradient, v)
        t = ops.matmul(transpose(m), turned)
    else:
        t = ops.matmul(ops.matmul(transpose(m), gradient), v)
    y, f = chain((None, IDENTITY), depth, tall_vectors_without_u(powers, t))
    back = transpose(v * scale ** (2 - 2 / depth))
    if is_nearly_square:
        found = ops.matmul(ops.matmul(m, y) + ops.matmul(turned, f), back)
    else:
        found = ops.matmul(m, ops.matmul(y, back))
        found = found + ops.matmul(gradient, ops.matmul(v, ops.matmul(f, back)))
    s = ops.sqrt(ops.maximum(squares, 0.0))
    is_near = ops.logical_and(is_near, is_u_needed(s, SPREAD / 2) < 0.5)
    u = basis.u if near else m / ops.maximum(s, TINY)[..., None, :]
    return found, u, v, s * scale[..., 0], basis.is_u_kept, is_near


def _root(s, rest, n):
    """The n-th root of s^2, where s is not small against the rest in its row or column."""
    return ops.power(ops.square(s) + rest + TINY, 1 / n)


def _power_sums(roots):
    """The function `sums(n)` of `power_sum` for n-th roots, each by way of that for n / p."""

    @functools.cache
    def sums(n):
        p = prime_factors(n)[0]
        row, column = roots(n)
        found = power_sum(row[..., :, None], column[..., None, :], p)
        return found if n == p else found * sums(n // p)

    return sums


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
    off = ops.max(state[-2])
    again = ops.where(off > FAR, 0, ops.where(off > FAIR, MOST_TURNS, 1))
    again = ops.cast(again, "int32")

    def is_off(turns, *state):
        bound = ops.cast(ops.where(turns < 1, near, ROUGH), state[-1].dtype)
        return ops.logical_and(turns < again, state[-1] > bound)

    def turn(turns, *state):
        return turns + 1, *turn_and_see(*state)

    return repeat_while(is_off, turn, (ops.zeros((), "int32"), *state))[1:]


def is_u_needed(s, spread):
    """Whether singular values are so far apart that U cannot be `kernel V / s`: 1 or 0."""
    s = ops.abs(s)
    is_needed = ops.min(s, axis=-1) <= spread * ops.max(s, axis=-1)
    return ops.cast(ops.any(is_needed), s.dtype)
