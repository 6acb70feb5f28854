"""What the steps of factors say about the product: the rule's step, and the time to leave zero."""

import math

from keras import ops

from tfoverparam.matrix_functions import end_to_end_kernel, gram_basis

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
        factors: A sequence of N >= 1 matrices, float32 or float64.
        moves: A sequence of matrices of the same shapes.

    Returns:
        A matrix of the shape of the product.

    Example:

    >>> import keras
    >>> from tfoverparam.factor_dynamics import rule_step
    >>> two, eight, one = (n * keras.ops.ones((1, 1)) for n in (2.0, 8.0, 1.0))
    >>> # The gradient is 1, so the factors move by 8 and by 2; Equation 10 gives 2 * 16 * 1.
    >>> round(float(rule_step([two, eight], [eight, two])[0, 0]), 4)
    32.0
    """
    depth = len(factors)
    if depth == 1:
        return moves[0]
    kernel = end_to_end_kernel(factors)
    if kernel.shape[0] < kernel.shape[1]:
        reversed_factors, reversed_moves = (
            [ops.transpose(matrix) for matrix in matrices[::-1]] for matrices in (factors, moves)
        )
        return ops.transpose(rule_step(reversed_factors, reversed_moves))
    vectors, squares = gram_basis(kernel)
    is_zero = squares == 0
    safe = ops.where(is_zero, ops.ones_like(squares), squares)

    def power(exponent):
        """U S^exponent V', from U S = kernel V."""
        values = ops.where(is_zero, ops.zeros_like(safe), safe ** ((exponent - 1) / 2))
        return end_to_end_kernel([kernel, vectors * values, ops.transpose(vectors)])

    total = ops.zeros_like(kernel)
    for j, move in enumerate(moves, start=1):
        chain = [move]
        if j > 1:
            from_here = [ops.transpose(factor) for factor in reversed(factors[j - 1 :])]
            chain = [power(2 * (j - 1) / depth - 1), *from_here, *chain]
        if j < depth:
            up_to_here = [ops.transpose(factor) for factor in reversed(factors[:j])]
            chain = [*chain, *up_to_here, power(2 * (depth - j) / depth - 1)]
        total = total + end_to_end_kernel(chain)
    return total


def iterations_to_leave_zero(factors, moves):
    """Estimates how long factors near zero stay there: the paper's vanishing gradients.

    While a product is near zero its gradient hardly changes, and gradient descent on N factors
    of scale s moves them by `c s^(N-1)` a step, relative to s by r = `c s^(N-2)`. Followed up to
    a scale of 1, where vanishing ends, that takes

        log(1/s) / r  (N = 2)          (1 - s^(N-2)) / ((N-2) r)  (N > 2)

    steps. Here s is the factors' gain, that is by how much they change the length of a vector in
    the directions in which their steps go, and r the size of the steps relative to it.

    Args:
        factors: A sequence of N >= 1 matrices.
        moves: Their steps in one iteration, matrices of the same shapes.

    Returns:
        Number of iterations, a float: 0 where the gains multiply to 0.01 or more, as there is no
        plateau then, infinity where nothing moves.

    Example:

    >>> import keras
    >>> from tfoverparam.factor_dynamics import iterations_to_leave_zero
    >>> factors = [0.01 * keras.ops.ones((1, 1))] * 3
    >>> moves = [1e-3 * 0.01**2 * keras.ops.ones((1, 1))] * 3  # gradient 1, learning rate 1e-3
    >>> round(iterations_to_leave_zero(factors, moves))
    99000
    """
    depth = len(factors)
    if depth == 1:
        return 0.0
    gains, sizes = [], []
    for j, (factor, move) in enumerate(zip(factors, moves)):
        size = float(ops.norm(move))
        if size == 0:
            return math.inf if float(ops.norm(end_to_end_kernel(factors))) < _NEAR_ZERO else 0.0
        # A step is nearly of rank one. The last factor's directions are those of its outputs.
        turned = (
            ops.matmul(factor, ops.transpose(move))
            if j == depth - 1
            else ops.matmul(ops.transpose(factor), move)
        )
        gains.append(float(ops.norm(turned)) / size)
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
