"""The linear maps of a model: each kernel with the matrix, or the stack of matrices, that it is.

This is the one place that knows which axes of a layer's kernel are inputs, which outputs, and
which index independent matrices. Conversion, the end-to-end rule, monitoring and `summary` all
take it from here.
"""

import collections
import dataclasses
import math
from collections.abc import Callable

import keras
from keras import layers

from tfoverparam.keras_private import CONV_LSTM_CELL, is_bookkeeping, stored_name
from tfoverparam.layer_tree import walk
from tfoverparam.matrix_view import MatrixView


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """A kernel of a layer, and how it is a matrix.

    Two of them are equal if they are of the same layer (the very same, not one that is like it)
    and the same kernel.

    Attributes:
        layer: The built layer that the kernel belongs to.
        variable: Name of the kernel in the layer, such as `"kernel"` or `"recurrent_kernel"`.
        view: The `MatrixView` of the kernel.
        path: Path of the kernel, as the variable of the built-in layer has it.
        is_default: Whether `overparameterize` factorizes it if not told otherwise: not those of
            embeddings and depthwise convolutions.
        reason: Why the kernel cannot be factorized, or `None`.

    Example:

    >>> import keras
    >>> from tfoverparam import linear_maps
    >>> attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, name="attention")
    >>> inputs = keras.Input((5, 6))
    >>> model = keras.Model(inputs, attention(inputs, inputs))
    >>> query, *_, output = linear_maps(model)
    >>> query.path, query.shape, query.view.matrices_shape
    ('attention/query/kernel', (6, 2, 4), (6, 8))
    >>> output.path, output.rows, output.columns
    ('attention/attention_output/kernel', (0, 1), (2,))
    """

    layer: keras.Layer
    variable: str
    view: MatrixView
    path: str = dataclasses.field(compare=False)
    is_default: bool = dataclasses.field(default=True, compare=False)
    reason: str | None = dataclasses.field(default=None, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the kernel."""
        return self.view.shape

    @property
    def rows(self) -> tuple[int, ...]:
        """Axes of the inputs, of `view.split`."""
        return self.view.rows

    @property
    def columns(self) -> tuple[int, ...]:
        """Axes of the outputs, of `view.split`."""
        return self.view.columns

    @property
    def groups(self) -> tuple[int, ...]:
        """Axes that index independent matrices, of `view.split`."""
        return self.view.groups

    @property
    def parameters(self) -> int:
        """Number of entries of the kernel."""
        return math.prod(self.view.shape)

    @property
    def kernel(self):
        """The `keras.Variable`; where it is factorized, the product of the factors, a tensor."""
        factors = _factors_of(self.layer, self.variable)
        return _variable_of(self.layer, self.variable) if factors is None else factors.kernel()

    @property
    def factors(self) -> list:
        """The factors, variables in order of application; an empty list if there are none."""
        factors = _factors_of(self.layer, self.variable)
        return [] if factors is None else list(factors.variables)

    @property
    def is_factorized(self) -> bool:
        """Whether the kernel is a product of factors now."""
        return _factors_of(self.layer, self.variable) is not None


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How the layers of a class hold one kernel."""

    variable: str
    view: Callable[[keras.Layer, tuple[int, ...]], MatrixView]
    is_default: bool = True


def _last_axis_out(layer, shape):
    *rows, column = range(len(shape))
    return MatrixView(shape, tuple(rows), (column,))


def _by_equation(layer, shape):
    """Of `EinsumDense`: axes of the inputs only, of the outputs only, and of both."""
    operands, outputs = layer.equation.replace(".", "").split("->")
    inputs, kernel = operands.split(",")
    return MatrixView(
        shape,
        rows=tuple(n for n, axis in enumerate(kernel) if axis not in outputs),
        columns=tuple(n for n, axis in enumerate(kernel) if axis not in inputs),
        groups=tuple(n for n, axis in enumerate(kernel) if axis in inputs and axis in outputs),
    )


def _grouped(layer, shape):
    """Of a convolution: the filters of each group see channels of their own."""
    if layer.groups == 1:
        return _last_axis_out(layer, shape)
    *rows, last = range(len(shape))
    split = (*shape[:-1], layer.groups, shape[-1] // layer.groups)
    return MatrixView(shape, tuple(rows), (last + 1,), groups=(last,), split=split)


def _transposed(layer, shape):
    """Of a transposed convolution `(*size, filters, channels)`: from channels to patches."""
    *columns, row = range(len(shape))
    return MatrixView(shape, (row,), tuple(columns))


def _by_channel(layer, shape):
    """Of a depthwise convolution `(*size, channels, multiplier)`: each channel by itself."""
    *rows, channel, column = range(len(shape))
    return MatrixView(shape, tuple(rows), (column,), groups=(channel,))


_KERNEL = _Kind("kernel", _last_axis_out)
_KINDS: dict[type, tuple[_Kind, ...]] = {
    layers.Dense: (_KERNEL,),
    layers.EinsumDense: (_Kind("kernel", _by_equation),),
    layers.Embedding: (_Kind("embeddings", _last_axis_out, is_default=False),),
    layers.ReversibleEmbedding: (
        _Kind("embeddings", _last_axis_out, is_default=False),
        _Kind("reverse_embeddings", _last_axis_out, is_default=False),
    ),
    **dict.fromkeys(
        (layers.Conv1D, layers.Conv2D, layers.Conv3D), (_Kind("kernel", _grouped),)
    ),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
        (_Kind("kernel", _transposed),),
    ),
    **dict.fromkeys(
        (layers.DepthwiseConv1D, layers.DepthwiseConv2D),
        (_Kind("kernel", _by_channel, is_default=False),),
    ),
    **dict.fromkeys(
        (layers.SeparableConv1D, layers.SeparableConv2D),
        (
            _Kind("depthwise_kernel", _by_channel, is_default=False),
            _Kind("pointwise_kernel", _last_axis_out),
        ),
    ),
    **dict.fromkeys(
        (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell, CONV_LSTM_CELL),
        (_KERNEL, _Kind("recurrent_kernel", _last_axis_out)),
    ),
}


def register_linear_map(cls, variable="kernel", view=None):
    """Tells `linear_maps` of a kernel that layers of a class of your own have.

    It need not be told of subclasses of Keras's layers.

    Args:
        cls: Subclass of `keras.Layer`.
        variable: Name of the attribute that holds the kernel, which must be the name of the
            variable too. Defaults to `"kernel"`.
        view: Function of a layer of this class, built, to the `MatrixView` of its kernel.
            Defaults to `None`: the last axis is the outputs, all others are the inputs.

    Raises:
        ValueError: If an argument is not of the kind described.

    Example:

    >>> import keras
    >>> from tfoverparam import linear_maps, register_linear_map
    >>> class Bilinear(keras.Layer):
    ...     def build(self, input_shape):
    ...         size = input_shape[-1]
    ...         self.form = self.add_weight(shape=(size, size), name="form")
    ...     def call(self, inputs):
    ...         return keras.ops.sum(keras.ops.matmul(inputs, self.form) * inputs, axis=-1)
    >>> register_linear_map(Bilinear, "form")
    >>> model = keras.Sequential([keras.Input((3,)), Bilinear()])
    >>> [each.view.matrices_shape for each in linear_maps(model)]
    [(3, 3)]
    """
    if not (isinstance(cls, type) and issubclass(cls, keras.Layer)):
        raise ValueError(f"`cls` must be a subclass of `keras.Layer`. Received: cls={cls!r}")
    if not isinstance(variable, str):
        raise ValueError(f"`variable` must be a name. Received: variable={variable!r}")
    if view is not None and not callable(view):
        raise ValueError(f"`view` must be None or a function. Received: view={view!r}")
    as_kind = _last_axis_out if view is None else lambda layer, shape: view(layer)
    others = tuple(kind for kind in _KINDS.get(cls, ()) if kind.variable != variable)
    _KINDS[cls] = (*others, _Kind(variable, as_kind))


def linear_maps(model):
    """All linear maps of a model, in the order of its layers, each once.

    Those of the layers `Dense`, `EinsumDense` (and so all of attention), `Conv1D`, `Conv2D` and
    `Conv3D`, also transposed, separable and depthwise, `LSTM`, `GRU`, `SimpleRNN` and `ConvLSTM`,
    `Embedding` and `ReversibleEmbedding`, of subclasses of these, and of classes that
    `register_linear_map` was told of. What a custom layer does with weights of its own is not
    known, and not listed.

    Args:
        model: A built `keras.Model` or `keras.Layer`.

    Returns:
        A list of `LinearMap`.

    Raises:
        ValueError: If `model` is neither.

    Example:

    >>> import keras
    >>> from tfoverparam import linear_maps
    >>> layers = [keras.layers.Embedding(9, 4), keras.layers.LSTM(3), keras.layers.Dense(2)]
    >>> model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
    >>> [(each.variable, each.view.matrices_shape) for each in linear_maps(model)]
    [('embeddings', (9, 4)), ('kernel', (4, 12)), ('recurrent_kernel', (3, 12)), ('kernel', (3, 2))]
    """
    if not isinstance(model, keras.Layer):
        raise ValueError(f"`model` must be a model or layer. Received: model={model!r}")
    found = list(walk(model))
    holders = _holders(found)
    return [each for layer in found for each in _maps_of(layer, holders)]


def view_of(layer, variable, shape):
    """The `MatrixView` of a kernel of this name and shape of `layer`."""
    (kind,) = (kind for kind in _kinds_of(type(layer)) if kind.variable == variable)
    return kind.view(layer, shape)


def _kinds_of(cls):
    return next((_KINDS[each] for each in cls.__mro__ if each in _KINDS), ())


def _factors_of(layer, variable):
    """The `KernelFactors` of a kernel, or `None`."""
    return getattr(layer, "factorized_kernels", {}).get(variable)


def _variable_of(layer, variable):
    found = vars(layer).get(stored_name(type(layer), variable))
    return found if isinstance(found, keras.Variable) else None


def _maps_of(layer, holders):
    for kind in _kinds_of(type(layer)):
        factors = _factors_of(layer, kind.variable)
        if factors is not None:
            path = factors.variables[0].path.removesuffix("_0")
            yield LinearMap(layer, kind.variable, factors.view, path, kind.is_default)
            continue
        kernel = _variable_of(layer, kind.variable)
        if kernel is not None:
            reason = _reason(layer, kernel, holders[id(kernel)])
            is_packed = reason == _QUANTIZED
            view = (_last_axis_out if is_packed else kind.view)(layer, tuple(kernel.shape))
            yield LinearMap(layer, kind.variable, view, kernel.path, kind.is_default, reason)


_QUANTIZED = "the layer is quantized"


def _reason(layer, kernel, holders):
    """Why a kernel cannot be factorized, or `None`."""
    if getattr(layer, "quantization_mode", None) is not None:
        return _QUANTIZED
    if getattr(layer, "lora_enabled", False):
        return "LoRA is enabled"
    if kernel.constraint is not None:
        return "it has a constraint, which acts on one variable"
    for holder, attribute in holders:
        if holder is not layer:
            name = f"`{holder.name}` of class {type(holder).__name__}"
            return f"{name} holds the same variable"
    if len(holders) > 1:
        return f"the layer holds it in `{holders[-1][1]}` too"
    return _reason_of_class(type(layer))


def _reason_of_class(cls):
    """Of the classes of a user between a layer's and the one that `linear_maps` knows."""
    for each in cls.__mro__[: next(n for n, base in enumerate(cls.__mro__) if base in _KINDS)]:
        if "build" in vars(each):
            return f"class {each.__name__} overrides `build`"
        for method in vars(each).values():
            names = getattr(getattr(method, "__code__", None), "co_names", ())
            for name in sorted(_LISTS_OF_VARIABLES & set(names)):
                return f"class {each.__name__} reads `{name}`, which factors change"
    return None


_LISTS_OF_VARIABLES = {
    "get_weights",
    "set_weights",
    "trainable_variables",
    "trainable_weights",
    "variables",
    "weights",
}


def _holders(found):
    """Dict from the id of a variable to the layers and attributes that hold it."""
    holders = collections.defaultdict(list)
    for layer in found:
        for name, value in vars(layer).items():
            if not is_bookkeeping(name):
                for each in _variables_in(value):
                    holders[id(each)].append((layer, name))
    return holders


def _variables_in(value):
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [each for each in value if isinstance(each, keras.Variable)]
    return []
