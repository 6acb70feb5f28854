"""A `Dense` layer whose kernel is a product of matrices."""

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
from tfoverparam.arguments import check_positive_integer
from tfoverparam.layers.factor_arguments import FactorArguments
from tfoverparam.layers.factorized_layer import built_in_class, factorized_kernel


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedDense(FactorArguments, layers.Dense):
    """A densely connected layer whose kernel is the product of `depth` matrices.

    ```
    outputs = activation(inputs @ kernel_0 @ ... @ kernel_(depth-1) + bias)
    ```

    It computes what `keras.layers.Dense` computes with the product for its kernel, and can
    express neither more nor less (unless `hidden_units` is narrower than both sides). What
    changes is the path that gradient descent takes: on the product it acts like a preconditioner
    with an adaptive learning rate and a kind of momentum (Arora et al., 2018, Theorem 1).
    With `depth=1` this layer is `Dense`. It is a subclass of it, and once trained, `collapse()`
    makes it one.

    Arguments called `kernel_*` mean the product (`kernel`, the transpose of the paper's W_e),
    arguments called `factor_*` mean each factor (`kernel_0`, ..., the transposes of W_1, ...).

    Args:
        units: Positive integer, dimensionality of the output space.
        depth: Number of factors N, a positive integer. Defaults to `2`.
        hidden_units: Width of the hidden layers: a positive integer, or one per hidden layer
            (`depth - 1` of them). Defaults to `None`: the smallest that loses no expressiveness,
            `min(input_dim, units)`. Narrower hidden layers restrict the kernel's rank. Wider
            ones add nothing to a balanced start, whose rank is that of the kernel.
        activation: Activation function. Defaults to `None`, linear.
        use_bias: Whether the layer adds a bias. Defaults to `True`.
        kernel_initializer: Initializer of the product, which is then split into balanced factors
            (Equation 7; see `matrix_functions.balanced_factors`), or into those of its best
            approximation where `hidden_units` is narrower. It must return the same values when
            called again, as Keras's initializers do. Unused where `factor_initializer` is given.
            Defaults to `"glorot_uniform"`.
        factor_initializer: Initializer of each factor by itself, each with a seed of its own:
            for instance the paper's `initializers.NearZero()` or `initializers.NearIdentity()`.
            Defaults to `None`: a balanced start.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the product, that is, of the function which the layer
            computes: what `Dense` means by it. Defaults to `None`.
        factor_regularizer: Regularizer of each factor. Defaults to `None`.
        bias_regularizer: Regularizer of the bias. Defaults to `None`.
        activity_regularizer: Regularizer of the output. Defaults to `None`.
        factor_constraint: Constraint on each factor. Defaults to `None`.
        bias_constraint: Constraint on the bias. Defaults to `None`.
        seed: Integer from which the kernel's draw, the rotations of a balanced start and the
            factors are derived; a seed that an initializer brings along wins. Defaults to
            `None`, a random one.

    Raises:
        ValueError: If an argument is not of the kind described.

    Input shape:
        N-D tensor `(batch_size, ..., input_dim)`, N >= 2.

    Output shape:
        N-D tensor `(batch_size, ..., units)`.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedDense
    >>> layer = FactorizedDense(10, depth=3, activation="relu")
    >>> tuple(layer(keras.ops.ones((2, 16))).shape)
    (2, 10)
    >>> [tuple(factor.shape) for factor in layer.factors]
    [(16, 10), (10, 10), (10, 10)]
    >>> type(layer.collapse()).__name__
    'Dense'

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """

    _kernel = factorized_kernel("kernel")

    def __init__(
        self,
        units: int,
        depth: int = 2,
        hidden_units: Widths = None,
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
        check_positive_integer("units", units)
        super().__init__(
            units=units,
            depth=depth,
            hidden=hidden_units,
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
        if not input_shape[-1]:
            raise ValueError(
                "The last dimension of the inputs to `FactorizedDense` must be known and "
                f"positive. Received: input_shape={tuple(input_shape)}"
            )
        # Not `super()`: Keras keeps this method for the built-in layer that `collapse` makes.
        built_in_class(type(self)).build(self, input_shape)

    @property
    def hidden_units(self) -> int | list[int] | None:
        """Width of the hidden layers, as it was given."""
        return self._factorization.hidden

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        outputs = matrix_functions.chain_product([inputs, *self.factors])
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
