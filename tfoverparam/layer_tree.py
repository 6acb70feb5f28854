"""The layers within a model or layer: to visit all of them, and to put others in their place."""

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


def is_graph(layer):
    """Whether `layer` is a Sequential or Functional model, which Keras itself can rewire."""
    if isinstance(layer, keras.Sequential):
        return True
    return isinstance(layer, keras.Model) and hasattr(layer, "inputs") and hasattr(layer, "outputs")


def matching_sublayers(layer, copy):
    """Pairs of a layer that `layer` holds and the one in the same attribute of its copy.

    What the copy does not hold yet, because it is created when it is built, is left out.
    """
    for name in _attributes(layer):
        ours = _layers_in(getattr(layer, name))
        theirs = _layers_in(getattr(copy, name, None))
        if len(ours) == len(theirs):
            yield from zip(ours, theirs)


def replace_sublayers(layer, replacements):
    """Puts layers in the place of others that `layer` holds in its attributes.

    Args:
        layer: A layer that is not built.
        replacements: Dict from the id of a layer to the one in its place.
    """
    # Keras lists what a layer holds in the order of creation, which is that of the weights.
    # Assigning an attribute only appends to the list: no public method replaces.
    tracker = layer._tracker
    for held in sublayers(layer):
        if id(held) in replacements:
            tracker.replace_tracked_value("layers", held, replacements[id(held)])
    for name in _attributes(layer):
        value = getattr(layer, name)
        if any(id(held) in replacements for held in _layers_in(value)):
            setattr(layer, name, _substituted(value, replacements))


def _attributes(layer):
    """Names of the attributes that hold layers, less the book-keeping of Keras and backends."""
    attributes = vars(layer)
    # PyTorch keeps layers apart from other attributes, under their names.
    return [
        name
        for name, value in {**attributes, **attributes.get("_modules", {})}.items()
        if name not in ("_layers", "_tracked", "_modules")
        and not name.startswith("_self_")
        and _layers_in(value)
    ]


def _layers_in(value):
    if isinstance(value, keras.Layer):
        return [value]
    if isinstance(value, (list, tuple, dict)):
        return [each for each in keras.tree.flatten(value) if isinstance(each, keras.Layer)]
    return []


def _substituted(value, replacements):
    if isinstance(value, keras.Layer):
        return replacements.get(id(value), value)
    if isinstance(value, dict):
        return {key: _substituted(each, replacements) for key, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each, replacements) for each in value]
    if isinstance(value, tuple):
        items = [_substituted(each, replacements) for each in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value
