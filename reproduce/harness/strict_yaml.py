"""YAML, read strictly: plain values only, every key once, nothing larger than a configuration.

PyYAML's safe loader runs no code. But it takes the last of two equal keys, follows aliases until
a line has become a billion, makes dates of texts, and lets Python's own errors through.
"""

import yaml

from reproduce.harness.messages import one_line

CHARACTERS = 100_000
VALUES = 10_000  # after aliases are replaced by what they stand for
DEPTH = 20
LARGEST = 2**63 - 1  # of integers

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}


class StrictYamlError(ValueError):
    """A text that is not plain YAML; the message is one line that says where and why."""


def parse(text):
    """The value of a YAML text: None, numbers, texts, and lists and dicts (by text) of these.

    Raises:
        StrictYamlError: If it is no YAML, or more than that.

    Example:

    >>> from reproduce.harness.strict_yaml import parse
    >>> parse("{steps: 3, rates: [0.1, 1.0e-2]}")
    {'steps': 3, 'rates': [0.1, 0.01]}
    """
    if len(text) > CHARACTERS:
        raise StrictYamlError(f"it is longer than {CHARACTERS} characters")
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise StrictYamlError(place + one_line(error.problem)) from error
    except yaml.YAMLError as error:  # characters that no YAML may hold
        raise StrictYamlError(one_line(error)) from error


class _Loader(yaml.SafeLoader):
    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag in _PLAIN
    }
    # What looks like a date or a merge key is text.
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text):
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes = {}  # of the nodes that are complete

    def compose_node(self, parent, index):
        mark, before = self.peek_event().start_mark, self._values
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEPTH:
            raise _error(f"it is nested more than {DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        if is_alias and node not in self._sizes:
            raise _error("an alias stands for what it is a part of", mark)
        self._values += self._sizes[node] if is_alias else 1
        if self._values > VALUES:
            raise _error(f"it holds more than {VALUES} values", mark)
        self._sizes.setdefault(node, self._values - before)
        self._depth -= 1
        return node

    def construct_object(self, node, deep=False):
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError) as error:
            raise _error(f"{_short(node.value)} is no {_kind(node)}", node.start_mark) from error
        if isinstance(value, int) and abs(value) > LARGEST:
            raise _error(f"{_short(node.value)} is too large a number", node.start_mark)
        return value

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                raise _error("a key must be text", key.start_mark)
            if key.value in keys:
                raise _error(f"the key {_short(key.value)} is there twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse(loader, node):
    raise _error(f"the tag {_short(node.tag)} is not allowed: write plain values", node.start_mark)


_Loader.add_constructor(None, _refuse)


def _error(problem, mark):
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _short(text):
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _kind(node):
    return node.tag.removeprefix(_TAG)
