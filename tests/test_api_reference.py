"""Every public name is documented, with each of its parameters, and is on the site."""

import dataclasses
import functools
import inspect
import pathlib
import re
import sys

import keras
import pytest

import tfoverparam
from tfoverparam import initializers, matrix_functions
from tfoverparam.matrix_view import MatrixView

API = pathlib.Path(__file__).parents[1] / "docs" / "api"
MODULES = {"initializers": initializers, "matrix_functions": matrix_functions}


def public():
    """From the full name of a public function or class to the object."""
    found = {"tfoverparam.matrix_view.MatrixView": MatrixView}
    for name in tfoverparam.__all__:
        if name not in MODULES:
            # `tfoverparam.summary` is a module and a function: its page names the function.
            is_module = f"tfoverparam.{name}" in sys.modules
            full = f"tfoverparam.{name}.{name}" if is_module else f"tfoverparam.{name}"
            found[full] = getattr(tfoverparam, name)
    for name in matrix_functions.__all__:
        found[f"tfoverparam.matrix_functions.{name}"] = getattr(matrix_functions, name)
    for name in ("NearIdentity", "NearZero"):
        found[f"tfoverparam.initializers.{name}"] = getattr(initializers, name)
    return found


PUBLIC = public()


def documented_parameters(docstring):
    """The names that the sections `Args:` and `Attributes:` explain."""
    sections = re.findall(r"^(?:Args|Attributes):\n((?:(?: +.*)?\n)+)", docstring, re.MULTILINE)
    lists = re.findall(r"^    ([\w, `*]+):", "".join(sections), re.MULTILINE)
    found = {name.strip(" `*") for names in lists for name in names.split(",")}
    for other in re.findall(r"^See `(\w+)`", docstring, re.MULTILINE):  # of the same arguments
        found |= documented_parameters(inspect.cleandoc(getattr(tfoverparam, other).__doc__))
    return found


def missing(thing):
    """What a function or class does not say of itself."""
    docstring = inspect.cleandoc(thing.__doc__ or "") + "\n"
    if not docstring.strip():
        return ["a docstring"]
    # Of a class, some versions of Python take the signature of Keras's `__new__`.
    bound = functools.partial(thing.__init__, None) if isinstance(thing, type) else thing
    parameters = inspect.signature(bound).parameters.values()
    names = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    lacking = sorted(names - documented_parameters(docstring))
    if "Example" not in docstring and not dataclasses.is_dataclass(thing):
        lacking.append("an example")
    return lacking


def undocumented_members(cls):
    """Public methods and properties that Keras's classes do not have, without a docstring."""
    own = [each for each in cls.__mro__ if each.__module__.startswith("tfoverparam")]
    keras_s = {name for each in cls.__mro__ if each not in own for name in vars(each)}
    return [
        f"{each.__name__}.{name}"
        for each in own
        for name, member in vars(each).items()
        if not name.startswith("_") and name not in keras_s
        if callable(member) or isinstance(member, property)
        if not inspect.getdoc(getattr(cls, name))
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_documented_with_every_parameter(name):
    thing = PUBLIC[name]
    assert missing(thing) == []
    if isinstance(thing, type):
        assert undocumented_members(thing) == []


def test_what_is_not_documented_is_noticed():
    def half(one, other):
        """Half of it.

        Args:
            one: The one.

        Example:
        """

    class Silent(keras.Layer):
        pass

    assert missing(half) == ["other"]
    assert missing(Silent) != []


def test_all_public_modules_are_documented():
    for module in (tfoverparam, *MODULES.values()):
        assert module.__doc__


def test_each_is_on_a_page_of_the_site():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in API.glob("*.md"))
    listed = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    extra = {"tfoverparam.matrix_functions", "tfoverparam.layers.factorized_layer.FactorizedLayer"}
    assert set(listed) - extra == set(PUBLIC)
