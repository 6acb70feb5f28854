"""Products of chains of matrices: at least cost, their norm, and their step when factors move."""

import functools
import math
from collections.abc import Sequence

import keras
from keras import ops

from tfoverparam.annotations import Tensor
from tfoverparam.arguments import check_chain, check_shape


@functools.lru_cache(maxsize=None)
def _cheapest_splits(dims):
    """Where to split each run of matrices so that a chain costs the fewest multiplications.

    Matrix `i` has the shape `(dims[i], dims[i + 1])`. Returns a dict from `(first, last)` to the
    index of the last matrix of the left part.
    """
    count = len(dims) - 1
    cost = {(i, i): 0 for i in range(count)}
    split = {}
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            cost[first, last], split[first, last] = min(
                (
                    cost[first, middle]
                    + cost[middle + 1, last]
                    + dims[first] * dims[middle + 1] * dims[last + 1],
                    middle,
                )
                for middle in range(first, last)
            )
    return split


def chain_product(matrices: Sequence[Tensor]) -> Tensor:
    """Product of a chain of matrices, in the order that needs the fewest multiplications.

    Args:
        matrices: A sequence of at least one tensor or variable. The first may have any rank >= 2
            (its leading axes count as rows), the others are matrices. Or all are stacks of as
            many matrices, of rank 3: then each chain of the stack is multiplied by itself.

    Returns:
        A tensor of shape `matrices[0].shape[:-1] + (matrices[-1].shape[-1],)`. The input itself
        when there is one matrix only. Where the number of rows is unknown (a batch of unknown
        size in a traced function) the product is taken from left to right, which is the cheap
        order for few rows.

    Raises:
        ValueError: If there is no matrix, or if they cannot be multiplied in this order.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import chain_product
    >>> batch, kernel = keras.ops.ones((2, 3)), keras.ops.ones((3, 4))
    >>> tuple(chain_product([batch, kernel, keras.ops.ones((4, 5))]).shape)
    (2, 5)
    """
    check_chain(matrices)
    is_stack = len(matrices[-1].shape) == 3
    rows = matrices[0].shape[-2 if is_stack else 0 : -1]
    # On JAX, Keras finds out the shapes of a layer's outputs with a symbol for what is unknown.
    if not all(isinstance(size, int) for size in rows):
        return functools.reduce(_matmul, matrices)
    dims = (math.prod(rows), *(int(matrix.shape[-2]) for matrix in matrices[1:]))
    split = _cheapest_splits((*dims, int(matrices[-1].shape[-1])))

    def product(first, last):
        if first == last:
            return matrices[first]
        middle = split[first, last]
        return _matmul(product(first, middle), product(middle + 1, last))

    return product(0, len(matrices) - 1)


def _matmul(left, right):
    product = ops.matmul(left, right)
    # On PyTorch, Keras makes a float32 matrix of two in float64: too few bits, but all operations
    # that follow want the dtype of what it is combined with.
    is_double = keras.backend.standardize_dtype(left.dtype) == "float64"
    return ops.cast(product, "float64") if is_double else product


def end_to_end_kernel(factors: Sequence[Tensor]) -> Tensor:
    """The product of `factors`: the transpose of the paper's W_e (Equation 5).

    Args:
        factors: A sequence of N >= 1 matrices, `factors[j]` of shape `(d_j, d_(j+1))`.

    Returns:
        A matrix of shape `(d_0, d_N)`.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import end_to_end_kernel
    >>> keras.ops.convert_to_numpy(end_to_end_kernel([2 * keras.ops.eye(2), keras.ops.eye(2)]))
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """
    return chain_product(factors)


def squared_norm_of_product(factors: Sequence[Tensor]) -> Tensor:
    """Squared Frobenius norm of the product of `factors`, and its gradient, at least cost.

    For two factors A (d x h) and B (h x k) it is `sum((A'A) * (BB'))`, whose gradient
    `(2 A BB', 2 A'A B)` reuses both Gram matrices: `2 h^2 (d + k)` multiplications in a training
    step against `3 d h k` by way of the product. The cheaper way is taken; both are exact.

    Args:
        factors: A sequence of matrices that can be multiplied in this order, or of stacks of
            them, whose squared norms are added.

    Returns:
        A scalar tensor.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import squared_norm_of_product
    >>> float(squared_norm_of_product([2 * keras.ops.ones((9, 2)), keras.ops.ones((2, 1))]))
    144.0
    """
    if len(factors) == 2 and len(factors[0].shape) == 2:
        (d, h), k = factors[0].shape, factors[1].shape[1]
        if 2 * h * (d + k) < 3 * d * k:
            # Reshaping reads the variables at no cost: a custom gradient takes tensors only.
            return _squared_norm_by_grams(*(ops.reshape(f, f.shape) for f in factors))
    return ops.sum(ops.square(end_to_end_kernel(factors)))


@ops.custom_gradient
def _squared_norm_by_grams(a, b):
    gram_a = ops.matmul(ops.transpose(a), a)
    gram_b = ops.matmul(b, ops.transpose(b))

    def gradient(*args, upstream=None):
        scale = 2 * (args[0] if upstream is None else upstream)
        return scale * ops.matmul(a, gram_b), scale * ops.matmul(gram_a, b)

    return ops.sum(gram_a * gram_b), gradient


def factor_direction(factors: Sequence[Tensor], gradient: Tensor) -> Tensor:
    """The exact first-order step of a product whose factors descend, no balance assumed.

    Where each factor moves against its own gradient, at the same learning rate, the product
    moves, to first order in it, against `sum_l A_l A_l' G B_l' B_l`, with A_l the product of the
    factors before the l-th and B_l of those after it. For balanced factors this is
    `end_to_end_direction` (Theorem 1).

    Args:
        factors: A sequence of N >= 1 matrices, `factors[j]` of shape `(d_j, d_(j+1))`.
        gradient: Gradient of the loss with respect to the product, shape `(d_0, d_N)`.

    Returns:
        A matrix of shape `(d_0, d_N)`.

    Raises:
        ValueError: If the shapes do not fit.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_functions import factor_direction
    >>> two, three, one = (n * keras.ops.ones((1, 1)) for n in (2.0, 3.0, 1.0))
    >>> float(factor_direction([two, three], one)[0, 0])  # 3 * 3 + 2 * 2
    13.0
    """
    factors = [ops.convert_to_tensor(factor) for factor in factors]
    check_chain(factors)
    check_shape("gradient", gradient, (factors[0].shape[0], factors[-1].shape[-1]))
    direction = ops.zeros_like(gradient)
    for index in range(len(factors)):
        before, after = factors[:index], factors[index + 1 :]
        transposed = [ops.transpose(factor) for factor in (*before, *after)]
        # A_l' and B_l', the transposed products, whose order is reversed.
        left, right = transposed[:index][::-1], transposed[index:][::-1]
        direction = direction + chain_product([*before, *left, gradient, *right, *after])
    return direction
