"""The polar factor of a matrix, by matrix products alone."""

from keras import ops

# Odd polynomials a x + b x^3 + c x^5, applied one after the other: each is the one nearest to 1 on
# the interval into which those before it have brought all singular values that were in
# [SMALLEST, 1]. After the last, none of them is further than 1e-7 from 1.
SMALLEST = 3e-3
POLYNOMIALS = (
    (8.383673613, -24.765905858, 18.357081893),
    (4.043420434, -3.011404994, 0.569512150),
    (3.505570617, -2.626653836, 0.525719405),
    (2.490115939, -1.834275083, 0.436834707),
    (1.917776249, -1.296750191, 0.379704875),
    (1.875025659, -1.250028509, 0.375002851),
)


def polar_factor(matrix):
    """The matrix with the same singular vectors and with singular values 1.

    For `U diag(s) V'` it is `U V'`; where s is below 0.003 of the largest it lies between 0 and
    1, and is 0 where s is. Newton-Schulz iterations with the best coefficients for this many
    steps (Amsel et al., 2025): three products of square matrices in each of six.

    Args:
        matrix: Matrix of shape `(d, k)`, d >= k, float32.

    Returns:
        A matrix of the same shape and dtype.

    Example:

    >>> import keras
    >>> from tfoverparam.polar_factor import polar_factor
    >>> keras.ops.convert_to_numpy(polar_factor(5 * keras.ops.eye(2))).round(4)
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    References:
        [Amsel et al., 2025](https://arxiv.org/abs/2505.16932)
    """
    largest = ops.max(ops.abs(matrix))
    x = matrix / ops.where(largest > 0, largest, ops.ones_like(largest))
    gram = ops.matmul(ops.transpose(x), x)
    squared = ops.matmul(gram, gram)
    # (sum of s^8)^(1/8), which no singular value exceeds; rounding may, by much less than this.
    bound = 1.001 * ops.sqrt(ops.sqrt(ops.norm(squared)))
    bound = ops.where(largest > 0, bound, ops.ones_like(bound))
    x, gram, squared = x / bound, gram / bound**2, squared / bound**4
    for step, (a, b, c) in enumerate(POLYNOMIALS):
        if step:
            gram = ops.matmul(ops.transpose(x), x)
            squared = ops.matmul(gram, gram)
        x = a * x + ops.matmul(x, b * gram + c * squared)
    return x
