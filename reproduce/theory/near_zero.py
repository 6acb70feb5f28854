"""What holds of starts near zero, and of learning rates that are small but not infinitely so.

Theorem 1 is about gradient flow from a balanced start. The paper says that its end-to-end rule is
then right for gradient descent from a start near zero too (Section 5), and that this start is what
stops very deep networks (Section 8).
"""

import functools

import numpy as np

from reproduce.claims import PARTLY, REMARK, judge
from reproduce.theory import gradient_flow, rule

STDDEV = 0.01  # of every weight at the start, as in the paper
FEATURES = 128  # of the paper's data
# Hidden widths of the paper's networks of a single output.
WIDTHS = ((1,), (100,), (1, 1), (100, 100))
DRAWS, NORMS_DRAWN = 20, 1000
BALANCED = 0.1  # imbalance that may be called approximately none
RATES = (0.02, 0.01, 0.005, 0.0025)
TIME = 1.0  # of eta t
DEPTHS = (1, 2, 3, 4, 8)
# Figure 5 (left): 100,000 iterations at the largest rate of the grid, and a gradient of 100.
BUDGET = 100_000 * 0.5 * 100


def balance():
    """How unbalanced starts near zero are, beside themselves and beside what they grow to."""
    found = np.array([imbalances(widths) for widths in WIDTHS])
    met = found.max(axis=0) <= BALANCED
    names = ("width " + " and ".join(map(str, widths)) for widths in WIDTHS)
    return judge(
        "a start near zero is approximately balanced",
        "Section 5; the authors' blog post and talk",
        f"imbalance of at most {BALANCED:g}, relative to the Gram matrices of the factors at the "
        "start, and to those of balanced factors of an end-to-end matrix of norm 1",
        "; ".join(
            f"hidden {name}: {at_start:.2f} and {grown:.3f}"
            for name, (at_start, grown) in zip(names, found)
        )
        + f" ({FEATURES} inputs, one output, N(0, {STDDEV}^2), medians of {DRAWS} draws)",
        bool(met.all()) or (PARTLY if (found <= BALANCED).any() else False),
    )


def small_rates(weight_decay):
    """The gap between gradient descent over factors and Equation 10, as the rate shrinks."""
    gaps = np.array(
        [
            [discrete_gap(*network, weight_decay, rate) for rate in RATES]
            for network in gradient_flow.NETWORKS
        ]
    )
    slopes = [np.polyfit(np.log(RATES), np.log(row), 1)[0] for row in gaps]
    decay = f"lambda = {weight_decay:g}" if weight_decay else "lambda = 0"
    return judge(
        "from a balanced start, gradient descent over the factors moves the end-to-end matrix by "
        f"Equation 10, the better the smaller the learning rate: the gap is O(eta) ({decay})",
        "Section 5, Equation 10",
        "slopes of the gap over eta in [0.9, 1.1]",
        f"{min(slopes):.3f} to {max(slopes):.3f} ({len(slopes)} networks of depth 2 to 5; gap at "
        f"eta = {RATES[-1]:g} at most {gaps[:, -1].max():.1e} of the matrix, at eta t = {TIME:g})",
        all(0.9 <= slope <= 1.1 for slope in slopes),
    )


def vanishing_factor():
    """How long the rule takes to leave a start near zero, over the depth."""
    norms = {depth: start_norm(depth) for depth in DEPTHS}
    times = {depth: escape_time(depth, norm) for depth, norm in norms.items()}
    return judge(
        "the factor |W|^(2-2/N) stops very deep networks near zero",
        "Section 8; the authors' talk",
        f"time eta |gradient| t until |W| = 1 above {BUDGET:.0e} at depth 8, not at depth 4",
        "; ".join(
            f"N = {depth}: factor {norms[depth] ** (2 - 2 / depth):.0e}, time {times[depth]:.2g}"
            for depth in DEPTHS
        )
        + f" (by Equation 12 along a constant gradient, from the product of N(0, {STDDEV}^2))",
        times[8] > BUDGET >= times[4],
        REMARK,
    )


def imbalances(hidden_units):
    """Median imbalance of starts: relative to their own Gram matrices, and to 1."""
    rng = np.random.default_rng(0)
    dims = (FEATURES, *hidden_units, 1)
    found = []
    for _ in range(DRAWS):
        factors = [STDDEV * rng.normal(size=shape) for shape in zip(dims[:-1], dims[1:])]
        grams = [(left.T @ left, right @ right.T) for left, right in zip(factors[:-1], factors[1:])]
        gaps = [np.linalg.norm(left - right) for left, right in grams]
        sizes = [max(map(np.linalg.norm, pair)) for pair in grams]
        found.append((np.max(np.divide(gaps, sizes)), np.max(gaps)))
    return np.median(found, axis=0)


def discrete_gap(input_dim, units, hidden_units, p, weight_decay, rate):
    """Relative gap, at the end, of the product of factors that descend from Equation 10."""
    gradient, factors = gradient_flow.problem(input_dim, units, hidden_units, p, balanced=True)
    depth = len(factors)
    velocity = gradient_flow.factor_velocity(gradient, weight_decay)
    kernel = functools.reduce(np.matmul, factors)
    for _ in range(round(TIME / rate)):
        factors = [f + rate * v for f, v in zip(factors, velocity(factors))]
        step = rate * rule.direction(kernel, gradient(kernel), depth)
        kernel = (1 - rate * weight_decay * depth) * kernel - step
    product = functools.reduce(np.matmul, factors)
    return np.linalg.norm(product - kernel) / np.linalg.norm(kernel)


def start_norm(depth):
    """Median norm of the end-to-end vector of scalar hidden layers near zero."""
    rng = np.random.default_rng(0)
    first = np.linalg.norm(STDDEV * rng.normal(size=(NORMS_DRAWN, FEATURES)), axis=1)
    others = np.abs(STDDEV * rng.normal(size=(NORMS_DRAWN, depth - 1)))
    return float(np.median(first * np.prod(others, axis=1)))


def escape_time(depth, start, end=1.0):
    """Time eta |g| t in which Equation 12 takes |W| from `start` to `end` along a constant g.

    There |W| grows at N |W|^(2-2/N).
    """
    power = 2 / depth - 1
    if power == 0:
        return np.log(end / start) / depth
    return (end**power - start**power) / (power * depth)
