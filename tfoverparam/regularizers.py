"""The penalty on a product of factors."""

from keras import regularizers

from tfoverparam import matrix_functions


class KernelPenalty:
    """What a layer of factors attaches to `kernel_0` so as to penalise its kernel.

    Keras asks each variable's regularizer for a penalty on that variable. This one ignores the
    variable and evaluates `kernel_regularizer` on the product of the layer's factors, then adds
    `factor_regularizer` on `kernel_0` itself. Attached to a variable, the penalty counts once
    per layer however often the layer is called, exists before the first call, is computed in the
    variables' own precision, and goes when the layer is frozen: all as in `Dense`.

    Args:
        layer: A built layer with `factors`, `kernel_regularizer` and `factor_regularizer`.
    """

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, kernel_0):
        penalty = self._on_product(self.layer.kernel_regularizer)
        if self.layer.factor_regularizer is not None:
            penalty = penalty + self.layer.factor_regularizer(kernel_0)
        return penalty

    def _on_product(self, regularizer):
        if type(regularizer) is regularizers.L2:
            return regularizer.l2 * matrix_functions.squared_norm_of_product(self.layer.factors)
        return regularizer(self.layer.kernel)
