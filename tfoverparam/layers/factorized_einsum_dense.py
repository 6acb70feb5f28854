"""An `EinsumDense` layer whose kernel is a product of matrices."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from tfoverparam import matrix_functions
from tfoverparam.annotations import (
    Activation,
    Constraint,
    Initializer,
    Regularizer,
    Tensor,
    Widths,
)
from tfoverparam.layers.factor_arguments import FactorArguments
from tfoverparam.layers.factorized_layer import factorized_kernel


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedEinsumDense(FactorArguments, layers.EinsumDense):
    """A dense layer by an einsum equation whose kernel is the product of `depth` matrices.

    It computes what `keras.layers.EinsumDense` computes with the product for its kernel. The
    equation says which matrix that is: axes of the kernel that only the inputs have are its rows,
    axes that only the outputs have its columns. Axes that both have index independent matrices,
    such as those of experts: the factors are stacks of as many. With `abc,cde->abde`, the
    projection of attention to heads, the kernel is the matrix c x (d e).

    With `depth=1` this layer is `EinsumDense`. It is a subclass of it, and once trained,
    `collapse()` makes it one. Where the equation allows it (the rows are the inputs' last axes,
    the columns the outputs', and there is one matrix) the forward pass multiplies in the order
    that costs least; else with the product.

    Args:
        equation: Einsum equation of the inputs and the kernel, such as `"ab,bc->ac"`.
        output_shape: Shape of the outputs, without the batch; see `EinsumDense`.
        depth: Number of factors N, a positive integer. Defaults to `2`.
        hidden_units: Width of the hidden layers: a positive integer, or one per hidden layer
            (`depth - 1` of them). Defaults to `None`: the smaller side of the matrix.
        activation: Activation function. Defaults to `None`, linear.
        bias_axes: Axes of the outputs that have a bias, such as `"c"`. Defaults to `None`.
        kernel_initializer: Initializer of the product, in the shape that `EinsumDense` has;
            see `FactorizedDense`. Defaults to `"glorot_uniform"`.
        factor_initializer: Initializer of each factor by itself; see `FactorizedDense`. Defaults
            to `None`: a balanced start.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the product. Defaults to `None`.
        factor_regularizer: Regularizer of each factor. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        factor_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        seed: Integer from which all initial values are derived; see `FactorizedDense`.

    Raises:
        ValueError: If an argument is not of the kind described, or one that `EinsumDense` refuses.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedEinsumDense
    >>> layer = FactorizedEinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")
    >>> tuple(layer(keras.ops.ones((5, 3, 6))).shape)
    (5, 3, 2, 4)
    >>> [tuple(factor.shape) for factor in layer.factors]
    [(6, 6), (6, 8)]

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """

    _kernel = factorized_kernel("kernel")

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        depth: int = 2,
        hidden_units: Widths = None,
        activation: Activation = None,
        bias_axes: str | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        factor_initializer: Initializer = None,
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        factor_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        factor_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            equation=equation,
            output_shape=output_shape,
            depth=depth,
            hidden=hidden_units,
            activation=activation,
            bias_axes=bias_axes,
            kernel_initializer=kernel_initializer,
            factor_initializer=factor_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            factor_regularizer=factor_regularizer,
            bias_regularizer=bias_regularizer,
            factor_constraint=factor_constraint,
            bias_constraint=bias_constraint,
            seed=seed,
            **kwargs,
        )

    @property
    def hidden_units(self) -> int | list[int] | None:
        """Width of the hidden layers, as it was given."""
        return self._factorization.hidden

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        view = self.factorized_kernels["kernel"].view
        batch_axes = self._batch_axes(view, len(inputs.shape))
        if batch_axes is None:
            return super().call(inputs)  # with the product
        # Reshaping takes -1 for one unknown size, that is, for all axes of the batch together.
        batch = ops.shape(inputs)[:batch_axes]
        rows, columns = view.matrices_shape
        inputs = ops.reshape(inputs, (*batch, rows))
        outputs = matrix_functions.chain_product([inputs, *self.factors])
        outputs = ops.reshape(outputs, (*batch, *(view.split[axis] for axis in view.columns)))
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _batch_axes(self, view, rank):
        """How many axes the batch has, if the inputs are `(*batch, *rows)`, the outputs so too."""
        operands, outputs = self.equation.replace(" ", "").split("->")
        inputs, kernel = operands.split(",")
        rows = "".join(kernel[axis] for axis in view.rows)
        columns = "".join(kernel[axis] for axis in view.columns)
        batch = inputs.removesuffix(rows)
        if view.groups or not inputs.endswith(rows) or outputs != batch + columns:
            return None
        return rank - len(rows)
