"""Why a kernel cannot be factorized."""

import collections
import types

import keras

from tfoverparam.kernel_kinds import KINDS
from tfoverparam.keras_private import is_bookkeeping
from tfoverparam.layer_tree import walk

QUANTIZED = "the layer is quantized"


# What factorized layers have and others do not; a test compares it with their class.
NAMES_OF_FACTORIZED_LAYERS = (
    "as_built_in",
    "assign_kernel",
    "become_factorized",
    "collapse",
    "factorized_kernels",
    "factors",
    "imbalance",
    "products_held",
    "singular_values",
)


def reason_against(layer, variable, kernel, holders, readers):
    """Why a kernel cannot be factorized, or `None`.

    Args:
        layer: The layer.
        variable: Name of the kernel in it.
        kernel: The kernel, a `keras.Variable`.
        holders: Layers and attributes that hold it, see `holders_of`.
        readers: Layers around this one, see `readers_of`.
    """
    if getattr(layer, "quantization_mode", None) is not None:
        return QUANTIZED
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
    for name in (*NAMES_OF_FACTORIZED_LAYERS, f"{variable}_0"):
        if hasattr(layer, name):
            return f"the layer has an attribute `{name}` of its own"
    reason = _reason_of_class(type(layer), variable)
    for reader in readers:
        use = _use_of(_own_forward_pass(type(reader)), variable)
        if use is not None:
            reason = reason or f"`{reader.name}` of class {type(reader).__name__} {use}"
    return reason


def _reason_of_class(cls, variable):
    """Of the classes of a user between a layer's and the one that `linear_maps` knows."""
    for each in cls.__mro__[: next(n for n, base in enumerate(cls.__mro__) if base in KINDS)]:
        if "build" in vars(each):
            return f"class {each.__name__} overrides `build`"
        use = _use_of(vars(each).values(), variable)
        if use is not None:
            return f"class {each.__name__} {use}"
    return None


def _own_forward_pass(cls):
    """The methods of a class, if it is not Keras's, that its layers compute their outputs with."""
    methods = [getattr(cls, name) for name in ("build", "call")]
    return [each for each in methods if not (each.__module__ or "").startswith("keras.")]


def _use_of(methods, variable):
    """What `methods` do with a kernel that they cannot do with a product, or `None`."""
    for method in methods:
        method = getattr(method, "python_function", method)  # of tf.function
        names = _names_in(getattr(method, "__code__", None))
        for name in sorted(_LISTS_OF_VARIABLES & names):
            return f"reads `{name}`, which factors change"
        if _ASSIGNMENTS & names and variable in names:
            return f"assigns to `{variable}`"
    return None


def _names_in(code):
    """All names of attributes in a function and those within it."""
    if not isinstance(code, types.CodeType):
        return set()
    return set(code.co_names).union(*map(_names_in, code.co_consts))


_LISTS_OF_VARIABLES = {
    "get_weights",
    "set_weights",
    "trainable_variables",
    "trainable_weights",
    "variables",
    "weights",
}
_ASSIGNMENTS = {"assign", "assign_add", "assign_sub"}


def readers_of(found):
    """Dict from the id of a layer to layers of a user's classes that it is within.

    A layer that computes with the variables of another one may hold it and nothing of it.
    """
    readers = collections.defaultdict(list)
    for reader in found:
        if _own_forward_pass(type(reader)):
            for layer in walk(reader):
                if layer is not reader:
                    readers[id(layer)].append(reader)
    return readers


def holders_of(found):
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
