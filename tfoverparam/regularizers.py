"""The penalty on a product of factors."""

from keras import regularizers

from tfoverparam import matrix_functions


class KernelPenalty(regularizers.Regularizer):
    """What a layer of factors attaches to `kernel_0` so as to penalize its kernel.

    Keras asks each variable's regularizer for a penalty on that variable. This one ignores the
    variable and evaluates the kernel's regularizer on the product of the factors, then adds
    `factor_regularizer` on `kernel_0` itself. Attached to a variable, the penalty counts once
    per layer however often the layer is called, exists before the first call, is computed in the
    variables' own precision, and goes when the layer is frozen: all as in `Dense`.

    Args:
        factors: The `KernelFactors`, whose `regularizer` is that of the product.
        factor_regularizer: Regularizer of each factor, or `None`.
    """

    def __init__(self, factors, factor_regularizer):
        self.factors = factors
        self.factor_regularizer = factor_regularizer

    def __call__(self, kernel_0):
        penalty = self._on_product()
        if self.factor_regularizer is not None:
            penalty = penalty + self.factor_regularizer(kernel_0)
        return penalty

    def _on_product(self):
        regularizer = self.factors.regularizer
        if type(regularizer) is regularizers.L2:
            squared_norm = matrix_functions.squared_norm_of_product(self.factors.variables)
            return regularizer.l2 * squared_norm
        return regularizer(self.factors.kernel())
