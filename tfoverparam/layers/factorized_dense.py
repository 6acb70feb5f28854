"""A `Dense` layer whose kernel is a product of matrices."""

import random

import keras
from keras import activations, constraints, initializers, layers, ops, regularizers

from tfoverparam import matrix_functions
from tfoverparam.initializers import (
    BalancedFactor,
    derive_seed,
    own_seed,
    repeatable,
    with_seed,
)
from tfoverparam.regularizers import KernelPenalty


@keras.saving.register_keras_serializable(package="tfoverparam")
class FactorizedDense(layers.Layer):
    """A densely connected layer whose kernel is the product of `depth` matrices.

    ```
    outputs = activation(inputs @ kernel_0 @ ... @ kernel_(depth-1) + bias)
    ```

    It computes what `keras.layers.Dense` computes with the product for its kernel, and can
    express neither more nor less (unless `hidden_units` is narrower than both sides). What
    changes is the path that gradient descent takes: on the product it acts like a preconditioner
    with an adaptive learning rate and a kind of momentum (Arora et al., 2018, Theorem 1).
    With `depth=1` this layer is `Dense`. Once trained, `collapse()` gives the `Dense` layer.

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

    def __init__(
        self,
        units,
        depth=2,
        hidden_units=None,
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
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        _check_positive_integer("units", units)
        _check_positive_integer("depth", depth)
        if seed is not None and not _is_integer(seed):
            raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
        self.units = units
        self.depth = depth
        self.hidden_units = _checked_hidden_units(hidden_units, depth)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.factor_initializer = initializers.get(factor_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.factor_regularizer = regularizers.get(factor_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.factor_constraint = constraints.get(factor_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.seed = seed
        self.factors = []
        self.bias = None
        self.input_spec = layers.InputSpec(min_ndim=2)
        self.supports_masking = True
        # Python's generator, as Keras does for its own layers: `keras.utils.set_random_seed`
        # sets it. At depth 1 nothing is drawn from it that `Dense` does not draw.
        self._start_seed = random.randint(1, 10**9) if seed is None and depth > 1 else seed
        # Every factor redraws the kernel, so a generator is asked once, and here: `build` may
        # run while a function is traced, where its state has no value.
        self._start_initializer = self.kernel_initializer
        if depth > 1 and self.factor_initializer is None:
            self._start_initializer = repeatable(self.kernel_initializer)

    def build(self, input_shape):
        input_dim = input_shape[-1]
        if input_dim is None:
            raise ValueError(
                "The last dimension of the inputs to `FactorizedDense` must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        widths = self._hidden_widths(input_dim)
        dims = (input_dim, *widths, self.units)
        for index, initializer in enumerate(self._factor_initializers(input_dim, widths)):
            regularizer = self.factor_regularizer
            if index == 0 and self.kernel_regularizer is not None:
                regularizer = KernelPenalty(self)
            factor = self.add_weight(
                name=f"kernel_{index}",
                shape=(dims[index], dims[index + 1]),
                initializer=initializer,
                regularizer=regularizer,
                constraint=self.factor_constraint,
            )
            self.factors.append(factor)
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = layers.InputSpec(min_ndim=2, axes={-1: input_dim})
        self.built = True

    def call(self, inputs):
        outputs = matrix_functions.chain_product([inputs, *self.factors])
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    @property
    def kernel(self):
        """The product of the factors, shape `(input_dim, units)`: one chain of products."""
        self._check_built("kernel")
        return matrix_functions.end_to_end_kernel(self.factors)

    def imbalance(self):
        """Distance of the factors from the balance of Equation 7, a scalar tensor.

        See `matrix_functions.imbalance`.
        """
        self._check_built("imbalance()")
        return matrix_functions.imbalance(self.factors)

    def singular_values(self):
        """Singular values of the product in descending order, shape `(min(input_dim, units),)`."""
        self._check_built("singular_values()")
        kernel = ops.convert_to_tensor(self.kernel)
        if keras.backend.standardize_dtype(kernel.dtype) not in ("float32", "float64"):
            kernel = ops.cast(kernel, "float32")
        return ops.svd(kernel, compute_uv=False)

    def collapse(self):
        """A stock `keras.layers.Dense` that computes the same function.

        It has this layer's name, dtype policy, trainable flag, activation and regularizers of
        kernel and bias; what concerns the factors alone (their regularizer and constraint) has
        no counterpart and is left out. It is built, and holds the product, if this layer is.
        """
        config = self.get_config()
        for name in _FACTOR_ARGUMENTS:
            del config[name]
        dense = layers.Dense.from_config(config)
        if self.built:
            dense.build((None, self.factors[0].shape[0]))
            dense.kernel.assign(self.kernel)
            if self.bias is not None:
                dense.bias.assign(self.bias)
        return dense

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "depth": self.depth,
            "hidden_units": self.hidden_units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "factor_initializer": initializers.serialize(self.factor_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "factor_regularizer": regularizers.serialize(self.factor_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "factor_constraint": constraints.serialize(self.factor_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "seed": self.seed,
        }

    def _hidden_widths(self, input_dim):
        if self.hidden_units is None:
            return [min(input_dim, self.units)] * (self.depth - 1)
        if _is_integer(self.hidden_units):
            return [self.hidden_units] * (self.depth - 1)
        return self.hidden_units

    def _factor_initializers(self, input_dim, widths):
        """One initializer per factor; see `factor_initializer` and `kernel_initializer`."""
        if self.factor_initializer is not None:
            seed = own_seed(self.factor_initializer)
            if isinstance(seed, keras.random.SeedGenerator):
                return [self.factor_initializer] * self.depth
            seed = self._start_seed if seed is None else seed
            return [
                with_seed(self.factor_initializer, derive_seed(seed, index))
                for index in range(self.depth)
            ]
        kernel_initializer = self._start_initializer
        if own_seed(kernel_initializer) is None and self.seed is not None:
            kernel_initializer = with_seed(kernel_initializer, self.seed)
        if self.depth == 1:
            return [kernel_initializer]
        return [
            BalancedFactor(
                kernel_initializer,
                kernel_shape=(input_dim, self.units),
                depth=self.depth,
                hidden_units=widths,
                index=index,
                seed=derive_seed(self._start_seed, 1),
            )
            for index in range(self.depth)
        ]

    def _check_built(self, what):
        if not self.built:
            raise AttributeError(f"You must build the layer before accessing `{what}`.")


_FACTOR_ARGUMENTS = (
    "depth",
    "hidden_units",
    "factor_initializer",
    "factor_regularizer",
    "factor_constraint",
    "seed",
)


def _is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _check_positive_integer(name, value):
    if not _is_integer(value) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def _checked_hidden_units(hidden_units, depth):
    if hidden_units is None:
        return None
    if _is_integer(hidden_units) and hidden_units > 0:
        return hidden_units
    if isinstance(hidden_units, (list, tuple)):
        if len(hidden_units) != depth - 1:
            raise ValueError(
                f"`hidden_units` must have one width per hidden layer, {depth - 1} for "
                f"depth={depth}. Received: hidden_units={hidden_units!r}"
            )
        if all(_is_integer(width) and width > 0 for width in hidden_units):
            return list(hidden_units)
    raise ValueError(
        "`hidden_units` must be None, a positive integer or a list of positive integers. "
        f"Received: hidden_units={hidden_units!r}"
    )
