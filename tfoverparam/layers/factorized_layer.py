"""What all layers whose kernel is a product of matrices have in common."""

import math
import random

import keras
from keras import activations, constraints, initializers, layers, ops, regularizers

from tfoverparam import matrix_functions
from tfoverparam.arguments import (
    check_finite,
    check_positive_integer,
    check_seed,
    check_shape,
    hidden_widths,
)
from tfoverparam.initializers import (
    BalancedStart,
    derive_seed,
    own_seed,
    repeatable,
    with_seed,
)
from tfoverparam.regularizers import KernelPenalty

# The arguments that the stock layer does not have.
_FACTOR_ARGUMENTS = (
    "depth",
    "hidden_units",
    "hidden_filters",
    "factor_initializer",
    "factor_regularizer",
    "factor_constraint",
    "seed",
)


class FactorizedLayer(layers.Layer):
    """A layer with a kernel that is the product of `depth` matrices, and a bias.

    The kernel of shape `(..., k)` is the matrix `kernel_0 @ ... @ kernel_(depth-1)` of shape
    `(d, k)`, d being the product of the other axes. A subclass names the stock layer that it
    stands for, calls `add_factors` in its `build`, and computes the outputs.

    Arguments, which have no defaults here, are those of `FactorizedDense`.
    """

    stock_class = layers.Layer

    def __init__(
        self,
        depth,
        activation,
        use_bias,
        kernel_initializer,
        factor_initializer,
        bias_initializer,
        kernel_regularizer,
        factor_regularizer,
        bias_regularizer,
        activity_regularizer,
        factor_constraint,
        bias_constraint,
        seed,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        check_positive_integer("depth", depth)
        check_seed(seed)
        if not keras.backend.is_float_dtype(self.variable_dtype):
            raise ValueError(
                f"`dtype` must be of floating point numbers. Received: dtype={self.variable_dtype}"
            )
        self.depth = depth
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
        self.kernel_shape: tuple[int, ...] = ()
        # Python's generator, as Keras does for its own layers: `keras.utils.set_random_seed`
        # sets it. At depth 1 nothing is drawn from it that the stock layer does not draw.
        self._start_seed = random.randint(1, 10**9) if seed is None and depth > 1 else seed
        # Every factor redraws the kernel, so a generator is asked once, and here: `build` may
        # run while a function is traced, where its state has no value.
        self._start_initializer = self.kernel_initializer
        if depth > 1 and self.factor_initializer is None:
            self._start_initializer = repeatable(self.kernel_initializer)

    def add_factors(self, kernel_shape, hidden):
        """Creates the variables, in the order that is the file format: factors, then bias.

        Args:
            kernel_shape: Shape of the product as the stock layer has it, `(..., k)`.
            hidden: Widths of the hidden layers, as `checked_hidden_widths` returns them.
        """
        self.kernel_shape = tuple(kernel_shape)
        rows, columns = math.prod(kernel_shape[:-1]), kernel_shape[-1]
        widths = hidden_widths(hidden, self.depth, rows, columns)
        dims = (rows, *widths, columns)
        for index, initializer in enumerate(self._factor_initializers(rows, columns, widths)):
            regularizer = self.factor_regularizer
            if index == 0 and self.kernel_regularizer is not None:
                regularizer = KernelPenalty(self)
            factor = self.add_weight(
                name=f"kernel_{index}",
                shape=(dims[index], dims[index + 1]),
                initializer=_of_its_shape(initializer, self.name),
                regularizer=regularizer,
                constraint=self.factor_constraint,
            )
            self.factors.append(factor)
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(columns,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    @property
    def kernel(self):
        """The product of the factors, shaped as in the stock layer: one chain of products."""
        self._check_built("kernel")
        product = matrix_functions.end_to_end_kernel(self.factors)
        return product if len(self.kernel_shape) == 2 else ops.reshape(product, self.kernel_shape)

    def assign_kernel(self, kernel, balanced=True):
        """Sets the factors so that they multiply to `kernel`.

        Args:
            kernel: Tensor, variable or array of the shape of `self.kernel`. Where a hidden
                layer is narrower than both sides, its best approximation is taken.
            balanced: Whether the factors satisfy Equation 7 (see
                `matrix_functions.balanced_factors`). If not, the factor at the wider end is the
                kernel itself and the others are identities. Defaults to `True`.

        Raises:
            AttributeError: If the layer is not built.
            ValueError: If the shape is not that of the kernel, if it holds NaN or infinity, or
                if `balanced` is `False` and a hidden layer is narrower than both sides.
        """
        self._check_built("assign_kernel()")
        try:
            kernel = ops.convert_to_tensor(kernel)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`kernel` must be a tensor. Received: {kernel!r}") from error
        if tuple(kernel.shape) != self.kernel_shape:
            raise ValueError(
                f"`kernel` must have the shape {self.kernel_shape}. "
                f"Received: a kernel of shape {tuple(kernel.shape)}"
            )
        check_finite(f"`kernel` of layer `{self.name}`", kernel)
        matrix = ops.reshape(kernel, (-1, self.kernel_shape[-1]))
        # No less than the factors hold, whose rounding is then all by which the product is off.
        matrix = ops.cast(matrix, "float64" if self.variable_dtype == "float64" else "float32")
        widths = [int(factor.shape[1]) for factor in self.factors[:-1]]
        if balanced:
            seed = derive_seed(self._start_seed, 1)
            values = matrix_functions.balanced_factors(matrix, self.depth, widths, seed)
        else:
            values = identity_factors(matrix, widths)
        for factor, value in zip(self.factors, values):
            factor.assign(value)

    def imbalance(self):
        """Distance of the factors from the balance of Equation 7, a scalar tensor.

        See `matrix_functions.imbalance`.
        """
        self._check_built("imbalance()")
        return matrix_functions.imbalance(self.factors)

    def singular_values(self):
        """Singular values of the product in descending order, shape `(min(d, k),)`."""
        self._check_built("singular_values()")
        kernel = ops.convert_to_tensor(matrix_functions.end_to_end_kernel(self.factors))
        if keras.backend.standardize_dtype(kernel.dtype) not in ("float32", "float64"):
            kernel = ops.cast(kernel, "float32")
        return ops.svd(kernel, compute_uv=False)

    def collapse(self):
        """A stock layer that computes the same function.

        It has this layer's name, dtype policy, trainable flag, activation and regularizers of
        kernel and bias; what concerns the factors alone (their regularizer and constraint) has
        no counterpart and is left out. It is built, and holds the product, if this layer is.
        """
        config = self.get_config()
        for name in _FACTOR_ARGUMENTS:
            config.pop(name, None)
        if self.built and type(self.kernel_initializer).__module__.startswith("tfoverparam"):
            # It has done its work, and a file that names it needs this package to be read.
            del config["kernel_initializer"]
        stock = self.stock_class.from_config(config)
        if self.built:
            stock.build_from_config(self.get_build_config())
            stock.kernel.assign(self.kernel)
            if self.bias is not None:
                stock.bias.assign(self.bias)
        return stock

    def get_config(self):
        return {
            **super().get_config(),
            "depth": self.depth,
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

    def _factor_initializers(self, rows, columns, widths):
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
        if len(self.kernel_shape) > 2:
            kernel_initializer = _as_matrix(kernel_initializer, self.kernel_shape)
        if self.depth == 1:
            return [kernel_initializer]
        return BalancedStart(
            kernel_initializer,
            kernel_shape=(rows, columns),
            depth=self.depth,
            hidden_units=widths,
            seed=derive_seed(self._start_seed, 1),
        ).initializers()

    def _check_built(self, what):
        if not self.built:
            raise AttributeError(f"You must build the layer before accessing `{what}`.")


def identity_factors(matrix, widths):
    """Factors of `matrix` of which all but one are identities, padded with zeros.

    The one, which is the matrix, is at its wider end, so that no hidden layer need be wider than
    the narrower side.

    Args:
        matrix: Matrix of shape `(d, k)`.
        widths: One width per hidden layer, each at least `min(d, k)`.

    Returns:
        A list of `len(widths) + 1` matrices.
    """
    (rows, columns), dtype = matrix.shape, matrix.dtype
    if widths and min(widths) < min(rows, columns):
        raise ValueError(
            f"Hidden layers must be at least {min(rows, columns)} wide for factors of which all "
            f"but one are identities. Received: widths={widths}"
        )
    if columns <= rows:
        dims = (columns, *widths, columns)
        first, *others = [ops.eye(a, b, dtype=dtype) for a, b in zip(dims[:-1], dims[1:])]
        return [ops.matmul(matrix, first), *others]
    dims = (rows, *widths, rows)
    *others, last = [ops.eye(a, b, dtype=dtype) for a, b in zip(dims[:-1], dims[1:])]
    return [*others, ops.matmul(last, matrix)]


def _of_its_shape(initializer, name):
    """Calls an initializer, and checks the shape of what it returns; Keras takes it as it is."""

    def draw(shape, dtype=None):
        value = ops.convert_to_tensor(initializer(shape, dtype=dtype), dtype=dtype)
        check_shape(f"value of an initializer of `{name}`", value, shape)
        return value

    return draw


def _as_matrix(initializer, kernel_shape):
    """An initializer of matrices that draws in the kernel's own shape, which sets its scale."""

    def draw(shape, dtype=None):
        return ops.reshape(initializer(kernel_shape, dtype=dtype), shape)

    return draw
