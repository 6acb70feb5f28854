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


def models_with(model, layers):
    """A model and those within it, and all others that there are that hold one of `layers`.

    A layer does not know what holds it, so that the garbage collector is asked.
    """
    found = {id(each): each for each in walk(model) if isinstance(each, keras.Model)}
    ids = {id(layer) for layer in layers}
    for each in gc.get_objects():
        if issubclass(type(each), keras.Model) and not ids.isdisjoint(map(id, walk(each))):
            found.setdefault(id(each), each)
    return list(found.values())
