"""Theorem 1 and Equation 7: gradient flow over the factors, solved to ten digits.

Time is counted in units of 1/eta: t here is the paper's eta t.
"""

import functools

import numpy as np
from keras import ops
from scipy.integrate import solve_ivp

from reproduce.claims import judge
from reproduce.theory import rule
from tfoverparam.matrix_functions import balanced_factors, imbalance

TOLERANCE = 1e-8  # a hundred times what the solver is asked for in each step
TIMES = np.linspace(0, 2, 41)
WEIGHT_DECAY = 0.3
# Input size, output size, hidden widths, p of the l_p loss.
NETWORKS = (
    (4, 3, (3,), 2),
    (3, 4, (5,), 4),
    (3, 4, (5, 3), 2),
    (6, 1, (1, 2, 1), 4),
    (3, 3, (3, 3, 3, 3), 2),
)
# Input size, output size, hidden widths to compare.
WIDTHS = ((4, 3, ((3,), (5,), (20,))), (3, 4, ((3, 3), (10, 4), (4, 12))))


def theorem_1(weight_decay):
    """The product of factors that follow Equation 6, against Equation 8."""
    balanced = np.max(
        [theorem_1_gap(*network, weight_decay, balanced=True) for network in NETWORKS]
    )
    unbalanced = theorem_1_gap(*NETWORKS[0], weight_decay, balanced=False)
    return judge(
        "from a balanced start, gradient flow over the factors moves the end-to-end matrix by "
        f"Equation 8 ({_decay_label(weight_decay)})",
        "Theorem 1",
        f"relative gap of at most {TOLERANCE:.0e} along the trajectory",
        f"{balanced:.1e} ({len(NETWORKS)} networks of depth 2 to 5, l2 and l4 loss); for "
        f"comparison, {unbalanced:.1e} from an unbalanced start",
        bool(balanced <= TOLERANCE),
    )


def equation_7(weight_decay):
    """The imbalance of neighboring factors over time."""
    gaps = {
        start: np.max([imbalance_gap(*network, weight_decay, start) for network in NETWORKS])
        for start in (True, False)
    }
    kept = np.max([imbalance_kept(*network, weight_decay) for network in NETWORKS])
    how = "decays as e^(-2 eta lambda t)" if weight_decay else "is constant"
    return judge(
        f"W_(j+1)^T W_(j+1) - W_j W_j^T {how} under gradient flow "
        f"({_decay_label(weight_decay)}), so a balanced start stays balanced",
        "Theorem 1, Equations 7 and 9",
        f"relative deviation of at most {TOLERANCE:.0e} along the trajectory",
        f"{gaps[True]:.1e} from balanced and {gaps[False]:.1e} from unbalanced starts; imbalance "
        f"of balanced factors stays below {kept:.1e} ({len(NETWORKS)} networks)",
        bool(np.all(np.array([gaps[True], gaps[False], kept]) <= TOLERANCE)),
    )


def hidden_widths():
    """The product's trajectory for several hidden widths."""
    gap = np.max([hidden_width_gap(*case) for case in WIDTHS])
    widths = "; ".join(str([list(w) for w in widths])[1:-1] for *_, widths in WIDTHS)
    return judge(
        "the dynamics of the end-to-end matrix do not depend on the hidden widths",
        "Section 5",
        f"relative gap of at most {TOLERANCE:.0e} along the trajectory",
        f"{gap:.1e} (from the same balanced start, widths {widths})",
        bool(gap <= TOLERANCE),
    )


def theorem_1_gap(input_dim, units, hidden_units, p, weight_decay, balanced):
    """Largest relative gap between the product of the factors' flow and Equation 8."""
    gradient, factors = problem(input_dim, units, hidden_units, p, balanced)
    depth = len(factors)

    def end_to_end_velocity(matrices):
        (kernel,) = matrices
        direction = rule.direction(kernel, gradient(kernel), depth)
        return [-weight_decay * depth * kernel - direction]

    products = factor_products(gradient, factors, weight_decay)
    predicted = flow(end_to_end_velocity, [functools.reduce(np.matmul, factors)])
    return largest_gap(products, [kernel for (kernel,) in predicted])


def imbalance_gap(input_dim, units, hidden_units, p, weight_decay, balanced):
    """Largest deviation of the imbalance from its start times e^(-2 eta lambda t).

    Relative to the Gram matrices at the start.
    """
    gradient, factors = problem(input_dim, units, hidden_units, p, balanced)
    trajectory = flow(factor_velocity(gradient, weight_decay), factors)
    size = max(np.linalg.norm(factor.T @ factor) for factor in factors)
    start = _differences_of_grams(factors)
    return np.max(
        [
            np.linalg.norm(difference - np.exp(-2 * weight_decay * t) * at_start) / size
            for t, at_t in zip(TIMES, trajectory)
            for difference, at_start in zip(_differences_of_grams(at_t), start)
        ]
    )


def imbalance_kept(input_dim, units, hidden_units, p, weight_decay):
    """Largest `imbalance` along the flow from a balanced start."""
    gradient, factors = problem(input_dim, units, hidden_units, p, balanced=True)
    trajectory = flow(factor_velocity(gradient, weight_decay), factors)
    return np.max([float(imbalance(factors)) for factors in trajectory])


def hidden_width_gap(input_dim, units, widths):
    """Largest relative gap between the products for several hidden widths."""
    first, *others = (
        factor_products(*problem(input_dim, units, width, 2, balanced=True), weight_decay=0.0)
        for width in widths
    )
    return np.max([largest_gap(other, first) for other in others])


def problem(input_dim, units, hidden_units, p, balanced):
    """A regression problem and a start.

    Returns:
        The gradient of the l_p loss as a function of the kernel, of shape (input_dim, units);
        and factors, the same product for the same sizes if `balanced`.
    """
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20, input_dim))
    targets = rng.normal(size=(20, units))
    kernel = 0.5 * rng.normal(size=(input_dim, units))
    if balanced:
        factors = [
            ops.convert_to_numpy(factor)
            for factor in balanced_factors(
                ops.convert_to_tensor(kernel), len(hidden_units) + 1, list(hidden_units)
            )
        ]
    else:
        dims = (input_dim, *hidden_units, units)
        factors = [0.5 * rng.normal(size=shape) for shape in zip(dims[:-1], dims[1:])]

    def gradient(kernel):
        return inputs.T @ (inputs @ kernel - targets) ** (p - 1) / len(inputs)

    return gradient, factors


def factor_velocity(gradient, weight_decay):
    """Equation 6: the velocity of each factor, as a function of all."""

    def velocity(factors):
        upstream = gradient(functools.reduce(np.matmul, factors))
        velocities = []
        for j, factor in enumerate(factors):
            before = functools.reduce(np.matmul, factors[:j], np.eye(len(factors[0])))
            after = functools.reduce(np.matmul, factors[j + 1 :], np.eye(factor.shape[1]))
            velocities.append(-weight_decay * factor - before.T @ upstream @ after.T)
        return velocities

    return velocity


def factor_products(gradient, factors, weight_decay):
    """The product of factors that follow Equation 6, at all `TIMES`."""
    trajectory = flow(factor_velocity(gradient, weight_decay), factors)
    return [functools.reduce(np.matmul, factors) for factors in trajectory]


def flow(velocity, start):
    """Solve an initial value problem over matrices: a list of matrices for each of `TIMES`."""
    shapes = [matrix.shape for matrix in start]
    ends = np.cumsum([matrix.size for matrix in start])[:-1]

    def unpack(state):
        return [part.reshape(shape) for part, shape in zip(np.split(state, ends), shapes)]

    def pack(matrices):
        return np.concatenate([matrix.ravel() for matrix in matrices])

    solution = solve_ivp(
        lambda t, state: pack(velocity(unpack(state))),
        TIMES[[0, -1]],
        pack(start),
        method="DOP853",
        t_eval=TIMES,
        rtol=1e-10,
        atol=1e-12,
    )
    if not solution.success:
        raise RuntimeError(solution.message)
    return [unpack(state) for state in solution.y.T]


def largest_gap(trajectory, reference):
    """Largest Frobenius gap of two trajectories, relative to the reference's largest norm."""
    size = max(np.linalg.norm(matrix) for matrix in reference)
    return np.max([np.linalg.norm(a - b) for a, b in zip(trajectory, reference)]) / size


def _differences_of_grams(factors):
    return [right @ right.T - left.T @ left for left, right in zip(factors[:-1], factors[1:])]


def _decay_label(weight_decay):
    return f"eta lambda = {weight_decay:g}" if weight_decay else "lambda = 0"
