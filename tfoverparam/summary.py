"""A table of the linear maps of a model: what is trained, and what is deployed."""

from collections.abc import Callable

import keras
from keras import ops

from tfoverparam.layer_tree import walk
from tfoverparam.layers.factorized_layer import FactorizedLayer
from tfoverparam.linear_maps import linear_maps

_HEADER = (
    "linear map",
    "kernel",
    "parameters",
    "factors",
    "parameters",
    "rank",
    "imbalance",
    "singular values",
    "step scale",
)
_LEFT_ALIGNED = (0, 3, 7, 8)


def summary(model: keras.Layer, print_fn: Callable[[str], object] = print) -> None:
    """Prints a table of the linear maps of a model, factorized or not.

    For each: its path, the shape of its kernel and the number of its entries. For those that are
    factorized the shapes of the factors and the number of their entries, the rank of the product
    (how many singular values rounding has not made of a zero; of all matrices of a stack
    together), the imbalance of the factors (see `matrix_functions.imbalance`), the largest and
    smallest singular value s of the product, and the scale `N s^(2 - 2/N)` by which the depth N
    lengthens a step along those, where the factors are balanced (Claim 1). For the others why
    they are not.

    Below, the parameters of the whole model, as it is trained and as `collapse` makes it: all of
    its weights, also those of other layers and those that are not trained. A layer that occurs
    more than once is counted once.

    Args:
        model: A built `keras.Model` or `keras.Layer`.
        print_fn: Function that is called with the table, one string. Defaults to `print`.

    Raises:
        ValueError: If `model` is neither, or if a factorized layer of it is not built.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedDense, summary
    >>> ones = keras.initializers.Ones()
    >>> embedding = keras.layers.Embedding(9, 8, name="tokens")
    >>> layer = FactorizedDense(2, depth=2, factor_initializer=ones, name="linear")
    >>> model = keras.Sequential([keras.Input((1,), dtype="int32"), embedding, layer], name="m")
    >>> summary(model)  # doctest: +ELLIPSIS
    linear map           kernel  parameters  factors ...  singular values  step scale
    m/tokens/embeddings     9x8          72  left out by default
    m/linear/kernel         8x2          16  8x2 · 2x2 ...  8.000 to 0.000  16.000 to 0.000
    94 parameters trained, 90 deployed
    """
    if not isinstance(model, keras.Layer):
        raise ValueError(f"`model` must be a model or layer. Received: model={model!r}")
    for layer in walk(model):
        if isinstance(layer, FactorizedLayer) and not layer.built:
            raise ValueError(f"Layer `{layer.name}` is not built. Call the model on data first.")
    maps = linear_maps(model)
    rows = [_HEADER, *(_row(each) for each in maps)]
    # A reason may go on beyond its column.
    widths = [
        max(len(row[column]) for row in rows if len(row) > column + (len(row) < len(_HEADER)))
        for column in range(len(_HEADER))
    ]
    lines = [
        "  ".join(
            # Words to the left, numbers to the right.
            cell.ljust(width) if column in _LEFT_ALIGNED else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    trained = model.count_params()
    saved = sum(_trained(each) - each.parameters for each in maps if each.is_factorized)
    lines.append(f"{trained:,} parameters trained, {trained - saved:,} deployed")
    print_fn("\n".join(lines))


def _row(linear_map):
    start = (linear_map.path, _shape(linear_map.shape), f"{linear_map.parameters:,}")
    if not linear_map.is_factorized:
        by_default = "left out" if linear_map.is_default else "left out by default"
        return (*start, linear_map.reason or by_default)
    factors = linear_map.layer.factorized_kernels[linear_map.variable]
    values = ops.convert_to_numpy(factors.singular_values())
    largest, smallest = float(values.max()), float(values.min())
    *_, rows, columns = linear_map.view.matrices_shape
    # As where a decomposition of a matrix of this size leaves rounding errors only.
    rank = int((values > 2.0**-23 * max(rows, columns) * largest).sum())
    depth = len(linear_map.factors)
    scales = [depth * value ** (2 - 2 / depth) for value in (largest, smallest)]
    return (
        *start,
        " · ".join(_shape(factor.shape) for factor in linear_map.factors),
        f"{_trained(linear_map):,}",
        str(rank),
        f"{float(factors.imbalance()):.3f}",
        f"{largest:.3f} to {smallest:.3f}",
        f"{scales[0]:.3f} to {scales[1]:.3f}",
    )


def _trained(linear_map):
    return sum(int(ops.size(factor)) for factor in linear_map.factors)


def _shape(shape):
    return "x".join(map(str, shape))
