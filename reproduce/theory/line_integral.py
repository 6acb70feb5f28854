"""Theorem 2: the line integral that shows depth's update to be no gradient.

The curve Gamma of Figure 1 goes from -R e along e to -r e, over the sphere of radius r to r e,
along e to R e, and over the sphere of radius R back to -R e. The field is Theorem 2's F, which
depth N makes of a field phi of gradients.
"""

from collections.abc import Callable
import dataclasses

import numpy as np

from reproduce.claims import CLAIM, QUESTION, judge
from reproduce.theory import rule

TOLERANCE = 1e-10
DEPTHS = (3, 4, 8)
BEYOND = 2.5  # the theorem is about integers
SIZES = (2, 3, 10, 50)
INNER, OUTER = 0.5, 1.0
NODES = 24  # Gauss-Legendre on each arc, on which the integrand is smooth
ARCS = ("1", "2", "3", "4")


@dataclasses.dataclass(frozen=True)
class Curve:
    """Gamma of Figure 1, in the plane of the orthonormal vectors `e` and `normal`.

    Attributes:
        e, normal: Vectors of shape (d,); the spheres are crossed on the side of `normal`.
        inner, outer: The radii r < R.
    """

    e: np.ndarray
    normal: np.ndarray
    inner: float
    outer: float

    def arc(self, name, t):
        """Points of an arc and velocities there, each of shape (len(t), d), t from 0 to 1."""
        angle = np.pi * t
        if name in ("1", "3"):
            length = self.outer - self.inner
            position = -self.outer + length * t if name == "1" else self.inner + length * t
            return np.outer(position, self.e), np.outer(np.full(len(t), length), self.e)
        if name == "2":  # from -r e to r e
            radius, along, velocity = self.inner, -np.cos(angle), np.sin(angle)
            across = np.cos(angle)
        else:  # from R e to -R e
            radius, along, velocity = self.outer, np.cos(angle), -np.sin(angle)
            across = np.cos(angle)
        points = np.outer(along, self.e) + np.outer(np.sin(angle), self.normal)
        velocities = np.outer(velocity, self.e) + np.outer(across, self.normal)
        return radius * points, radius * np.pi * velocities


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss of a linear model with a single output.

    Attributes:
        gradient: From a vector of shape (d,) to one.
        lipschitz: No two gradients differ by more than this times the distance between them.
    """

    gradient: Callable[[np.ndarray], np.ndarray]
    lipschitz: float


def lemma_3(depths=DEPTHS, sizes=SIZES):
    """The integral for a constant phi, by quadrature, against the closed form."""
    gap = np.max([lemma_3_gap(depth, size) for depth in depths for size in sizes])
    beyond = " (beyond the theorem: N is no integer)" if depths == (BEYOND,) else ""
    return judge(
        f"the integral over Gamma of F_e is (2N / (3 - 2/N) - 2) (R^(3-2/N) - r^(3-2/N)){beyond}",
        "Lemma 3",
        f"relative deviation of at most {TOLERANCE:.0e}",
        f"{gap:.1e} (quadrature over the four arcs with end_to_end_direction as F; "
        f"N = {_listed(depths)}; d = {_listed(sizes)})",
        bool(gap <= TOLERANCE),
        QUESTION if beyond else CLAIM,
    )


def lemma_3_beyond():
    """The same for a depth between two and three."""
    return lemma_3((BEYOND,))


def theorem_2():
    """The integral for the gradients of losses, on a curve as small as the proof asks for."""
    measured = np.array(
        [
            theorem_2_integral(loss, size, depth)
            for loss in (least_squares, logistic_regression)
            for size in (2, 10)
            for depth in DEPTHS
        ]
    )
    bounds, integrals = measured.T
    return judge(
        "F is the gradient field of no function, as its integral over a closed curve is not zero",
        "Theorem 2, and its proof",
        "every integral at least the proof's lower bound, and that above 0",
        f"smallest bound {bounds.min():.3f} c R^(3-2/N), integrals at least "
        f"{np.min(integrals / bounds):.3f} times their bounds (least squares and logistic "
        f"regression, d = 2, 10, N = {_listed(DEPTHS)})",
        bool(np.all(bounds > 0) and np.all(integrals >= bounds)),
    )


def footnote_1():
    """Depth two and a linear loss: F is a gradient field after all."""
    rng = np.random.default_rng(2)
    slope = rng.normal(size=5)
    curve = random_curve(5, INNER, OUTER, rng)
    integral = abs(closed_integral(lambda w: slope, curve, depth=2))
    points = rng.normal(size=(20, 5))
    gap = np.max([footnote_1_gap(point, slope) for point in points])
    return judge(
        "for N = 2 a linear loss W U^T is a counter-example: F is the gradient of ||W|| W U^T",
        "Section 6, footnote 1",
        f"integral over Gamma and relative deviation from the gradient of at most {TOLERANCE:.0e}",
        f"integral {integral:.1e}, deviation {gap:.1e} ({len(points)} points, d = 5)",
        bool(integral <= TOLERANCE and gap <= TOLERANCE),
    )


def lemma_2():
    """The bound on line integrals, on Gamma, its arcs, and segments short enough to attain it."""
    rng = np.random.default_rng(5)
    ratios = []
    for size in SIZES:
        curve = random_curve(size, INNER, OUTER, rng)
        for depth in (2, *DEPTHS):
            for loss in (least_squares(size, rng), logistic_regression(size, rng)):
                ratios.append(lemma_2_ratios(loss.gradient, curve, depth))
    short = random_curve(3, 1 - 1e-3, 1.0, rng)
    attained = lemma_2_ratios(lambda w: short.e, short, 3)[0]
    largest = np.max(ratios)
    return judge(
        "a line integral of F_phi is at most N len(Gamma) max |gamma|^(2-2/N) max |phi(gamma)|",
        "Lemma 2",
        "no integral above its bound",
        f"at most {largest:.3f} of it ({len(ratios)} closed curves and their arcs, gradients of "
        f"two losses, N = 2, {_listed(DEPTHS)}); {attained:.4f} on a short segment along e",
        bool(max(largest, attained) <= 1),
    )


def theorem_2_without_its_assumptions():
    """A loss whose gradient vanishes at zero, and a constant one: F is a gradient field."""
    rng = np.random.default_rng(6)
    curve = random_curve(5, INNER, OUTER, rng)
    points = rng.normal(size=(20, 5))
    quadratic = [abs(closed_integral(lambda w: w, curve, depth)) for depth in DEPTHS]
    constant = [abs(closed_integral(lambda w: 0 * w, curve, depth)) for depth in DEPTHS]
    gap = np.max([radial_gap(point, depth) for point in points for depth in DEPTHS])
    return judge(
        "a gradient that does not vanish at W = 0 is needed: for |W|^2 / 2 F is the gradient of "
        "N / (4-2/N) |W|^(4-2/N), for a constant loss that of a constant",
        "Theorem 2, its assumption; the examples are ours",
        f"integrals over Gamma and relative deviation from the gradient of at most {TOLERANCE:.0e}",
        f"integrals {np.max(quadratic):.1e} and {np.max(constant):.1e}, deviation {gap:.1e} "
        f"(N = {_listed(DEPTHS)}, {len(points)} points, d = 5)",
        bool(np.max([*quadratic, *constant, gap]) <= TOLERANCE),
        QUESTION,
    )


def lemma_2_ratios(phi, curve, depth):
    """|integral| over the lemma's bound, for each arc of Gamma and for all of it."""
    integrals = arc_integrals(phi, curve, depth)
    across = curve.outer - curve.inner
    lengths = np.array([across, np.pi * curve.inner, across, np.pi * curve.outer])
    points = [curve.arc(name, np.linspace(0, 1, 50))[0] for name in ARCS]
    radii = [np.max(np.linalg.norm(part, axis=1)) ** (2 - 2 / depth) for part in points]
    sizes = [max(np.linalg.norm(phi(point)) for point in part) for part in points]
    bounds = depth * lengths * np.array(radii) * np.array(sizes)
    whole = depth * np.sum(lengths) * max(radii) * max(sizes)
    return [*np.abs(integrals) / bounds, abs(np.sum(integrals)) / whole]


def radial_gap(w, depth):
    """Relative deviation of F for |W|^2 / 2 from the gradient of N / (4-2/N) |W|^(4-2/N)."""
    gradient = depth * np.linalg.norm(w) ** (2 - 2 / depth) * w
    return np.linalg.norm(field(w, w, depth) - gradient) / np.linalg.norm(gradient)


def lemma_3_gap(depth, size):
    """Relative deviation of the quadrature from the closed form, in `size` dimensions."""
    curve = random_curve(size, INNER, OUTER, np.random.default_rng(size))
    expected = closed_form(depth, curve.inner, curve.outer)
    return abs(closed_integral(lambda w: curve.e, curve, depth) - expected) / expected


def theorem_2_integral(make_loss, size, depth):
    """The proof's lower bound and the integral, both in units of c R^(3-2/N).

    With xi the gradient less its value c e at zero, the integral is at least
    c (2N/(3-2/N) - 2) (R^(3-2/N) - r^(3-2/N)) - 2 pi N R^(3-2/N) max |xi|. The proof takes
    r^(3-2/N) = R^(3-2/N) / 2, and R so small that |xi| stays below an epsilon that keeps this
    positive: here half of the largest such epsilon.
    """
    rng = np.random.default_rng(3)
    loss = make_loss(size, rng)
    at_zero = loss.gradient(np.zeros(size))
    c = np.linalg.norm(at_zero)
    power = 3 - 2 / depth
    factor = 2 * depth / power - 2
    epsilon = 0.5 * (0.5 * c * factor) / (2 * np.pi * depth)
    outer = epsilon / loss.lipschitz
    curve = random_curve(size, 0.5 ** (1 / power) * outer, outer, rng, e=at_zero / c)
    bound = c * closed_form(depth, curve.inner, outer) - 2 * np.pi * depth * epsilon * outer**power
    integral = closed_integral(loss.gradient, curve, depth)
    return bound / (c * outer**power), integral / (c * outer**power)


def least_squares(size, rng):
    """The l2 loss of random regression."""
    inputs, targets = rng.normal(size=(30, size)), rng.normal(size=30)
    hessian = inputs.T @ inputs / 30
    return Loss(lambda w: hessian @ w - inputs.T @ targets / 30, float(np.linalg.norm(hessian, 2)))


def logistic_regression(size, rng):
    """The cross-entropy of random labels in {-1, 1}."""
    inputs, labels = rng.normal(size=(30, size)), rng.choice([-1, 1], size=30)
    # The slope of the logistic function is at most 1/4.
    lipschitz = float(np.linalg.norm(inputs.T @ inputs / 30, 2)) / 4
    return Loss(
        lambda w: -inputs.T @ (labels / (1 + np.exp(labels * (inputs @ w)))) / 30, lipschitz
    )


def footnote_1_gap(w, slope):
    """Relative deviation of F from the gradient of |w| w.u, which is |w| u + (w.u) w / |w|."""
    norm = np.linalg.norm(w)
    gradient = norm * slope + (w @ slope) * w / norm
    return np.linalg.norm(field(w, slope, 2) - gradient) / np.linalg.norm(gradient)


def closed_form(depth, inner, outer):
    """Lemma 3."""
    power = 3 - 2 / depth
    return (2 * depth / power - 2) * (outer**power - inner**power)


def closed_integral(phi, curve, depth):
    """The integral of F_phi over Gamma."""
    return sum(arc_integrals(phi, curve, depth))


def arc_integrals(phi, curve, depth):
    """The integrals of F_phi over the four arcs of Gamma."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    integrals = []
    for arc in ARCS:
        points, velocities = curve.arc(arc, (nodes + 1) / 2)
        values = np.array([field(point, phi(point), depth) for point in points])
        integrals.append(weights / 2 @ np.sum(values * velocities, axis=1))
    return integrals


def field(w, phi, depth):
    """Theorem 2's F at w, phi being the gradient there: vectors of shape (d,)."""
    return rule.direction(w[:, None], phi[:, None], depth)[:, 0]


def random_curve(size, inner, outer, rng, e=None):
    """Gamma in a random plane of `size` dimensions, through `e` if it is given."""
    e = rng.normal(size=size) if e is None else e
    frame, _ = np.linalg.qr(np.stack([e, rng.normal(size=size)], axis=1))
    return Curve(e / np.linalg.norm(e), frame[:, 1], inner, outer)


def _listed(numbers):
    return ", ".join(map(str, numbers))
