"""Why a kernel cannot be factorized."""

import collections
import inspect
import types

import keras

from tfoverparam.kernel_kinds import KINDS
from tfoverparam.keras_private import is_bookkeeping, variables_of_operations
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
    for reader, functions in readers:
        use = _use_of(functions, variable)
        if use is not None:
            reason = reason or f"`{reader.name}` of class {type(reader).__name__} {use}"
    return reason


def _reason_of_class(cls, variable):
    """Of the classes of a user between a layer's and the one that `linear_maps` knows."""
    for each in cls.__mro__[: next(n for n, base in enumerate(cls.__mro__) if base in KINDS)]:
        if "build" in vars(each):
            return f"class {each.__name__} overrides `build`"
        use = _use_of(_functions(vars(each).values()), variable)
        if use is not None:
            return f"class {each.__name__} {use}"
    return None


def _forward_pass(layer):
    """The functions, but those of libraries, that a layer computes its outputs with.

    `build` and `call`, or what a `Lambda` calls; and the methods, properties and functions that
    these name, and so on.
    """
    cls = type(layer)
    if isinstance(layer, keras.layers.Lambda):
        waiting = _functions([layer.function])
    else:
        waiting = _functions([getattr(cls, name) for name in ("build", "call")])
    found: dict = {}
    while waiting:
        function = waiting.pop()
        if function not in found:
            found[function] = None
            names = _names_in(function.__code__)
            waiting += _functions(inspect.getattr_static(cls, name, None) for name in names)
            waiting += _functions(_held_by(function, names))
    return list(found)


def _held_by(function, names):
    """What a function has in its closure, and the globals that it names."""
    cells = [cell for cell in function.__closure__ or () if cell != types.CellType()]
    return [
        *(cell.cell_contents for cell in cells),
        *(function.__globals__[name] for name in names if name in function.__globals__),
    ]


def _functions(attributes):
    """Those of Python within them: of methods, of properties, and of what decorators return."""
    found = []
    for each in attributes:
        for name in ("fget", "func", "__func__", "python_function"):
            each = inspect.getattr_static(each, name, None) and getattr(each, name) or each
        if isinstance(each, types.FunctionType):
            found += [each] if each.__module__.partition(".")[0] not in _LIBRARIES else []
            found += _functions([each.__wrapped__]) if hasattr(each, "__wrapped__") else []
    return found


_LIBRARIES = {"jax", "keras", "numpy", "tensorflow", "tfoverparam", "torch"}


def _use_of(functions, variable):
    """What functions do with a kernel that they cannot do with a product, or `None`."""
    for function in functions:
        names = _names_in(function.__code__)
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
    """Dict from the id of a layer to what may compute with its variables.

    Pairs of a layer that has functions of a user's, and these functions: a layer that the other
    one is within, or whose functions hold it.
    """
    readers = collections.defaultdict(list)
    for reader in found:
        functions = _forward_pass(reader)
        held = [
            each
            for function in functions
            for each in _held_by(function, _names_in(function.__code__))
            if isinstance(each, keras.Layer)
        ]
        if functions:
            within = {id(layer) for each in (reader, *held) for layer in walk(each)}
            for key in within - {id(reader)}:
                readers[key].append((reader, functions))
    return readers


def holders_of(found):
    """Dict from the id of a variable to pairs of what holds it, and its name there.

    Layers with their attributes, and operations of functional models.
    """
    holders = collections.defaultdict(list)
    for layer in found:
        for name, value in vars(layer).items():
            if not is_bookkeeping(name):
                for each in _variables_in(value):
                    holders[id(each)].append((layer, name))
        for operation, each in variables_of_operations(layer):
            holders[id(each)].append((operation, "arguments"))
    return holders


def _variables_in(value):
    """The variables in containers within containers."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [variable for each in value for variable in _variables_in(each)]
    return []
