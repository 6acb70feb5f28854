"""A `Conv2D` layer whose kernel is a product of matrices."""

import math

import keras
from keras import layers, ops

from tfoverparam.arguments import check_positive_integer, checked_hidden_widths
from tfoverparam.layers.factorized_layer import FactorizedLayer

# What an unknown size counts for where costs are compared: Keras's default batch size.
_UNKNOWN_SIZE = 32


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedConv2D(FactorizedLayer):
    """A 2D convolution layer whose kernel is the product of `depth` matrices.

    ```
    kernel = reshape(kernel_0 @ ... @ kernel_(depth-1), (*kernel_size, channels / groups, filters))
    outputs = activation(conv(inputs, kernel) + bias)
    ```

    It computes what `keras.layers.Conv2D` computes with this kernel, with its strides, padding,
    dilation and groups, and can express neither more nor less (unless `hidden_filters` is
    narrower than both sides). The kernel counts as the matrix from the receptive field to the
    filters: `kernel_0` is a spatial convolution with `hidden_filters` filters, the other factors
    are pointwise convolutions after it, which need no padding. With groups, the rows of the
    matrix are one group's receptive field, and all groups share `kernel_0`. This is the matrix
    to which `EndToEnd` applies its rule, and on which Equation 7 is meant. With `depth=1` this
    layer is `Conv2D`. Once trained, `collapse()` gives the `Conv2D` layer.

    The forward pass convolves factor by factor, or with the product, whichever takes fewer
    multiplications (an unknown batch or image size counts as 32); with groups, with the product.

    Arguments called `kernel_*` mean the product, arguments called `factor_*` mean each factor.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer or two integers, height and width of the convolution window.
        depth: Number of factors N, a positive integer. Defaults to `2`.
        hidden_filters: Width of the hidden layers: a positive integer, or one per hidden layer
            (`depth - 1` of them). Defaults to `None`: the smallest that loses no expressiveness,
            `min(height * width * channels / groups, filters)`.
        strides: Integer or two integers. Defaults to `(1, 1)`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`, Keras's setting.
        dilation_rate: Integer or two integers. Defaults to `(1, 1)`.
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

    stock_class = layers.Conv2D

    def __init__(
        self,
        filters,
        kernel_size,
        depth=2,
        hidden_filters=None,
        strides=(1, 1),
        padding="valid",
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        factor_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        factor_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        factor_constraint=None,
        bias_constraint=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            depth=depth,
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
        check_positive_integer("filters", filters)
        # Conv2D's own reading of the arguments they share, and its refusals. Named, and without
        # a random initializer, so that it takes no name and no seed from other layers.
        stock = layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            kernel_initializer="zeros",
            name="stock",
        )
        self.filters = stock.filters
        self.kernel_size = stock.kernel_size
        self.hidden_filters = checked_hidden_widths("hidden_filters", hidden_filters, depth)
        self.strides = stock.strides
        self.padding = stock.padding
        self.data_format = stock.data_format
        self.dilation_rate = stock.dilation_rate
        self.groups = stock.groups
        self.input_spec = layers.InputSpec(ndim=4)

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if not channels or channels % self.groups:
            raise ValueError(
                "The number of input channels must be known, positive and evenly divisible by "
                f"the number of groups. Received: input_shape={tuple(input_shape)} and "
                f"groups={self.groups}"
            )
        # An output without pixels is an error, as in Conv2D.
        self.compute_output_shape(input_shape)
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.add_factors(kernel_shape, self.hidden_filters)
        self.input_spec = layers.InputSpec(ndim=4, axes={axis: channels})
        self.built = True

    def call(self, inputs):
        if self._product_is_cheaper(inputs.shape):
            outputs = self._convolve(inputs, self.kernel)
        else:
            spatial, *pointwise = self.factors
            outputs = self._convolve(inputs, ops.reshape(spatial, (*self.kernel_shape[:3], -1)))
            for factor in pointwise:
                kernel = ops.reshape(factor, (1, 1, *factor.shape))
                outputs = ops.conv(outputs, kernel, data_format=self.data_format)
        if self.bias is not None:
            shape = (1, 1, 1, -1) if self.data_format == "channels_last" else (1, -1, 1, 1)
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        # Groups make no difference to the shape; the symbolic convolution knows none.
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        kernel = keras.KerasTensor((*self.kernel_size, channels, self.filters))
        return self._convolve(keras.KerasTensor(input_shape), kernel).shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "hidden_filters": self.hidden_filters,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    def _convolve(self, inputs, kernel):
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def _product_is_cheaper(self, input_shape):
        """Counts multiplications. Those of a backward pass are twice as many either way."""
        if self.depth == 1 or self.groups > 1:
            return True
        batch_size, *sizes = self.compute_output_shape(input_shape)
        image = sizes[:-1] if self.data_format == "channels_last" else sizes[1:]
        pixels = math.prod(size or _UNKNOWN_SIZE for size in (batch_size, *image))
        rows, columns = self.factors[0].shape[0], self.filters
        shapes = [tuple(factor.shape) for factor in self.factors]
        # The product from left to right or from right to left, whichever is cheaper.
        product = min(
            rows * sum(a * b for a, b in shapes[1:]),
            columns * sum(a * b for a, b in shapes[:-1]),
        )
        return product + pixels * rows * columns < pixels * sum(a * b for a, b in shapes)
