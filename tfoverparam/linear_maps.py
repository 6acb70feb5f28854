"""The linear maps of a model: each kernel with the matrix, or the stack of matrices, that it is.

Which axes of a kernel are inputs, which outputs, and which index independent matrices is known in
one place, `kernel_kinds`. Conversion, the end-to-end rule, monitoring and `summary` all take it
from here.
"""

import dataclasses
import math

import keras

from tfoverparam.annotations import Tensor
from tfoverparam.kernel_kinds import kinds_of, last_axis_out
from tfoverparam.keras_private import stored_name
from tfoverparam.layer_tree import walk
from tfoverparam.matrix_view import MatrixView
from tfoverparam.obstacles import QUANTIZED, holders_of, readers_of, reason_against


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
    def kernel(self) -> Tensor:
        """The `keras.Variable`; where it is factorized, the product of the factors, a tensor."""
        factors = _factors_of(self.layer, self.variable)
        return _variable_of(self.layer, self.variable) if factors is None else factors.kernel()

    @property
    def factors(self) -> list[Tensor]:
        """The factors, variables in order of application; an empty list if there are none."""
        factors = _factors_of(self.layer, self.variable)
        return [] if factors is None else list(factors.variables)

    @property
    def is_factorized(self) -> bool:
        """Whether the kernel is a product of factors now."""
        return _factors_of(self.layer, self.variable) is not None


def linear_maps(model: keras.Layer) -> list[LinearMap]:
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
    return maps_within(model, [model])


def maps_within(model, models):
    """What `linear_maps` returns, with reasons of what others hold of it.

    Args:
        model: A model or layer.
        models: Itself, and others that share layers with it.
    """
    found = {id(layer): layer for each in models for layer in walk(each)}.values()
    holders, readers = holders_of(found), readers_of(found)
    return [each for layer in walk(model) for each in _maps_of(layer, holders, readers[id(layer)])]


def _factors_of(layer, variable):
    """The `KernelFactors` of a kernel, or `None`."""
    return getattr(layer, "factorized_kernels", {}).get(variable)


def _variable_of(layer, variable):
    found = vars(layer).get(stored_name(type(layer), variable))
    return found if isinstance(found, keras.Variable) else None


def _maps_of(layer, holders, readers):
    for kind in kinds_of(type(layer)):
        factors = _factors_of(layer, kind.variable)
        if factors is not None:
            path = factors.variables[0].path.removesuffix("_0")
            is_default = _is_default(kind, layer, factors.view.shape)
            yield LinearMap(layer, kind.variable, factors.view, path, is_default)
            continue
        kernel = _variable_of(layer, kind.variable)
        if kernel is not None:
            holding = holders[id(kernel)]
            reason = reason_against(layer, kind.variable, kernel, holding, readers)
            is_packed = reason == QUANTIZED
            view = (last_axis_out if is_packed else kind.view)(layer, tuple(kernel.shape))
            is_default = _is_default(kind, layer, view.shape)
            yield LinearMap(layer, kind.variable, view, kernel.path, is_default, reason)


def _is_default(kind, layer, shape):
    # A convolution of one channel a group, as in ConvNeXt, is depthwise under another name.
    is_depthwise = getattr(layer, "groups", 1) > 1 and shape[-2] == 1
    return kind.is_default and not is_depthwise
