"""Claims 1 and 2: what depth does to a gradient, against explicit matrices."""

import numpy as np
from keras import ops

from reproduce.claims import judge
from reproduce.theory import rule
from tfoverparam.matrix_functions import preconditioner_eigenvalues

TOLERANCE = 1e-10
DEPTHS = (1, 2, 3, 4, 8)
SHAPES_AND_RANKS = ((3, 3, 3), (3, 3, 1), (4, 2, 2), (2, 5, 2), (5, 4, 2), (1, 6, 1), (6, 1, 1))
SIZES = (1, 2, 10, 50)


def claim_1():
    """The eigenvectors and eigenvalues of the preconditioner, for several shapes and ranks."""
    rng = np.random.default_rng(0)
    deviations = np.max(
        [
            claim_1_deviations(*random_svd(shape, rank, rng), rng.normal(size=shape), depth)
            for *shape, rank in SHAPES_AND_RANKS
            for depth in DEPTHS
        ],
        axis=0,
    )
    return judge(
        "the end-to-end update is a positive semidefinite preconditioner with eigenvectors "
        "vec(u_r v_r'^T) and eigenvalues sum_j sigma_r^(2(N-j)/N) sigma_r'^(2(j-1)/N)",
        "Claim 1",
        f"relative deviations of at most {TOLERANCE:.0e}",
        f"explicit Kronecker matrix times eigenvectors {deviations[0]:.1e}, "
        f"preconditioner_eigenvalues {deviations[1]:.1e}, end_to_end_direction {deviations[2]:.1e} "
        f"({len(SHAPES_AND_RANKS)} shapes and ranks, N = {_listed(DEPTHS)})",
        bool(np.all(deviations <= TOLERANCE)),
    )


def claim_2():
    """The closed form for a single output, against the sum and the library."""
    rng = np.random.default_rng(1)
    deviations = np.max(
        [
            claim_2_deviations(rng.normal(size=(1, size)), rng.normal(size=(1, size)), depth)
            for size in SIZES
            for depth in DEPTHS
        ],
        axis=0,
    )
    return judge(
        "for a single output the update is ||W||^(2-2/N) (G + (N-1) Pr_W{G})",
        "Claim 2",
        f"relative deviations of at most {TOLERANCE:.0e}",
        f"from the sum over fractional powers {deviations[0]:.1e}, from end_to_end_direction "
        f"{deviations[1]:.1e} (d = {_listed(SIZES)}; N = {_listed(DEPTHS)})",
        bool(np.all(deviations <= TOLERANCE)),
    )


def random_svd(shape, rank, rng):
    """Orthogonal U (k x k) and V (d x d), and singular values in [1, 10], zero beyond `rank`."""
    u, v = (np.linalg.qr(rng.normal(size=(size, size)))[0] for size in shape)
    singular_values = np.zeros(max(shape))
    singular_values[:rank] = 10 ** rng.uniform(size=rank)
    return u, singular_values, v


def claim_1_deviations(u, singular_values, v, gradient, depth):
    """Largest relative deviations from Claim 1 at W = U diag(s) V'.

    Args:
        u, singular_values, v: As of `random_svd`. gradient: matrix of shape (k, d).

    Returns:
        Of the explicit matrix times the eigenvectors, of `preconditioner_eigenvalues`, and of
        `end_to_end_direction`.
    """
    k, d = len(u), len(v)
    w = (u[:, : min(k, d)] * singular_values[: min(k, d)]) @ v[:, : min(k, d)].T
    explicit = kronecker_preconditioner(w, depth)
    eigenvalues = eigenvalues_of_claim_1(singular_values, depth)[:k, :d]
    # Column-first vec(u_r v_s^T) is the Kronecker product of v_s and u_r.
    eigenvectors = np.kron(v, u)
    expected = eigenvectors * eigenvalues.T.ravel()
    from_library = ops.convert_to_numpy(preconditioner_eigenvalues(singular_values, depth))
    direction = rule.direction(w.T, gradient.T, depth).T
    return (
        relative_gap(explicit @ eigenvectors, expected),
        relative_gap(from_library[:k, :d], eigenvalues),
        relative_gap(direction.ravel("F"), explicit @ gradient.ravel("F")),
    )


def claim_2_deviations(w, gradient, depth):
    """Relative deviations of the sum and of `end_to_end_direction` from Claim 2's form.

    Args:
        w, gradient: Matrices of shape (1, d).
    """
    closed_form = single_output_direction(w[0], gradient[0], depth)
    summed = kronecker_preconditioner(w, depth) @ gradient.ravel("F")
    direction = rule.direction(w.T, gradient.T, depth)[:, 0]
    return relative_gap(summed, closed_form), relative_gap(direction, closed_form)


def kronecker_preconditioner(w, depth):
    """sum_j [W'W]^((N-j)/N) (x) [WW']^((j-1)/N), of shape (kd, kd), for W of shape (k, d)."""
    return sum(
        np.kron(psd_power(w.T @ w, (depth - j) / depth), psd_power(w @ w.T, (j - 1) / depth))
        for j in range(1, depth + 1)
    )


def eigenvalues_of_claim_1(singular_values, depth):
    """The eigenvalue of u_r v_s^T, as the claim's sum: a matrix of shape (n, n)."""
    # NumPy takes 0^0 for 1, as the zeroth power of a matrix is the identity.
    return sum(
        np.outer(
            singular_values ** (2 * (depth - j) / depth), singular_values ** (2 * (j - 1) / depth)
        )
        for j in range(1, depth + 1)
    )


def single_output_direction(w, gradient, depth):
    """Claim 2 (Equation 12): vectors of shape (d,), W not zero."""
    norm = np.linalg.norm(w)
    projection = (w @ gradient) / norm**2 * w
    return norm ** (2 - 2 / depth) * (gradient + (depth - 1) * projection)


def psd_power(matrix, exponent):
    """A fractional power of a positive semidefinite matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    # What rounding leaves of a zero would be far from zero to a small power.
    eigenvalues = np.where(eigenvalues < 1e-13 * eigenvalues.max(), 0, eigenvalues)
    return (vectors * eigenvalues**exponent) @ vectors.T


def relative_gap(measured, expected):
    """Frobenius norm of the difference, relative to that of what is expected."""
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


def _listed(numbers):
    return ", ".join(map(str, numbers))
