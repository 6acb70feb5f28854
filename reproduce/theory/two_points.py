"""Section 7: two points, one much larger than the other, and what depth does about it.

The loss is ((w_1 - y_1)^p + (w_2 - y_2)^p) / p. Gradient descent moves each coordinate by itself,
at a learning rate that y_1 limits; the rule for a single output (Equation 12) couples them.
"""

import numpy as np

from reproduce.claims import judge
from reproduce.theory import rule

POWERS = (2, 4, 6)
DEPTHS = (1, 2, 3)
RATIOS = (1, 2, 5, 10)  # y_1 / y_2, with y_2 = 1
START = 0.01  # of both coordinates of w
TOLERANCE = 0.5  # both coordinates within this times y_2
STAY = 20  # iterations that they have to stay there
LIMIT = 100_000
# Learning rates tried, in units of the largest at which Equation 15 can converge, 2 / y_1^(p-2).
RATES = np.geomspace(1e-3, 1e3, 241)
SPECIAL_CASES = ((10, 0.01), (100, 0.01), (100, 0.001))  # y_1, epsilon_1


def iterations_table():
    """Fewest iterations to the tolerance over all learning rates: one row for each p and N."""
    return [
        {"p": p, "N": depth}
        | {f"y1/y2 = {ratio}": fewest_iterations(p, depth, ratio) for ratio in RATIOS}
        for p in POWERS
        for depth in DEPTHS
    ]


def slowdown(table):
    """How gradient descent's iterations grow with y_1 / y_2."""
    growth = {row["p"]: _growth(row) for row in table if row["N"] == 1}
    return judge(
        "an ill-conditioned problem, y_1 >> y_2, slows gradient descent down if p > 2, but not if "
        "p = 2",
        "Section 7",
        f"iterations at y1/y2 = {RATIOS[-1]} over those at {RATIOS[0]}: 1 for p = 2, at least "
        f"{RATIOS[-1]} for p > 2",
        ", ".join(f"{ratio:.5g} for p = {p}" for p, ratio in growth.items())
        + f" (fewest over {len(RATES)} learning rates, tolerance {TOLERANCE:g} y2)",
        all(ratio >= RATIOS[-1] if p > 2 else ratio == 1 for p, ratio in growth.items()),
    )


def relief(table):
    """Iterations with depth against those without, on the most ill-conditioned problem."""
    column = f"y1/y2 = {RATIOS[-1]}"
    count = {(row["p"], row["N"]): row[column] for row in table}
    relative = {key: number / count[key[0], 1] for key, number in count.items() if key[1] > 1}
    return judge(
        "for p > 2 overparameterization relieves the slow coordinate",
        "Section 7",
        f"fewer iterations than N = 1 at y1/y2 = {RATIOS[-1]} for every p > 2 and N > 1",
        "times as many as N = 1: "
        + ", ".join(f"{ratio:.3g} (p = {p}, N = {n})" for (p, n), ratio in relative.items()),
        all(ratio < 1 for (p, _), ratio in relative.items() if p > 2),
    )


def special_case():
    """The second coordinate's learning rate for p = 4 and N = 2, against gradient descent's."""
    plain = [largest_stable_rate(y, e) * y**2 / 2 for y, e in SPECIAL_CASES]
    depth_2 = [effective_rate(y, e) * 2 * e * y for y, e in SPECIAL_CASES]
    return judge(
        "for p = 4, N = 2, y_1 >> 1 and a start epsilon_1 << 1 the second coordinate's effective "
        "learning rate is about 1 / (2 epsilon_1 y_1), and under gradient descent almost 2 / y_1^2",
        "Appendix B",
        "both within 5%",
        f"{_listed(depth_2)} times 1/(2 epsilon_1 y_1), {_listed(plain)} times 2/y_1^2 "
        f"(y_1, epsilon_1 = {'; '.join(f'{y}, {e}' for y, e in SPECIAL_CASES)})",
        bool(np.all(np.abs(np.array(plain + depth_2) - 1) <= 0.05)),
    )


def fewest_iterations(p, depth, ratio, tolerance=TOLERANCE, scale=1.0, optimizer=None):
    """Iterations until both coordinates are within the tolerance to stay, at the best rate.

    The best rate may be one that brings the first coordinate to y_1 in a single step, with depth
    and without, as in the paper's Appendix B.

    Args:
        p, depth: Of the loss, and of the rule; depth 1 is gradient descent.
        ratio: y_1 / y_2.
        tolerance: In units of y_2.
        scale: y_2.
        optimizer: From gradients to directions, `adaptive.AdaGrad` or `adaptive.Adam`; None: the
            gradients, or what the rule makes of them.

    Returns:
        An integer; `LIMIT` where no learning rate gets there in fewer.
    """
    y = scale * np.array([ratio, 1.0])
    # The rule's directions are longer by |w|^(2-2/N), an optimizer's are of the size of 1.
    unit = y[0] if optimizer else 2 / y[0] ** (p - 2) / scale ** (2 - 2 / depth)
    rates = (unit * RATES)[:, None]
    w = np.full((len(rates), 2), START * scale)
    inside_since = np.full(len(rates), LIMIT)
    for iteration in range(LIMIT):
        inside = np.all(np.abs(w - y) <= tolerance * scale, axis=1)
        inside_since = np.where(inside, np.minimum(inside_since, iteration), LIMIT)
        if iteration - inside_since.min() >= STAY:
            return int(inside_since.min())
        gradients = (w - y) ** (p - 1)
        directions = (
            optimizer(gradients) if optimizer else single_output_directions(w, gradients, depth)
        )
        # A step that leaves this range is on its way to infinity: it is kept from overflowing.
        w = np.clip(w - rates * directions, -1e6 * scale, 1e6 * scale)
    return LIMIT


def single_output_directions(w, gradients, depth):
    """Equation 12 for each row: `w` and `gradients` of shape (n, d), no row of `w` zero."""
    squared_norms = np.sum(w**2, axis=1, keepdims=True)
    projections = np.sum(w * gradients, axis=1, keepdims=True) / squared_norms * w
    return squared_norms ** (1 - 1 / depth) * (gradients + (depth - 1) * projections)


def largest_stable_rate(y, epsilon):
    """Largest rate at which gradient descent for p = 4 converges in the first coordinate.

    By bisection, from w_1 = `epsilon`.
    """
    low, high = 0.0, 10 / y**2
    for _ in range(40):
        middle = (low + high) / 2
        gap = epsilon - y
        for _ in range(1000):
            gap = np.clip(gap - middle * gap**3, -1e3 * y, 1e3 * y)
        low, high = (middle, high) if abs(gap) < y - epsilon else (low, middle)
    return low


def effective_rate(y, epsilon):
    """What the second coordinate moves by, for p = 4 and N = 2, over its own gradient.

    The learning rate 1 / (2 epsilon y^2) takes the first coordinate from `epsilon` to about y in
    one step; the rate is measured in the second. The other coordinate starts at zero.
    """
    optimum = np.array([y, 1.0])
    w = np.array([epsilon, 0.0])
    rate = 1 / (2 * epsilon * y**2)

    def step(w):
        return w - rate * rule.direction(w[:, None], (w - optimum)[:, None] ** 3, 2)[:, 0]

    first = step(w)
    return (step(first) - first)[1] / -((first - optimum)[1] ** 3)


def _growth(row):
    return row[f"y1/y2 = {RATIOS[-1]}"] / row[f"y1/y2 = {RATIOS[0]}"]


def _listed(numbers):
    return ", ".join(f"{number:.3f}" for number in numbers)
