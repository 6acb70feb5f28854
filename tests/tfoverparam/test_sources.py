"""The library stands on Keras's public interface alone."""

import ast
import pathlib
import re

import keras
import pytest
import tfoverparam

ROOT = pathlib.Path(tfoverparam.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))


def test_there_are_sources_to_look_at():
    assert ROOT / "layers" / "factorized_dense.py" in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_interfaces(path):
    # Private modules move between minor releases of Keras and TensorFlow without notice.
    assert re.findall(r"keras\.src|keras import src|tensorflow\.python", path.read_text()) == []


def test_private_names_of_keras_stand_in_one_file():
    layer = keras.layers.Dense(1)
    layer.build((None, 1))
    optimizer = keras.optimizers.SGD()
    optimizer.build(layer.weights)
    model = keras.Sequential([keras.Input((1,)), layer])
    private = {
        name
        for each in (layer, layer.kernel, model, optimizer)
        for name in dir(each)
        if name.startswith("_") and not name.startswith("__")
    }
    for path in SOURCES:
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert path.name == "keras_private.py" or used & private == set(), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_tensorflow_outside_the_datasets(path):
    # The mathematics and the layers run on whatever backend Keras runs on.
    if ROOT / "datasets" not in path.parents:
        statement = re.compile(r"^\s*(?:import|from) tensorflow\b.*", re.MULTILINE)
        assert statement.findall(path.read_text()) == []


def test_every_public_name_exists():
    assert [name for name in tfoverparam.__all__ if not hasattr(tfoverparam, name)] == []
