"""The kernels that layers of each class have, and how each is a matrix."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from tfoverparam.keras_private import CONV_LSTM_CELL
from tfoverparam.matrix_view import MatrixView


@dataclasses.dataclass(frozen=True)
class Kind:
    """How the layers of a class hold one kernel."""

    variable: str
    view: Callable[[keras.Layer, tuple[int, ...]], MatrixView]
    is_default: bool = True


def last_axis_out(layer, shape):
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
        return last_axis_out(layer, shape)
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


_KERNEL = Kind("kernel", last_axis_out)
KINDS: dict[type, tuple[Kind, ...]] = {
    layers.Dense: (_KERNEL,),
    layers.EinsumDense: (Kind("kernel", _by_equation),),
    layers.Embedding: (Kind("embeddings", last_axis_out, is_default=False),),
    layers.ReversibleEmbedding: (
        Kind("embeddings", last_axis_out, is_default=False),
        Kind("reverse_embeddings", last_axis_out, is_default=False),
    ),
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), (Kind("kernel", _grouped),)),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
        (Kind("kernel", _transposed),),
    ),
    **dict.fromkeys(
        (layers.DepthwiseConv1D, layers.DepthwiseConv2D),
        (Kind("kernel", _by_channel, is_default=False),),
    ),
    **dict.fromkeys(
        (layers.SeparableConv1D, layers.SeparableConv2D),
        (
            Kind("depthwise_kernel", _by_channel, is_default=False),
            Kind("pointwise_kernel", last_axis_out),
        ),
    ),
    **dict.fromkeys(
        (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell, CONV_LSTM_CELL),
        (_KERNEL, Kind("recurrent_kernel", last_axis_out)),
    ),
}


def register_linear_map(
    cls: type,
    variable: str = "kernel",
    view: Callable[[Any], MatrixView] | None = None,
) -> None:
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
    as_kind = last_axis_out if view is None else lambda layer, shape: view(layer)
    others = tuple(kind for kind in KINDS.get(cls, ()) if kind.variable != variable)
    KINDS[cls] = (*others, Kind(variable, as_kind))


def view_of(layer, variable, shape):
    """The `MatrixView` of a kernel of this name and shape of `layer`."""
    (kind,) = (kind for kind in kinds_of(type(layer)) if kind.variable == variable)
    return kind.view(layer, shape)


def kinds_of(cls):
    return next((KINDS[each] for each in cls.__mro__ if each in KINDS), ())
