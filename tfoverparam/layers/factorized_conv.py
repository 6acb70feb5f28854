"""Convolution layers whose kernels are products of matrices."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from tfoverparam.annotations import (
    Activation,
    Constraint,
    Initializer,
    Regularizer,
    Sizes,
    Tensor,
    Widths,
)
from tfoverparam.arguments import check_positive_integer
from tfoverparam.layers.factor_arguments import FactorArguments
from tfoverparam.layers.factorized_layer import built_in_class, factorized_kernel

# What an unknown size counts for where costs are compared: Keras's default batch size.
_UNKNOWN_SIZE = 32


class _FactorizedConv(FactorArguments):
    """The common part of the three ranks; the mixin of `keras.layers.Conv1D`, 2D and 3D."""

    hidden_argument = "hidden_filters"
    _kernel = factorized_kernel("kernel")

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        depth: int = 2,
        hidden_filters: Widths = None,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        factor_initializer: Initializer = None,
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        factor_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        factor_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive_integer("filters", filters)
        super().__init__(
            filters=filters,
            kernel_size=kernel_size,
            depth=depth,
            hidden=hidden_filters,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            factor_initializer=factor_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            factor_regularizer=factor_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            factor_constraint=factor_constraint,
            bias_constraint=bias_constraint,
            seed=seed,
            **kwargs,
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if not channels or channels % self.groups:
            raise ValueError(
                "The number of input channels must be known, positive and evenly divisible by "
                f"the number of groups. Received: input_shape={tuple(input_shape)} and "
                f"groups={self.groups}"
            )
        # Not `super()`: Keras keeps this method for the built-in layer that `collapse` makes.
        built_in_class(type(self)).build(self, input_shape)

    @property
    def hidden_filters(self) -> int | list[int] | None:
        """Width of the hidden layers, as it was given."""
        return self._factorization.hidden

    def call(self, inputs: Tensor) -> Tensor:
        ones = (1,) * len(self.kernel_size)
        if self._product_is_cheaper(inputs.shape):
            outputs = self._convolve(inputs, self.kernel)
        else:
            spatial, *pointwise = self.factors
            shape = self.factorized_kernels["kernel"].view.shape
            outputs = self._convolve(inputs, ops.reshape(spatial, (*shape[:-1], -1)))
            for factor in pointwise:
                kernel = ops.reshape(factor, (*ones, *factor.shape))
                outputs = ops.conv(outputs, kernel, data_format=self.data_format)
        if self.bias is not None:
            is_last = self.data_format == "channels_last"
            shape = (1, *ones, self.filters) if is_last else (1, self.filters, *ones)
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)

    def _convolve(self, inputs, kernel):
        padding = self.padding
        if padding == "causal":
            past = (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)
            is_last = self.data_format == "channels_last"
            inputs = ops.pad(inputs, [(0, 0), past, (0, 0)] if is_last else [(0, 0), (0, 0), past])
            padding = "valid"
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def _product_is_cheaper(self, input_shape):
        """Counts multiplications. Those of a backward pass are twice as many either way."""
        if len(self.factors) == 1 or self.groups > 1:
            return True
        batch_size, *sizes = self.compute_output_shape(input_shape)
        image = sizes[:-1] if self.data_format == "channels_last" else sizes[1:]
        # On JAX, Keras finds out the shapes of outputs with a symbol for what is unknown.
        pixels = math.prod(
            size if isinstance(size, int) else _UNKNOWN_SIZE for size in (batch_size, *image)
        )
        shapes = [tuple(factor.shape) for factor in self.factors]
        rows, columns = shapes[0][0], self.filters
        # The product from left to right or from right to left, whichever is cheaper.
        product = min(
            rows * sum(a * b for a, b in shapes[1:]),
            columns * sum(a * b for a, b in shapes[:-1]),
        )
        return product + pixels * rows * columns < pixels * sum(a * b for a, b in shapes)


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedConv2D(_FactorizedConv, layers.Conv2D):
    """A 2D convolution layer whose kernel is the product of `depth` matrices.

    ```
    kernel = reshape(kernel_0 @ ... @ kernel_(depth-1), (*kernel_size, channels / groups, filters))
    outputs = activation(conv(inputs, kernel) + bias)
    ```

    It computes what `keras.layers.Conv2D` computes with this kernel, with its strides, padding,
    dilation and groups, and can express neither more nor less (unless `hidden_filters` is
    narrower than both sides). The kernel counts as the matrix from the receptive field to the
    filters: `kernel_0` is a spatial convolution with `hidden_filters` filters, the other factors
    are pointwise convolutions after it, which need no padding. With groups it is a stack of
    independent matrices, one from each group's receptive field to its filters, and the factors
    are stacks as well. This is the matrix to which `EndToEnd` applies its rule, and on which
    Equation 7 is meant. With `depth=1` this layer is `Conv2D`. It is a subclass of it, and once
    trained, `collapse()` makes it one.

    The forward pass convolves factor by factor, or with the product, whichever takes fewer
    multiplications (an unknown batch or image size counts as 32); with groups, with the product.

    Arguments called `kernel_*` mean the product, arguments called `factor_*` mean each factor.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer or two integers, height and width of the convolution window.
        depth: Number of factors N, a positive integer. Defaults to `2`.
        hidden_filters: Width of the hidden layers: a positive integer, or one per hidden layer
            (`depth - 1` of them). Defaults to `None`: the smallest that loses no expressiveness,
            `min(height * width * channels, filters) / groups`.
        strides: Integer or two integers. Defaults to `1`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`, Keras's setting.
        dilation_rate: Integer or two integers. Defaults to `1`.
        groups: Positive integer, which divides `filters` and the number of input channels.
            Defaults to `1`.
        activation: Activation function. Defaults to `None`, linear.
        use_bias: Whether the layer adds a bias. Defaults to `True`.
        kernel_initializer: Initializer of the product, in the shape that `Conv2D` has, which is
            then split into balanced factors; see `FactorizedDense`. Defaults to
            `"glorot_uniform"`.
        factor_initializer: Initializer of each factor, a matrix, by itself; see
            `FactorizedDense`. Defaults to `None`: a balanced start.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the product. Defaults to `None`.
        factor_regularizer: Regularizer of each factor. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        factor_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        seed: Integer from which all initial values are derived; see `FactorizedDense`.

    Raises:
        ValueError: If an argument is not of the kind described, or one that `Conv2D` refuses.

    Input shape:
        4D tensor `(batch_size, height, width, channels)`, or with `"channels_first"`
        `(batch_size, channels, height, width)`.

    Output shape:
        4D tensor `(batch_size, new_height, new_width, filters)`, or with `"channels_first"`
        `(batch_size, filters, new_height, new_width)`.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedConv2D
    >>> layer = FactorizedConv2D(16, 3, depth=3, padding="same", activation="relu")
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 4))).shape)
    (2, 8, 8, 16)
    >>> [tuple(factor.shape) for factor in layer.factors]
    [(36, 16), (16, 16), (16, 16)]
    >>> tuple(layer.kernel.shape), type(layer.collapse()).__name__
    ((3, 3, 4, 16), 'Conv2D')

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedConv1D(_FactorizedConv, layers.Conv1D):
    """A 1D convolution layer whose kernel is the product of `depth` matrices.

    See `FactorizedConv2D`; sizes are one integer in the place of two, and the inputs have three
    axes. `padding` can be `"causal"` too.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedConv1D
    >>> layer = FactorizedConv1D(6, 3, padding="causal", groups=2)
    >>> tuple(layer(keras.ops.ones((2, 8, 4))).shape)
    (2, 8, 6)
    >>> [tuple(factor.shape) for factor in layer.factors]
    [(2, 6, 3), (2, 3, 3)]
    """


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedConv3D(_FactorizedConv, layers.Conv3D):
    """A 3D convolution layer whose kernel is the product of `depth` matrices.

    See `FactorizedConv2D`; sizes are three integers in the place of two, and the inputs have five
    axes.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedConv3D
    >>> layer = FactorizedConv3D(6, 2)
    >>> tuple(layer(keras.ops.ones((2, 4, 4, 4, 3))).shape)
    (2, 3, 3, 3, 6)
    >>> [tuple(factor.shape) for factor in layer.factors]
    [(24, 6), (6, 6)]
    """
