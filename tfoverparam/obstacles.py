"""Why a kernel cannot be factorized."""

import collections

import keras

from tfoverparam.kernel_kinds import KINDS
from tfoverparam.keras_private import is_bookkeeping

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


def reason_against(layer, variable, kernel, holders):
    """Why a kernel cannot be factorized, or `None`."""
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
    return _reason_of_class(type(layer))


def _reason_of_class(cls):
    """Of the classes of a user between a layer's and the one that `linear_maps` knows."""
    for each in cls.__mro__[: next(n for n, base in enumerate(cls.__mro__) if base in KINDS)]:
        if "build" in vars(each):
            return f"class {each.__name__} overrides `build`"
        for method in vars(each).values():
            names = getattr(getattr(method, "__code__", None), "co_names", ())
            for name in sorted(_LISTS_OF_VARIABLES & set(names)):
                return f"class {each.__name__} reads `{name}`, which factors change"
    return None


_LISTS_OF_VARIABLES = {
    "get_weights",
    "set_weights",
    "trainable_variables",
    "trainable_weights",
    "variables",
    "weights",
}


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
