"""The sublevel sets of two-layer linear networks are connected, by a path that shows it.

The loss is |X F_0 F_1 - Y|^2 + ridge (|F_0|^2 + |F_1|^2), with more hidden units than outputs or
inputs. Factors are first brought, with their product W fixed and their norm never rising, to

    F_0 = W |W|^(-1/2) E',   F_1 = E |W|^(1/2),   |W| = (W'W)^(1/2), E' = [I 0],

which has the smallest norm of all factors of W, twice the sum of its singular values. Between
two such points W moves in a straight line: F_0 and F_1 are continuous in W, and the loss is
convex in it.
"""

import numpy as np
from scipy.linalg import expm, logm

from reproduce.claims import REMARK, judge

RIDGES = (0.0, 0.1)
# Input size, output size, hidden width, rank of the second point's factors.
SHAPES = ((4, 2, 3, 2), (3, 3, 4, 3), (2, 4, 6, 2), (4, 3, 5, 1))
SAMPLES = 150  # on each part of the path
TOLERANCE = 1e-9
SHRINKAGE = 0.8  # the square root, where a singular value meets zero, halves as 2^(-1/2)


def connected_sublevel_sets():
    """The loss along the path, and whether it is continuous."""
    measured = np.array(
        [path_measures(*shape, ridge, SAMPLES) for shape in SHAPES for ridge in RIDGES]
    )
    finer = np.array(
        [path_measures(*shape, ridge, 2 * SAMPLES) for shape in SHAPES for ridge in RIDGES]
    )
    rise = np.max([measured[:, 0], finer[:, 0]])
    shrinkage = np.max(finer[:, 1] / measured[:, 1])
    return judge(
        "a two-layer linear network with more than min(n, m) hidden units has connected sublevel "
        "sets, with and without a ridge term",
        "Bruna, on the landscape of neural networks",
        f"a path of factors on which the loss exceeds its larger end by at most {TOLERANCE:.0e} of "
        f"it, whose largest step shrinks to at most {SHRINKAGE:g} with twice the samples",
        f"exceeds by {rise:.1e}, steps shrink to {shrinkage:.2f} ({len(SHAPES)} networks, ridge "
        f"{', '.join(f'{ridge:g}' for ridge in RIDGES)}); a straight line between the same factors "
        f"exceeds by up to {np.max(measured[:, 2]):.2g} times the larger end",
        bool(rise <= TOLERANCE and shrinkage <= SHRINKAGE),
        REMARK,
    )


def path_measures(input_dim, units, width, rank, ridge, samples):
    """What is measured of the path between two random points of low loss.

    Returns:
        How far the loss rises above its larger end, relative to it; the largest distance between
        neighboring samples, relative to the ends' norms; and the rise of a straight line.
    """
    rng = np.random.default_rng(6)
    inputs, targets = rng.normal(size=(20, input_dim)), rng.normal(size=(20, units))

    def low_point(rank):
        # Close to the best second factor for a random first one: a line between two such is high.
        first = rng.normal(size=(input_dim, rank)) @ rng.normal(size=(rank, width))
        second, *_ = np.linalg.lstsq(inputs @ first, targets, rcond=None)
        return first, second + 0.1 * rng.normal(size=(width, units))

    start, end = low_point(min(input_dim, width)), low_point(rank)

    def loss(factors):
        first, second = factors
        misfit = np.sum((inputs @ first @ second - targets) ** 2) / len(inputs)
        return misfit + ridge * (np.sum(first**2) + np.sum(second**2))

    points = path(start, end, samples)
    straight = interpolated(start, end, samples)
    larger = max(loss(start), loss(end))
    flat = np.array([np.concatenate([f.ravel() for f in point]) for point in points])
    steps = np.linalg.norm(np.diff(flat, axis=0), axis=1)
    return (
        max(map(loss, points)) / larger - 1,
        steps.max() / max(np.linalg.norm(flat[0]), np.linalg.norm(flat[-1])),
        max(map(loss, straight)) / larger - 1,
    )


def path(start, end, samples):
    """A path between two pairs of factors (d x h and h x k, h > min(d, k)): a list of pairs."""
    if start[0].shape[0] < start[1].shape[1]:
        # Of the transposed network, the outputs are the smaller side.
        return [transposed(point) for point in path(transposed(start), transposed(end), samples)]
    there, back = path_to_canonical(start, samples), path_to_canonical(end, samples)
    first, last = start[0] @ start[1], end[0] @ end[1]
    width = len(start[1])
    middle = [canonical((1 - t) * first + t * last, width) for t in np.linspace(0, 1, samples)]
    return there + middle + back[::-1]


def path_to_canonical(factors, samples):
    """From any factors to the canonical ones: product fixed, norm never rising."""
    first, second = factors
    w = first @ second
    # What the other factor does not see goes.
    without_first = first @ projection(second)
    without_second = projection(without_first.T) @ second
    points = interpolated(factors, (without_first, second), samples)
    points += interpolated((without_first, second), (without_first, without_second), samples)
    points += path_to_balance(without_first, without_second, samples)
    # Balanced factors of W differ from the canonical ones by a rotation of the hidden units.
    u, _, vt = np.linalg.svd(points[-1][1])
    u[:, : len(vt)] = u[:, : len(vt)] @ vt
    if np.linalg.det(u) < 0:
        u[:, -1] *= -1
    generator = np.real(logm(u.T))
    balanced = points[-1]
    for t in np.linspace(0, 1, samples):
        rotation = expm(t * (generator - generator.T) / 2)
        points.append((balanced[0] @ rotation.T, rotation @ balanced[1]))
    return points + [canonical(w, len(second))]


def path_to_balance(first, second, samples):
    """From A Q', Q B to A G Q', Q G^(-1) B with equal Gram matrices, along powers of G.

    The squared norm is convex in the exponent and smallest at its end, where G^2 = M is the
    positive definite solution of M A'A M = BB'.
    """
    u, s, _ = np.linalg.svd(second, full_matrices=False)
    q = u[:, s > 1e-10 * s[0]]
    a, b = first @ q, q.T @ second
    root = symmetric_power(a.T @ a, 0.5)
    inverse_root = symmetric_power(a.T @ a, -0.5)
    m = inverse_root @ symmetric_power(root @ b @ b.T @ root, 0.5) @ inverse_root
    return [
        (a @ symmetric_power(m, t / 2) @ q.T, q @ symmetric_power(m, -t / 2) @ b)
        for t in np.linspace(0, 1, samples)
    ]


def canonical(w, width):
    """The smallest factors of W (d x k), continuous in it: d x h and h x k."""
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    embedding = np.eye(width, len(vt))
    root = np.sqrt(s)
    return (u * root) @ vt @ embedding.T, embedding @ (vt.T * root) @ vt


def interpolated(start, end, samples):
    """The straight line between two pairs of matrices."""
    return [
        tuple((1 - t) * a + t * b for a, b in zip(start, end)) for t in np.linspace(0, 1, samples)
    ]


def projection(matrix):
    """The orthogonal projection onto the columns of a matrix."""
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    basis = u[:, s > 1e-10 * s[0]]
    return basis @ basis.T


def symmetric_power(matrix, exponent):
    """A power of a symmetric positive definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * eigenvalues**exponent) @ vectors.T


def transposed(factors):
    """The factors of the transposed product."""
    first, second = factors
    return second.T, first.T
