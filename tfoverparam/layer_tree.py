"""The layers within a model or layer."""

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
