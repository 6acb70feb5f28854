"""The mathematics of products of matrices, as pure functions of `keras.ops`.

Orientation. Keras multiplies from the right, `outputs = inputs @ kernel`, so a kernel has the
shape `(input_dim, units)` and is the transpose of the paper's end-to-end matrix W_e. A product
is written in the order in which its factors are applied,

    kernel = factors[0] @ factors[1] @ ... @ factors[N-1],

and the paper's W_j is the transpose of `factors[j - 1]`. No other place defines it.

References:
    Arora, Cohen, Hazan, 2018. On the Optimization of Deep Networks: Implicit Acceleration by
    Overparameterization. https://arxiv.org/abs/1802.06509
"""

from tfoverparam.matrix_functions.balance import (
    balanced_factors,
    imbalance,
)
from tfoverparam.matrix_functions.end_to_end import (
    end_to_end_direction,
    preconditioner_eigenvalues,
)
from tfoverparam.matrix_functions.products import (
    chain_product,
    end_to_end_kernel,
    factor_direction,
    squared_norm_of_product,
)

__all__ = [
    "balanced_factors",
    "chain_product",
    "end_to_end_direction",
    "end_to_end_kernel",
    "factor_direction",
    "imbalance",
    "preconditioner_eigenvalues",
    "squared_norm_of_product",
]
