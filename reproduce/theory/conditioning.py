"""Section 7's problem once more: other algorithms, other tolerances, other scales.

The fewest iterations over all learning rates are lucky landings: a rate that happens to bring a
coordinate close to where it belongs. So every comparison is made at several tolerances.
"""

import numpy as np

from reproduce.claims import PARTLY, QUESTION, REMARK, judge
from reproduce.theory import two_points

P = 4
RATIOS = two_points.RATIOS
TOLERANCES = (0.5, 0.2, 0.1, 0.05)  # of y_2
SMALL = 0.01  # y_2, so that y_1 is at most 0.1
DEPTHS = (1, 2, 3)


class AdaGrad:
    """As in Keras: gradients over the root of the sum of their squares, from 0.1 on."""

    def __init__(self):
        self.sum = 0.1

    def __call__(self, gradients):
        self.sum = self.sum + gradients**2
        return gradients / np.sqrt(self.sum + 1e-7)


class Adam:
    """As in Keras: running means of the gradients and of their squares, both without bias."""

    def __init__(self):
        self.mean, self.square, self.step = 0.0, 0.0, 0

    def __call__(self, gradients):
        self.step += 1
        self.mean = 0.9 * self.mean + 0.1 * gradients
        self.square = 0.999 * self.square + 0.001 * gradients**2
        mean = self.mean / (1 - 0.9**self.step)
        return mean / (np.sqrt(self.square / (1 - 0.999**self.step)) + 1e-7)


def table():
    """Fewest iterations at each tolerance, and at each ratio with the loosest: a list of rows."""
    rows = []
    for name, depth, optimizer in (
        *((f"rule, N = {depth}", depth, None) for depth in DEPTHS),
        ("AdaGrad", 1, AdaGrad),
        ("Adam", 1, Adam),
    ):
        row = {"p": P, "algorithm": name}
        for ratio in RATIOS:
            row[f"y1/y2 = {ratio}"] = _count(ratio, depth, optimizer)
        for tolerance in TOLERANCES[1:]:
            column = f"y1/y2 = {RATIOS[-1]}, to {tolerance:g} y2"
            row[column] = _count(RATIOS[-1], depth, optimizer, tolerance)
        rows.append(row)
    return rows


def _count(ratio, depth, optimizer, tolerance=TOLERANCES[0]):
    made = optimizer() if optimizer else None
    return two_points.fewest_iterations(P, depth, ratio, tolerance, optimizer=made)


def other_algorithms(rows):
    """Whether AdaGrad and Adam suffer from an ill-conditioned problem as gradient descent does."""
    growth = {
        row["algorithm"]: row[f"y1/y2 = {RATIOS[-1]}"] / row[f"y1/y2 = {RATIOS[0]}"]
        for row in rows
        if row["algorithm"] in ("AdaGrad", "Adam")
    }
    slow = [ratio >= RATIOS[-1] for ratio in growth.values()]
    return judge(
        "the same happens with most algorithms typically used, AdaGrad and Adam among them",
        "Section 7",
        f"at least {RATIOS[-1]} times as many iterations at y1/y2 = {RATIOS[-1]} as at {RATIOS[0]}",
        ", ".join(f"{name} {ratio:.3g} times" for name, ratio in growth.items())
        + f" (p = {P}, fewest over {len(two_points.RATES)} learning rates)",
        all(slow) or (PARTLY if any(slow) else False),
    )


def relief_at_every_tolerance(rows):
    """Whether depth helps however closely the optimum is to be reached."""
    counts = {row["algorithm"]: list(row.values())[-len(TOLERANCES) :] for row in rows}
    plain = counts[f"rule, N = {DEPTHS[0]}"]
    relative = {depth: np.divide(counts[f"rule, N = {depth}"], plain) for depth in DEPTHS[1:]}
    return judge(
        "for p > 2 overparameterization relieves the slow coordinate, however closely the optimum "
        "is to be reached",
        "Section 7; the tolerances are ours",
        f"fewer iterations than N = 1 at y1/y2 = {RATIOS[-1]} at each tolerance",
        "times as many as N = 1 to "
        + ", ".join(f"{tolerance:g}" for tolerance in TOLERANCES)
        + " y2: "
        + "; ".join(
            f"N = {depth}: {', '.join(f'{ratio:.3g}' for ratio in ratios)}"
            for depth, ratios in relative.items()
        ),
        all((ratios < 1).all() for ratios in relative.values()),
        QUESTION,
    )


def only_above_one():
    """The problem at a hundredth of its size, where y_1 is below 1."""
    counts = {
        scale: [two_points.fewest_iterations(P, depth, RATIOS[-1], scale=scale) for depth in DEPTHS]
        for scale in (1.0, SMALL)
    }
    return judge(
        "the relief of the slow coordinate needs y_1 > 1",
        "Section 7",
        f"at y = ({SMALL * RATIOS[-1]:g}, {SMALL:g}) as many iterations with depth as without, or "
        "more",
        f"N = {', '.join(map(str, DEPTHS))}: "
        + "; ".join(
            f"{', '.join(map(str, found))} at y = ({scale * RATIOS[-1]:g}, {scale:g})"
            for scale, found in counts.items()
        )
        + " (each at its best learning rate, which makes up for the scale)",
        min(counts[SMALL][1:]) >= counts[SMALL][0],
    )


def grows_with_the_ratio(iterations):
    """Whether depth 2, of which the talk speaks, helps the more, the more ill-conditioned it is.

    Args:
        iterations: `two_points.iterations_table()`.
    """
    advantages = {}
    for p in two_points.POWERS[1:]:
        single, *deep = (row for row in iterations if row["p"] == p)
        for row in deep:
            columns = [name for name in row if name not in ("p", "N")]
            advantages[p, row["N"]] = [single[name] / row[name] for name in columns]
    grows = [
        ratios == sorted(ratios) and ratios[-1] > ratios[0]
        for (_, depth), ratios in advantages.items()
        if depth == 2
    ]
    return judge(
        "the more ill-conditioned the problem, y_1 >> y_2, the greater the advantage of depth",
        "the authors' talk",
        "for N = 2 as many times fewer iterations than N = 1, or more, from each ratio to the next",
        "; ".join(
            f"p = {p}, N = {depth}: {', '.join(f'{ratio:.3g}' for ratio in ratios)}"
            for (p, depth), ratios in advantages.items()
        )
        + f" times at y1/y2 = {', '.join(map(str, RATIOS))}",
        all(grows),
        REMARK,
    )
