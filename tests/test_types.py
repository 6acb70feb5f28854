"""The types of the public names: everything has one, and mypy tells right from wrong use."""

import inspect
import pathlib
import re
import subprocess
import sys

import pytest

from tests.test_api_reference import PUBLIC

pytest.importorskip("mypy")
ROOT = pathlib.Path(__file__).parents[1]
FILES = ROOT / "tests" / "typing"


def untyped(name, function):
    """What a function does not annotate."""
    signature = inspect.signature(function)
    missing = [
        f"{name}: {each.name}"
        for each in signature.parameters.values()
        if each.annotation is each.empty and each.name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        missing.append(f"{name}: returns")
    return missing


def functions_of(thing):
    """The function, or a class's constructor, public methods and properties of its own."""
    if not isinstance(thing, type):
        return [(thing.__name__, thing)]
    found = []
    for cls in thing.__mro__:
        if cls.__module__.startswith("tfoverparam"):
            for name, member in vars(cls).items():
                member = member.fget if isinstance(member, property) else member
                member = getattr(member, "__func__", member)
                member = inspect.unwrap(member) if callable(member) else member
                is_public = not name.startswith("_") or name == "__init__"
                if is_public and inspect.isfunction(member) and name not in INTERNAL:
                    found.append((f"{cls.__name__}.{name}", member))
    return found


# Called by Keras, or by this library alone.
INTERNAL = {
    "add_weight",
    "as_built_in",
    "become_factorized",
    "enable_lora",
    "load_own_variables",
    "products_held",
    "save_own_variables",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_annotated(name):
    assert [each for pair in functions_of(PUBLIC[name]) for each in untyped(*pair)] == []


def reports(file):
    command = ["-m", "mypy", "--config-file", str(FILES / "mypy.ini"), str(FILES / file)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_mypy_accepts_a_user_s_file():
    assert reports("user.py").startswith("Success")


@pytest.mark.slow
def test_mypy_reports_each_mistake():
    lines = (FILES / "mistakes.py").read_text(encoding="utf-8").splitlines()
    expected = {
        (number, line.rpartition("  # ")[2])
        for number, line in enumerate(lines, start=1)
        if "  # " in line
    }
    found = re.findall(r"mistakes\.py:(\d+): error: .* \[([\w-]+)\]$", reports("mistakes.py"), re.M)
    assert {(int(number), code) for number, code in found} == expected
