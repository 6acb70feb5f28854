"""Saxe et al., 2013: how the singular modes of a depth-2 network are learned, in closed form.

For the l2 loss, whitened inputs and factors aligned with the data's singular vectors, each mode
of the product moves by itself, as da/dt = 2 a (s - a), which the logistic function solves.

References:
    Saxe, McClelland, Ganguli, 2013. Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks. https://arxiv.org/abs/1312.6120
"""

import numpy as np
from keras import ops

from reproduce.claims import REMARK, judge
from tfoverparam.matrix_functions import balanced_factors

RATES = (4e-3, 2e-3, 1e-3)
STRENGTHS = np.array([3.0, 1.5, 0.7])  # singular values of the input-output correlation
STARTS = np.array([1e-3, 2e-3, 5e-3])
HORIZON = 8.0  # in units of 1/eta
LARGEST_GAP = 0.01


def sigmoidal_dynamics():
    """Gradient descent on two factors against the closed form."""
    gaps = [largest_gap(rate) for rate in RATES]
    slope = np.polyfit(np.log(RATES), np.log(gaps), 1)[0]
    return judge(
        "with l2 loss, whitened inputs and depth 2 the singular modes are learned one by one, "
        "each along a sigmoid",
        "Saxe et al., 2013",
        f"gap of at most {LARGEST_GAP:g} of a mode's final value at the smallest rate, and "
        "a slope over the rate in [0.9, 1.1]",
        f"{gaps[-1]:.1e} at eta = {RATES[-1]:g}, slope {slope:.3f} (modes "
        f"{', '.join(f'{s:g}' for s in STRENGTHS)}, eta = {', '.join(f'{r:g}' for r in RATES)})",
        bool(gaps[-1] <= LARGEST_GAP and 0.9 <= slope <= 1.1),
        REMARK,
    )


def largest_gap(rate):
    """Largest gap of gradient descent's modes to the closed form, relative to final values."""
    rng = np.random.default_rng(5)
    inputs, targets, u, v = whitened_problem(rng)
    kernel = (u * STARTS) @ v.T
    first, second = (
        ops.convert_to_numpy(factor)
        for factor in balanced_factors(ops.convert_to_tensor(kernel), depth=2)
    )
    gaps = []
    for step in range(round(HORIZON / rate) + 1):
        modes = np.sum(u * (first @ second @ v), axis=0)
        gaps.append(np.max(np.abs(modes - sigmoid(rate * step)) / STRENGTHS))
        gradient = inputs.T @ (inputs @ first @ second - targets) / len(inputs)
        first, second = first - rate * gradient @ second.T, second - rate * first.T @ gradient
    return np.max(gaps)


def sigmoid(t):
    """The modes at time t: s e^(2st) / (e^(2st) - 1 + s / a_0)."""
    growth = np.exp(2 * STRENGTHS * t)
    return STRENGTHS * growth / (growth - 1 + STRENGTHS / STARTS)


def whitened_problem(rng):
    """Inputs X (m x d) with X'X/m = I, targets Y (m x k), and X'Y/m = U diag(s) V'.

    Returns:
        X, Y, U of shape (d, 3) and V of shape (k, 3).
    """
    count, input_dim, units = 40, 5, 4
    modes = len(STRENGTHS)
    # The targets have a part that no linear map of the inputs reaches.
    frame, _ = np.linalg.qr(rng.normal(size=(count, input_dim + units)))
    inputs, unreachable = np.sqrt(count) * frame[:, :input_dim], frame[:, input_dim:]
    u, _ = np.linalg.qr(rng.normal(size=(input_dim, modes)))
    v, _ = np.linalg.qr(rng.normal(size=(units, modes)))
    return inputs, inputs @ (u * STRENGTHS) @ v.T + unreachable, u, v
