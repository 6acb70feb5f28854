"""The layers within a model or layer, and the models around a layer."""

import gc

import keras

from tfoverparam.keras_private import sublayers


def walk(layer):
    """Yields `layer` and all layers within it, each once, a layer before those that it holds.

    Args:
        layer: A `keras.Layer`; a model is one.

    Example:

    >>> import keras
    >>> from tfoverparam.layer_tree import walk
    >>> inner = keras.layers.Dense(2, name="inner")
    >>> model = keras.Sequential([keras.layers.TimeDistributed(inner, name="outer")], name="model")
    >>> [layer.name for layer in walk(model)]
    ['model', 'outer', 'inner']
    """
    seen, waiting = set(), [layer]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            waiting += reversed(sublayers(layer))


def models_that_share(layers):
    """All models, of those that there are, that hold one of `layers`.

    A layer does not know what holds it, so that the garbage collector is asked, after it has
    done away with models that nobody has any more.
    """
    gc.collect()
    return holding(
        [each for each in gc.get_objects() if issubclass(type(each), keras.Model)], layers
    )


def holding(models, layers):
    """Those of `models` that hold one of `layers`, in their order."""
    ids = {id(layer) for layer in layers}
    return [model for model in models if not ids.isdisjoint(map(id, _walk_if_possible(model)))]


def _walk_if_possible(model):
    try:
        return list(walk(model))
    except Exception:  # A model of somebody's, in whatever state it is.
        return []
