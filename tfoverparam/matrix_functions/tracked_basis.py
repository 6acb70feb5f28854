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

The bounds, and a step, are in `tracked_steps`.

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
    TINY,
    choose,
    orthonormality_defect,
    power_sums,
    probe,
    transpose,
)
from tfoverparam.matrix_functions.tracked_steps import (
    FAR,
    NEAR,
    NEAR_POWER,
    NEAR_UP_TO,
    SPREAD,
    is_u_needed,
    step_with_u,
    step_without_u,
)


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
    """Whether products alone make the rule of this depth: integers."""
    return depth == int(depth)


def decompose(kernel) -> Basis:
    """The bases of a kernel of shape `(..., d, k)`; NaN for singular values if it is not finite."""
    is_finite = ops.all(ops.isfinite(kernel), axis=(-2, -1), keepdims=True)
    # Of what is not finite, no backend makes a decomposition; some end the program.
    safe = ops.where(is_finite, kernel, ops.zeros_like(kernel))
    scale = largest_entry(safe)
    u, s, v_t = ops.svd(safe / scale, full_matrices=False)
    # On GPUs singular vectors of float32 are orthonormal to some 1e-4 only.
    u, v = (each + ops.matmul(each, orthonormality_defect(each)) for each in (u, transpose(v_t)))
    s = ops.where(is_finite[..., 0], s * scale[..., 0], math.nan)
    return Basis(u, v, s, is_u_needed(s, SPREAD))


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


def is_wrong(kernel, basis):
    """Whether a basis is that of another kernel, which the image of one vector tells."""
    scale = largest_entry(kernel)
    x = probe(kernel)
    image = ops.matmul(kernel / scale, x)
    inner = ops.matmul(transpose(basis.v), x) * (basis.s[..., None] / scale)
    missed = ops.sum(ops.square(image - ops.matmul(basis.u, inner)), axis=(-2, -1))
    whole = ops.sum(ops.square(kernel / scale), axis=(-2, -1)) * ops.mean(ops.square(x))
    return ops.logical_not(ops.all(missed <= FAR**2 * whole))  # True where there is a NaN.


def square_roots(basis):
    """`(W W')^(1/2)` and `(W' W)^(1/2)` in a basis: all that the direction at depth 2 takes."""
    s = ops.abs(basis.s)[..., None, :]
    return tuple(ops.matmul(each * s, transpose(each)) for each in (basis.u, basis.v))


def direction_of_square_roots(gradient, left, right):
    """`direction` at depth 2, of what `square_roots` returned: 2 products."""
    return ops.matmul(left, gradient) + ops.matmul(gradient, right)


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
    near = 0.0
    if not is_to_stand:
        near = NEAR[keras.backend.standardize_dtype(kernel.dtype)]
        near *= min(1.0, NEAR_UP_TO / kernel.shape[-1]) ** NEAR_POWER
    arguments = (kernel, gradient, basis, int(depth), largest_entry(kernel), near)
    if kernel.shape[-2] == kernel.shape[-1]:
        *tracked, is_near = step_with_u(*arguments)
    else:
        *tracked, is_near = choose(
            basis.is_u_kept > 0.5,
            lambda: step_with_u(*arguments),
            lambda: step_without_u(*arguments),
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


def _eigenvalues(s, depth):
    """Those of the preconditioner (Claim 1), and, as a row, those of left vectors outside of U."""
    s = ops.abs(s)
    outside = ops.power(s, 2 - 2 / depth)[..., None, :]
    if depth == int(depth) and depth <= 8:
        a = ops.power(s, 2 / depth)
        return power_sums(a[..., :, None], a[..., None, :])(int(depth)), outside
    return eigenvalues_of_depth(s, depth), outside
