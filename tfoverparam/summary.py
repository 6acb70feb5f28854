"""A table of the factorised layers of a model: what is trained, and what is deployed."""

import math

import keras
from keras import ops

from tfoverparam.layer_tree import walk
from tfoverparam.layers.factorized_layer import FactorizedLayer

_HEADER = (
    "layer",
    "factors",
    "parameters",
    "product",
    "parameters",
    "rank",
    "imbalance",
    "singular values",
)


def summary(model, print_fn=print):
    """Prints a table of the factorised layers of a model.

    For each: the shapes of the factors and the parameters of the layer as it is trained; the
    shape of the product and the parameters of the stock layer that `collapse` makes of it; the
    rank of the product (how many singular values rounding has not made of a zero), the imbalance
    of the factors (see `matrix_functions.imbalance`), and the largest and smallest singular value
    of the product. Below, the parameters of the whole model, trained and deployed: all of its
    weights, also those of other layers and those that are not trained. A layer that occurs more
    than once is counted once.

    Args:
        model: A built `keras.Model` or `keras.Layer`.
        print_fn: Function that is called with the table, one string. Defaults to `print`.

    Raises:
        ValueError: If `model` is neither, or if a factorised layer of it is not built.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedDense, summary
    >>> ones = keras.initializers.Ones()
    >>> layer = FactorizedDense(2, depth=2, factor_initializer=ones, name="linear")
    >>> summary(keras.Sequential([keras.Input((8,)), layer]))
    layer   factors     parameters  product  parameters  rank  imbalance  singular values
    linear  8x2 · 2x2           22      8x2          18     1      0.750  8.000 to 0.000
    22 parameters trained, 18 deployed
    """
    if not isinstance(model, keras.Layer):
        raise ValueError(f"`model` must be a model or layer. Received: model={model!r}")
    factorized = [layer for layer in walk(model) if isinstance(layer, FactorizedLayer)]
    rows = [_HEADER, *(_row(layer) for layer in factorized)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            # Words to the left, numbers to the right.
            cell.ljust(width) if column in (0, 1, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    trained = model.count_params()
    saved = sum(layer.count_params() - _deployed(layer) for layer in factorized)
    lines.append(f"{trained:,} parameters trained, {trained - saved:,} deployed")
    print_fn("\n".join(lines))


def _row(layer):
    if not layer.built:
        raise ValueError(f"Layer `{layer.name}` is not built. Call the model on data first.")
    values = ops.convert_to_numpy(layer.singular_values())
    rows, columns = layer.factors[0].shape[0], layer.factors[-1].shape[1]
    # As where a decomposition of a matrix of this size leaves rounding errors only.
    rank = int((values > 2.0**-23 * max(rows, columns) * values[0]).sum())
    return (
        layer.name,
        " · ".join(_shape(factor.shape) for factor in layer.factors),
        f"{layer.count_params():,}",
        _shape(layer.kernel_shape),
        f"{_deployed(layer):,}",
        str(rank),
        f"{float(layer.imbalance()):.3f}",
        f"{values[0]:.3f} to {values[-1]:.3f}",
    )


def _shape(shape):
    return "x".join(map(str, shape))


def _deployed(layer):
    return math.prod(layer.kernel_shape) + (layer.kernel_shape[-1] if layer.use_bias else 0)
