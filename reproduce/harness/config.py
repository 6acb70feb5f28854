"""Typed configurations: a YAML file and `--set key=value` become a frozen dataclass.

Every key is declared, with its type, by the figure that reads it. OmegaConf reads the text, lays
the values over the defaults and builds the dataclass. Where it would take one thing for another
(`'3'` or `010` for a number, 5 for a name), and for an unknown or a missing key, there is an error
that names the key, where it stands, and what was meant.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import json
import re
import reprlib
import sys
import types
import typing

from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
import yaml

from reproduce.harness.errors import ConfigError, one_line

CHARACTERS = 100_000  # of a file
LARGEST = 10**9  # of integers that are to be positive: more iterations, or units, never end
REPRESENTABLE = {int: 2**63 - 1, float: sys.float_info.max}  # largest numbers; NaN is below none
NOT_DECIMAL = re.compile(  # what is a number in YAML: octal, hexadecimal, binary, of base 60
    r"[-+]?(0[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)"
)

_received = reprlib.Repr()  # what is shown of a value in a message
_received.maxstring = _received.maxother = 60


def load(path, config_class, overrides=()):
    """Read a configuration.

    Args:
        path: A YAML file.
        config_class: A dataclass; its fields may be `int`, `float`, `bool`, `str`, lists of these,
            `X | None`, or dataclasses.
        overrides: Strings `key=value` (`key.inner=value` for an inner key, `key[0]=value` for an
            item of a list), the values in YAML.

    Returns:
        An instance of `config_class`.

    Raises:
        ConfigError: If the file cannot be read, or does not fit the class.
    """
    config = OmegaConf.create(read(path))
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set takes key=value. Received: {_received.repr(override)}")
        with _reported(f"--set {_shown(key)}: {_received.repr(text)} cannot be set"):
            OmegaConf.update(config, key, _parse(text))
    return build(config_class, OmegaConf.to_container(config), where=str(path))


def read(path):
    """The values of a YAML file of `key: value` lines, as plain dicts and lists.

    Raises:
        ConfigError: If it cannot be read, or is something else.
    """
    with _reported(f"{path} cannot be read"):
        with open(path, encoding="utf-8") as file:
            text = file.read(CHARACTERS + 1)
        values = _parse(text)
        if not values or not isinstance(values, dict):
            raise ValueError(f"it must hold `key: value` lines. Received: {_received.repr(values)}")
    return values


def build(config_class, values, where):
    """An instance of a dataclass from a dict of plain values, each checked against its type.

    Args:
        config_class: The dataclass; see `load`.
        values: The dict.
        where: Where it is from; for messages.

    Raises:
        ConfigError: If it does not fit the class.
    """
    _check_type(values, config_class, where)
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config_class), values))
    except MissingMandatoryValue as error:
        raise ConfigError(f"{where}: the key `{error.full_key}` is missing.") from error
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{where}: {one_line(error)}") from error


def as_dict(config):
    """The configuration as plain values, ready for JSON and YAML."""
    return dataclasses.asdict(config)


def as_yaml(values):
    """A dict of plain values as the text of a file for `read`."""
    return OmegaConf.to_yaml(OmegaConf.create(values))


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


def _parse(text):
    """The value of a YAML text, if it is plain and has no numbers that few would read as YAML."""
    if len(text) > CHARACTERS:
        raise ValueError(f"it is longer than {CHARACTERS} characters")
    for token in yaml.scan(text):
        if isinstance(token, yaml.TagToken):
            problem = "a tag is not allowed: write plain values"
        elif not isinstance(token, yaml.ScalarToken):
            continue
        elif "${" in token.value:
            problem = "`${` is not allowed: write the value itself"
        elif token.plain and NOT_DECIMAL.fullmatch(token.value):
            problem = f"{token.value:.40} is no decimal number: write one, or quote a text"
        else:
            continue
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=token.start_mark)
    # Not `OmegaConf.load`: it takes a file that is a text for YAML within YAML.
    values: typing.Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    return values["value"]


def _check_type(value, hint, where, key=""):
    """Raise a ConfigError unless a plain value is of the declared type; OmegaConf converts it."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return
        (hint,) = (option for option in hint.__args__ if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        for name, inner in value.items():
            prefix = f"{key}." if key else ""
            if name not in hints:
                near = difflib.get_close_matches(str(name)[:60], hints, n=1)
                meant = f" Did you mean `{prefix}{near[0]}`?" if near else ""
                raise ConfigError(f"{where}: unknown key `{prefix}{_shown(name)}`.{meant}")
            _check_type(inner, hints[name], where, prefix + name)
    elif typing.get_origin(hint) is list and isinstance(value, list):
        (inner,) = typing.get_args(hint)
        for i, item in enumerate(value):
            _check_type(item, inner, where, f"{key}[{i}]")
    else:
        is_right = type(value) is hint or (hint is float and type(value) is int)
        if not is_right or (hint in REPRESENTABLE and not abs(value) <= REPRESENTABLE[hint]):
            name = str(hint) if typing.get_origin(hint) else hint.__name__
            received = _received.repr(value)
            raise ConfigError(f"{where}: `{key}` must be of type {name}. Received: {received}")


@contextlib.contextmanager
def _reported(what):
    """Whatever the YAML library, OmegaConf or the disk says in the body is said in one line."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ConfigError(f"{what}: {place}{one_line(error.problem)}") from error
    except RecursionError as error:
        raise ConfigError(f"{what}: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what}: it is no text; save it as UTF-8 ({error})") from error
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{what}: {one_line(error)}") from error


def _shown(key):
    """A key as it is shown in a message: one line, and not all of a long one."""
    return _received.repr(str(key))[1:-1]
