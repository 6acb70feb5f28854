"""A step of bases that are followed: they are turned as far as need be, and the direction is taken.

What is turned, and when, is told in `tracked_basis`.
"""

import functools

import keras
from keras import ops

from tfoverparam.matrix_functions.first_order import (
    DAMPING,
    ROUNDING,
    TINY,
    choose,
    damped_rotation,
    exponents,
    identity_like,
    operator_sums,
    orthonormality_defect,
    power_sums,
    quotients,
    repeat_while,
    rotations,
    second_order,
    split_diagonal,
    square_among_equals,
    transpose,
    with_diagonal,
    with_repair,
)

# Bound on the relative error of a direction, as it is estimated: turn. Without U the estimate is 1
# to 4 times too large: the bound is as much larger.
NEAR = {"float32": 1e-5, "float64": 1e-12}
LESS_NEAR = 3
# Of larger kernels the estimate is the further below, the larger they are: the bound falls with
# this power of their columns. Errors of sides 512 and 128 are then alike.
NEAR_UP_TO, NEAR_POWER = 128, 0.75
# Bounds on the rest E, relative to B, in Frobenius norms: treat with care; make anew.
FAIR, FAR = 8e-3, 0.1
# With care: bounds on the estimated error to turn again, so often at most; and to make anew.
ROUGH, MOST_TURNS, WRONG = 3e-4, 4, 4e-3
# Bound on what the squared lengths of the columns of a tall kernel's U differ from 1 by.
STRETCHED = 0.02
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
    if is_tall:  # U is turned by more than rotations.
        lengths = ops.sum(ops.square(u), axis=-2)
        is_near = ops.logical_and(is_near, ops.all(ops.abs(lengths - 1) <= STRETCHED))

    # E of B B' and of B' B, and of their powers.
    e_t, s_row, s_column = transpose(e), s[..., :, None], s[..., None, :]
    of_squares = e * s_column + e_t * s_row, e * s_row + e_t * s_column
    orders = exponents(depth) | ({depth - 1} if is_tall else set())
    curved = [k for k in orders if 2 * k != depth]
    terms = [(each, 2 * k / depth - 1) for k in curved for each in of_squares]
    found = _with_equals(error, s, e, terms)
    numerators = dict.fromkeys(orders, of_squares) | dict(zip(curved, zip(found[::2], found[1::2])))
    row, column = _root(s, rows, depth), _root(s, columns, depth)
    sums = power_sums(row[..., :, None], column[..., None, :])

    @functools.cache
    def powers(k):
        roots = identity_like(s) * ops.power(ops.square(s), k / depth)[..., None, :]
        return [each / quotients(sums, depth, k) + roots for each in numerators[k]]

    u_gradient = ops.matmul(transpose(u), gradient)
    g = ops.matmul(u_gradient, v)
    whole, rest = operator_sums(
        g, lambda x, k: ops.matmul(powers(k)[0], x), lambda x, k: ops.matmul(x, powers(k)[1])
    )
    back = transpose(v * scale ** (2 - 2 / depth))
    if is_tall:
        # The gradient is `U g V'`, and what is outside of U: with the kernel's R, it makes h.
        # Between U and R the powers of A are diagonal to first order: z is the sum of them.
        h = ops.matmul(transpose(kernel), gradient) - ops.matmul(transpose(u_kernel), u_gradient)
        h = ops.matmul(transpose(v / scale), ops.matmul(h, v))
        z = ops.where(ops.square(s) > _rounding(s), s / column ** (depth - 1), 0.0)
        z = z[..., :, None] * sums(depth - 1)
        y = ops.matmul(z * g, back)
        found = ops.matmul(rest(depth) + z * h, back) - ops.matmul(with_diagonal(e, s), y)
        found = ops.matmul(u, found) + ops.matmul(kernel, ops.matmul(v / scale, y))
        f = ops.matmul(powers(depth - 1)[1], back)
        found = found + ops.matmul(gradient, ops.matmul(v, f))
    else:
        found = ops.matmul(u, ops.matmul(whole(depth), back))
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

    root = ops.power(squares, 1 / depth)
    sums = power_sums(root[..., :, None], root[..., None, :])
    orders = exponents(depth - 1) | {depth - 1, 1 - depth}
    twice = (2 * squares + TINY)[..., :, None]
    terms = [(e, (k / depth - 1) / twice) for k in orders]
    numerators = dict(zip(orders, _with_equals(error / LESS_NEAR, squares, e, terms)))

    @functools.cache
    def power(k):
        return with_diagonal(numerators[k] / quotients(sums, depth, k), root**k)

    outside = root ** (1 - depth)
    # The divided differences of this power: `1 / (a^N P)` less `1 / (a^N b^(N-1))`.
    differences = (1 / sums(depth) - outside[..., None, :]) / squares[..., :, None]
    inverse = with_diagonal(numerators[1 - depth] * differences, outside)

    # Of d k^2 multiplications each, 3 products more, or 4 of k^3.
    is_nearly_square = kernel.shape[-2] < 2 * kernel.shape[-1]
    if is_nearly_square:
        turned = ops.matmul(gradient, v)
        t = ops.matmul(transpose(m), turned)
    else:
        t = ops.matmul(ops.matmul(transpose(m), gradient), v)
    # M y V' is what A^i makes of the gradient for i > 0: A^i = M C^(i-N) M'.
    whole, _ = operator_sums(
        ops.matmul(inverse, t),
        lambda x, k: ops.matmul(power(k), x),
        lambda x, k: ops.matmul(x, power(k)),
    )
    y, f = whole(depth - 1), power(depth - 1)
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


def _rounding(s):
    """Square of what rounding makes of a singular value that is zero."""
    share = ROUNDING[keras.backend.standardize_dtype(s.dtype)]
    return share**2 * ops.sum(ops.square(s), axis=-1, keepdims=True) + TINY


def _root(s, rest, n):
    """The n-th root of s^2, where s is not small against the rest in its row or column."""
    return ops.power(ops.square(s) + rest + TINY, 1 / n)


def _error(squared, row, column, root):
    """Estimate of what the direction lacks: of second order in E, weighted as its roots are."""
    squared = squared / (row[..., :, None] + column[..., None, :])
    both = sum(ops.mean(ops.square(ops.sum(squared, axis)), axis=-1) for axis in (-2, -1))
    return ops.sqrt(both) / ops.max(root, axis=-1)


def _with_equals(error, s, e, terms):
    """Numerators, with so much of what they lack of second order among equals, where it matters."""

    def add():
        square = square_among_equals(s, e)
        return tuple(numerator + factor * square for numerator, factor in terms)

    if not terms:
        return ()
    return choose(error > NEAR["float32"], add, lambda: tuple(each for each, _ in terms))


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
