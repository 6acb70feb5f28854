"""The layers within a model or layer, and the models around a layer."""

import gc

import keras

from tfoverparam.keras_private import functional_of, sublayers


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


def models_that_share(model, layers):
    """A model and those within it, and all others that there are that hold one of `layers`.

    A layer does not know what holds it, so that the garbage collector is asked, which does not
    know of models that were there at `gc.freeze()`.
    """
    own = {id(each): each for each in walk(model) if isinstance(each, keras.Model)}
    own |= {id(each): each for each in map(functional_of, [*own.values()]) if each is not None}

    def others():
        referrers = gc.get_referrers(*_kinds_of(keras.Model))  # An instance refers to its class.
        models = [each for each in referrers if issubclass(type(each), keras.Model)]
        return [each for each in holding(models, layers) if id(each) not in own]

    if others():
        gc.collect()  # It takes longer; models that nobody has any more are gone then.
        return [*own.values(), *others()]
    return list(own.values())


def _kinds_of(cls):
    """A class and all that inherit it."""
    return [cls, *(kind for each in cls.__subclasses__() for kind in _kinds_of(each))]


def holding(models, layers):
    """Those of `models` that hold one of `layers`, in their order."""
    ids = {id(layer) for layer in layers}
    return [model for model in models if not ids.isdisjoint(map(id, _walk_if_possible(model)))]


def _walk_if_possible(model):
    try:
        return list(walk(model))
    except Exception:  # A model of somebody's, in whatever state it is.
        return []
