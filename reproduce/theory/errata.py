"""Errata of the sources: what is printed, what it must be, how we know; and what has no row."""

import numpy as np

from reproduce.theory import preconditioner, two_points

DEPTH = 3
LARGE = 10.0  # y_1, for the learning rate that it allows


def table():
    """A row for each erratum, with what was computed: a list of dicts from column to text."""
    printed, review, right = eigenvalue_deviations()
    stable = two_points.largest_stable_rate(LARGE, two_points.START)
    columns = ("source", "as printed", "as it must be", "evidence")
    return [
        dict(zip(columns, row))
        for row in (
            (
                "the paper's first version, Appendix A.2, last eigenvalue",
                "sum_j sigma_r^((N-j)/N) sigma_r'^((j-1)/N)",
                "exponents twice as large, as in Claim 1",
                f"deviation from the explicit matrix for N = {DEPTH}: {printed:.2g} as printed, "
                f"{right:.0e} with Claim 1's",
            ),
            (
                "literature review, Section 3, eigenvalues",
                "sum_j sigma_r^(2(N-j)/N) sigma_r'^(2(1-N)/N)",
                "the last exponent is 2(j-1)/N",
                f"deviation from the explicit matrix for N = {DEPTH}: {review:.2g}",
            ),
            (
                "literature review, Section 3, Equations 1 and 2",
                "loss E[(x'w - y)^p] beside the gradient E[(x'w - y)^(p-1) x]",
                "loss E[(x'w - y)^p / p], as in the paper",
                "the derivative of the printed loss is p times the printed gradient",
            ),
            (
                "the authors' talk, on Section 7",
                "the learning rate depends on 2 / max(y_1, y_2)",
                "2 / y_1^(p-2), Equation 15",
                f"for p = 4, y_1 = {LARGE:g} the largest stable rate is {stable:.4g}; 2 / y_1^2 = "
                f"{2 / LARGE**2:g}, 2 / y_1 = {2 / LARGE:g}",
            ),
            (
                "Section 8, Figure 2 (right)",
                "learning rate 1e-3",
                "the plotted curves follow 1e-4 in units of mean |y - t|^4",
                "results/figure2: the runs at 1e-4 lie on them, those at 1e-3 diverge",
            ),
            (
                "Section 8, Figure 3 (right)",
                "rates of the grid {1e-5, 5e-5, ..., 5e-1}",
                "not known: the pace of each curve is that of no rate of the grid",
                "results/figure3: flows at 4.46e-3, 3.5e-4 and 1.75e-4 lie on them, no descent",
            ),
        )
    ]


def without_a_row():
    """What the sources say and no row judges, and why: a list of dicts from column to text."""
    return [
        {"statement": statement, "source": source, "why": why}
        for statement, source, why in (
            (
                "an eigenvalue of the preconditioner increases with sigma_r and sigma_r'",
                "Section 5",
                "Claim 1's eigenvalue is a sum of increasing powers of both",
            ),
            (
                "overparameterizing the ConvNet has no effect on its expressiveness",
                "Section 9; the authors' blog post and talk",
                "the hidden widths, 512 and 10, are those of the layers' outputs: every matrix is "
                "a product of such two",
            ),
            (
                "depth does not always help, and sometimes slows down",
                "the authors' talk",
                "this is what the rows on p = 2 find, in Figure 3 and in robustness",
            ),
        )
    ]


def eigenvalue_deviations():
    """Largest relative deviations of the explicit matrix times eigenvectors from eigenvalues.

    Returns:
        Of those printed in the first version, of the review's, and of Claim 1's, at a random W.
    """
    rng = np.random.default_rng(0)
    u, singular_values, v = preconditioner.random_svd((3, 3), 3, rng)
    w = (u * singular_values) @ v.T
    vectors = np.kron(v, u)
    image = preconditioner.kronecker_preconditioner(w, DEPTH) @ vectors
    steps = np.arange(1, DEPTH + 1)
    first, second = (DEPTH - steps) / DEPTH, (steps - 1) / DEPTH
    return tuple(
        preconditioner.relative_gap(image, vectors * eigenvalues.T.ravel())
        for eigenvalues in (
            _sum_of_powers(singular_values, first, second),
            _sum_of_powers(singular_values, 2 * first, 0 * steps + 2 * (1 - DEPTH) / DEPTH),
            preconditioner.eigenvalues_of_claim_1(singular_values, DEPTH),
        )
    )


def _sum_of_powers(singular_values, first, second):
    """sum_j sigma_r^first_j sigma_r'^second_j: a matrix of shape (n, n)."""
    return sum(np.outer(singular_values**a, singular_values**b) for a, b in zip(first, second))
