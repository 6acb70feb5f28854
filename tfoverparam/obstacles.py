"""Why a kernel cannot be factorized."""

import collections
import dis
import functools
import types
from typing import NamedTuple

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
        functions = [function for value in vars(each).values() for function in _functions(value)]
        use = _use_of(functions, variable)
        if use is not None:
            return f"class {each.__name__} {use}"
    return None


def _forward_pass(layer):
    """The functions that a layer computes its outputs with, and layers that these hold.

    `call` and what it names, and so on: attributes of the layer and of its classes, functions, and
    attributes of modules. Those of libraries are left out.

    Returns:
        A list of functions, and one of layers.
    """
    waiting = _named(layer, _CALLED)
    found: dict = {}
    held = []
    while waiting:
        value = waiting.pop()
        held += [value] if isinstance(value, keras.Layer) else []
        for function in _functions(value):
            if function not in found:
                found[function] = None
                names = _names_in(function.__code__)
                waiting += _named(layer, names.attributes, "super" in names.globals)
                waiting += _held_by(function)
    # Keras calls `build` once: what it names has been done.
    built = [each for value in _named(type(layer), ["build"]) for each in _functions(value)]
    return list(dict.fromkeys([*found, *built])), held


# By Keras, without a name in a user's code: of `Lambda`, and of layers with an activation.
_CALLED = ("activation", "call", "function", "recurrent_activation")


def _named(owner, names, is_super=False):
    """What a layer, a class or a module has by these names, and what is within it.

    Args:
        is_super: Whether it is read by `super()`: of each class that has it, not of the first.
    """
    owners = [owner, *getattr(owner, "__mro__", type(owner).__mro__)]
    found = []
    for name in names:
        values = [vars(each)[name] for each in owners if name in vars(each)]
        found += values if is_super else values[:1]
    return _flat(found)


def _held_by(function):
    """What a function has in its closure, its defaults, and the globals that it names."""
    names = _names_in(function.__code__)
    cells = [cell for cell in function.__closure__ or () if cell != types.CellType()]  # not empty
    found = [
        [cell.cell_contents for cell in cells],
        function.__defaults__,
        function.__kwdefaults__,
        [function.__globals__[name] for name in names.globals if name in function.__globals__],
    ]
    modules = [each for each in found[-1] if isinstance(each, types.ModuleType)]
    found += [
        _named(each, names.attributes) for each in modules if not _is_of_a_library(each.__name__)
    ]
    return _flat(found)


def _functions(value):
    """The function of Python that a value is, and those that it wraps: of a method, a property."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, (functools.cached_property, functools.partial)):
        value = value.func
    elif isinstance(value, (staticmethod, classmethod, types.MethodType)):
        value = value.__func__
    if hasattr(type(value), "python_function"):  # of `tf.function`
        value = value.python_function
    if not isinstance(value, types.FunctionType):
        return []
    own = [] if _is_of_a_library(value.__module__) else [value]
    return [*own, *(_functions(value.__wrapped__) if hasattr(value, "__wrapped__") else [])]


_LIBRARIES = {"jax", "keras", "numpy", "tensorflow", "tfoverparam", "torch"}


def _is_of_a_library(module):
    return (module or "").partition(".")[0] in _LIBRARIES


def _flat(value):
    """What is in containers within containers, and given to partial functions and methods."""
    found, seen, waiting = [], set(), [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, frozenset, list, set, tuple)):
            if id(each) not in seen:
                seen.add(id(each))
                waiting += each.values() if isinstance(each, dict) else each
            continue
        found.append(each)
        if isinstance(each, functools.partial):
            waiting += [each.args, each.keywords]
        elif isinstance(each, types.MethodType):
            waiting.append(each.__self__)
    return found


def _use_of(functions, variable):
    """What functions do with a kernel that they cannot do with a product, or `None`."""
    for function in functions:
        names = _names_in(function.__code__).attributes
        for name in sorted(_LISTS_OF_VARIABLES & names):
            return f"reads `{name}`, which factors change"
        if _ASSIGNMENTS & names and variable in names:
            return f"assigns to `{variable}`"
    return None


class _Names(NamedTuple):
    """What a function and those within it read: names of attributes, and of globals."""

    attributes: frozenset
    globals: frozenset


@functools.lru_cache(maxsize=4096)
def _names_in(code):
    attributes, of_globals = set(), set()
    for each in dis.get_instructions(code):
        if each.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER")):
            attributes.add(each.argval)
        elif each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            of_globals.add(each.argval)
    within = [_names_in(each) for each in code.co_consts if isinstance(each, types.CodeType)]
    return _Names(
        frozenset(attributes).union(*(each.attributes for each in within)),
        frozenset(of_globals).union(*(each.globals for each in within)),
    )


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
        functions, held = _forward_pass(reader)
        if functions:
            for key in {id(layer) for each in (reader, *held) for layer in walk(each)}:
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
                for each in _flat(value):
                    if isinstance(each, keras.Variable):
                        holders[id(each)].append((layer, name))
        for operation, each in variables_of_operations(layer):
            holders[id(each)].append((operation, "arguments"))
    return holders
