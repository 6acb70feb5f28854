"""The product, told by the steps of its factors: the rule's step, and the time to leave zero.

On the host and in float64, where NumPy's decompositions are several times faster than TensorFlow's.
"""

import functools
import math

import numpy as np

# Below this gain a product counts as zero where its plateau is estimated. Kernels that have been
# trained, or drawn by the usual initializers, have a gain near 1 in the directions that move.
_NEAR_ZERO = 1e-2


def rule_step(factors, moves):
    """The step of the product by the end-to-end rule, from the steps of its factors.

    Where gradient descent moves the factors, their steps are -learning rate times the gradients
    `A_j' G B_j'`, with A_j and B_j the products of the factors before and after the j-th. Then
    this is what Equation 10 gives for the gradient G of the product, whether or not the factors
    are balanced. For other optimizers it is the step that the same moves would make if they were.
    G itself is not needed: with the singular value decomposition `kernel = U S V'` it is

        sum_j  U S^(2(j-1)/N - 1) V' C_j'  moves[j-1]  D_j' U S^(2(N-j)/N - 1) V',

    C_j being the product from the j-th factor on, D_j that up to the j-th; the first term has
    no part on the left, the last none on the right.

    Args:
        factors: A sequence of N >= 1 matrices, NumPy arrays of float64, or of stacks of them.
        moves: A sequence of matrices, or stacks, of the same shapes.

    Returns:
        A matrix of the shape of the product, or a stack of them.

    Example:

    >>> import numpy as np
    >>> from tfoverparam.factor_dynamics import rule_step
    >>> two, eight, one = (np.full((1, 1), n) for n in (2.0, 8.0, 1.0))
    >>> # The gradient is 1, so the factors move by 8 and by 2; Equation 10 gives 2 * 16 * 1.
    >>> round(float(rule_step([two, eight], [eight, two])[0, 0]), 4)
    32.0
    """
    depth = len(factors)
    if depth == 1:
        return moves[0]
    kernel = product(factors)
    if kernel.shape[-2] < kernel.shape[-1]:
        reversed_ = ([transpose(each) for each in matrices[::-1]] for matrices in (factors, moves))
        return transpose(rule_step(*reversed_))
    squares, v = np.linalg.eigh(transpose(kernel) @ kernel)
    # Below this, rounding is all there is.
    positive = squares > np.finfo("float64").eps * kernel.shape[-2] * squares[..., -1:]
    values = np.sqrt(np.where(positive, squares, 1.0))

    def power(exponent):
        return np.where(positive, values**exponent, 0.0)[..., None, :]

    u = kernel @ (v * power(-1.0))
    before = [u]  # D_j' U for j = 1, ..., N - 1, after U itself
    for factor in factors[:-1]:
        before.append(transpose(factor) @ before[-1])
    after = [v]  # C_j V for j = 2, ..., N, before V itself
    for factor in factors[:0:-1]:
        after.insert(0, factor @ after[0])
    first = moves[0] @ before[1] * power(2 * (depth - 1) / depth - 1)
    others = 0.0
    for j in range(2, depth + 1):
        moved = moves[j - 1] @ (before[j] * power(2 * (depth - j) / depth - 1) if j < depth else v)
        left = transpose(power(2 * (j - 1) / depth - 1))
        others = others + left * (transpose(after[j - 2]) @ moved)
    return (first + u @ others) @ transpose(v)


def singular_values(kernel):
    """All singular values of a matrix, or of all matrices of a stack, in descending order."""
    smaller = kernel if kernel.shape[-2] >= kernel.shape[-1] else transpose(kernel)
    squares = np.linalg.eigvalsh(transpose(smaller) @ smaller)
    return np.sqrt(np.maximum(np.sort(squares, axis=None)[::-1], 0.0))


def transpose(matrices):
    """The transpose of a matrix, or of each of a stack."""
    return np.swapaxes(matrices, -1, -2)


def product(factors):
    """The product of matrices, from the left to the right."""
    return functools.reduce(np.matmul, factors)


def iterations_to_leave_zero(factors, moves):
    """Estimates how long factors near zero stay there: the paper's vanishing gradients.

    While a product is near zero its gradient hardly changes, and gradient descent on N factors
    of scale s moves them by `c s^(N-1)` a step, relative to s by r = `c s^(N-2)`. Followed up to
    a scale of 1, where vanishing ends, that takes

        log(1/s) / r  (N = 2)          (1 - s^(N-2)) / ((N-2) r)  (N > 2)

    steps. Here s is the factors' gain, that is by how much they change the length of a vector in
    the directions in which their steps go, and r the size of the steps relative to it.

    Args:
        factors: A sequence of N >= 1 matrices, NumPy arrays, or of stacks of them.
        moves: Their steps in one iteration, matrices, or stacks, of the same shapes.

    Returns:
        Number of iterations, a float: 0 where the gains multiply to 0.01 or more, as there is no
        plateau then, infinity where nothing moves. Of stacks that of the product that is first.

    Example:

    >>> import numpy as np
    >>> from tfoverparam.factor_dynamics import iterations_to_leave_zero
    >>> factors = [0.01 * np.ones((1, 1))] * 3
    >>> moves = [1e-3 * 0.01**2 * np.ones((1, 1))] * 3  # gradient 1, learning rate 1e-3
    >>> round(iterations_to_leave_zero(factors, moves))
    99000
    """
    depth = len(factors)
    if depth == 1:
        return 0.0
    if factors[0].ndim == 3:
        chains = zip(zip(*factors), zip(*moves))
        return min(iterations_to_leave_zero(*chain) for chain in chains)
    gains, sizes = [], []
    for j, (factor, move) in enumerate(zip(factors, moves)):
        size = float(np.linalg.norm(move))
        if size == 0:
            return math.inf if np.linalg.norm(product(factors)) < _NEAR_ZERO else 0.0
        # A step is nearly of rank one. The last factor's directions are those of its outputs.
        turned = factor @ move.T if j == depth - 1 else factor.T @ move
        gains.append(float(np.linalg.norm(turned)) / size)
        sizes.append(size)
    if math.prod(gains) >= _NEAR_ZERO:
        return 0.0
    scale = math.sqrt(sum(gain**2 for gain in gains) / depth)
    if scale == 0:
        return math.inf
    rate = math.sqrt(sum(size**2 for size in sizes) / depth) / scale
    if depth == 2:
        return max(math.log(1 / scale), 0.0) / rate
    return max(1 - scale ** (depth - 2), 0.0) / ((depth - 2) * rate)
