"""Typed configurations: a YAML file and `--set key=value` become a frozen dataclass.

Every key is declared, with its type, by the figure that reads it. An unknown key, a missing one
and a value of the wrong type are errors that name the key, where it stands, and what was meant.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import reprlib
import types
import typing

from reproduce.harness import strict_yaml
from reproduce.harness.errors import ConfigError

LARGEST = 10**9  # of integers that are to be positive: more iterations, or units, never end

_received = reprlib.Repr()  # what is shown of a value in a message
_received.maxstring = _received.maxother = 60


def load(path, config_class, overrides=()):
    """Read a configuration.

    Args:
        path: A YAML file.
        config_class: A dataclass; its fields may be `int`, `float`, `bool`, `str`, lists of these,
            `X | None`, or dataclasses.
        overrides: Strings `key=value` (`key.inner=value` for an inner key), the values in YAML.

    Returns:
        An instance of `config_class`.

    Raises:
        ConfigError: If the file cannot be read, or does not fit the class.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = strict_yaml.parse(file.read(strict_yaml.CHARACTERS + 1))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text: save it as UTF-8. ({error})") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read the configuration {path}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} must hold `key: value` lines. Received: {_received.repr(values)}"
        )
    for override in overrides:
        _override(values, override)
    return build(config_class, values, where=str(path))


def build(cls, values, where, prefix=""):
    """An instance of a dataclass from a dict of plain values, each checked against its type.

    Args:
        cls: The dataclass; see `load`.
        values: The dict.
        where: Where it is from, and `prefix`: of what key it is the value; for messages.

    Raises:
        ConfigError: If it does not fit the class.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key[:60], fields, n=1, cutoff=0.0)
            raise ConfigError(
                f"{where}: unknown key `{prefix}{_shown(key)}`. Did you mean `{prefix}{near[0]}`?"
            )
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name in fields:
        if name not in values and fields[name].default is not dataclasses.MISSING:
            continue
        if name not in values:
            raise ConfigError(f"{where}: the key `{prefix}{name}` is missing.")
        arguments[name] = _coerce(values[name], hints[name], where, prefix + name)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def as_dict(config):
    """The configuration as plain values, ready for JSON and YAML."""
    return dataclasses.asdict(config)


def digest(values):
    """Sha256 of plain values: equal values, equal digest, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def check_positive(section, names):
    """Raise a ConfigError unless the numbers (or lists of numbers) of these names are above 0.

    Integers, which are sizes, must be at most `LARGEST`, too.
    """
    for name in names:
        value = getattr(section, name)
        numbers = value if isinstance(value, list) else [value]
        if not all(number > 0 for number in numbers):
            raise ConfigError(f"`{name}` must be positive. Received: {_received.repr(value)}")
        if any(isinstance(number, int) and number > LARGEST for number in numbers):
            raise ConfigError(
                f"`{name}` must be at most {LARGEST}. Received: {_received.repr(value)}"
            )


def check_distinct(name, values):
    """Raise a ConfigError unless there is at least one value, and none is there twice."""
    if not values or len(set(values)) < len(values):
        raise ConfigError(
            f"`{name}` must be at least one, and no two the same. "
            f"Received: {_received.repr(values)}"
        )


def _override(values, override):
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set takes key=value. Received: {_received.repr(override)}")
    try:
        value = strict_yaml.parse(text)
    except ValueError as error:
        shown = _received.repr(text)
        raise ConfigError(f"--set {_shown(key)}: {shown} cannot be read: {error}") from error
    *outer, last = key.split(".")
    for name in outer:
        if not isinstance(values.get(name), dict):
            raise ConfigError(f"--set {_shown(key)}: there is no section `{_shown(name)}`.")
        values = values[name]
    values[last] = value


def _coerce(value, hint, where, key):
    """`value` as the declared type, or a ConfigError. YAML reads `1e-3` as text: floats take it."""
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        (hint,) = (option for option in hint.__args__ if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build(hint, value, where, f"{key}.")
    if typing.get_origin(hint) is list and isinstance(value, list):
        (inner,) = typing.get_args(hint)
        return [_coerce(item, inner, where, f"{key}[{i}]") for i, item in enumerate(value)]
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    elif hint in (int, bool, str) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint)) if typing.get_origin(hint) is None else str(hint)
    raise ConfigError(
        f"{where}: `{key}` must be of type {name}. Received: {_received.repr(value)}"
    )


def _shown(key):
    """A key as it is shown in a message: one line, and not all of a long one."""
    return _received.repr(key)[1:-1]
