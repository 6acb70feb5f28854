"""Gradients of the loss mean |y - t|^p of linear models, of hundreds of kernels at a time.

For p = 2 the data enters through its second moments alone, X'X and X't: 40 times fewer
multiply-adds for Ethanol, so few that float64 is cheap, too. For every other p all examples take
part, in float32. docs/linear_networks.md has what that does to the curves and to the speed.
"""

import numpy as np
import tensorflow as tf

# Matrix products whose sides are multiples of a vector register's 16 floats take two thirds of the
# time, and in three parts what a part of the examples gives is still in the cache when it is used.
# How many parts there are decides the last bits: the committed curves have been made with three.
_VECTOR = 16
_PARTS = 3


def gradients_of(features, targets, p):
    """The function from kernels (d, runs) to the gradients of their losses, of that shape.

    Args:
        features, targets: Arrays of shape (m, d) and (m,), float64.
        p: Even integer.

    Returns:
        A function of TensorFlow's, with the attributes `dtype`, of the kernels and the gradients,
        and `multiply_adds`, of one kernel's gradient. A gradient that float32 cannot hold is not
        finite, whatever the dtype.
    """
    return FromMoments(features, targets) if p == 2 else FromExamples(features, targets, p)


class FromMoments:
    """2/m (X'X w - X't), in float64: the gradient for p = 2."""

    dtype = "float64"

    def __init__(self, features, targets):
        examples, input_dim = features.shape
        self.multiply_adds = 2 * input_dim**2  # each takes the time of two in float32
        self._curvature = tf.constant(2 / examples * features.T @ features)
        self._slope = tf.constant(2 / examples * features.T @ targets[:, None])

    def __call__(self, kernels):
        gradients = self._curvature @ kernels - self._slope
        # A run diverges where it would in float32, and does so for good.
        held = tf.math.is_finite(tf.cast(gradients, tf.float32))
        return tf.where(held, gradients, np.nan)


class FromExamples:
    """p/m X'(Xw - t)^(p-1), in float32."""

    dtype = "float32"

    def __init__(self, features, targets, p):
        self._p = p
        self._examples, input_dim = features.shape
        self.multiply_adds = 2 * self._examples * input_dim
        # Examples of zeros have a residual of zero: no loss, and no gradient.
        missing = -len(features) % (_PARTS * _VECTOR)
        features, targets = np.pad(features, ((0, missing), (0, 0))), np.pad(targets, (0, missing))
        self._parts = [
            [
                tf.constant(part, tf.float32)
                for part in (matrix, np.ascontiguousarray(matrix.T), vector[:, None])
            ]
            for matrix, vector in zip(np.split(features, _PARTS), np.split(targets, _PARTS))
        ]

    def __call__(self, kernels):
        runs = kernels.shape[1]
        kernels = tf.pad(kernels, [[0, 0], [0, -runs % _VECTOR]])
        gradients: tf.Tensor = 0.0
        for features, transposed, targets in self._parts:
            gradients += transposed @ _odd_power(features @ kernels - targets, self._p - 1)
        return self._p / self._examples * gradients[:, :runs]


def _odd_power(values, exponent):
    """By multiplications: from 5 on the compiler would take logarithms."""
    squares, result = values * values, values
    for _ in range(exponent // 2):
        result *= squares
    return result
