"""`keras.models.load_model` refuses files that are damaged, tampered with, or carry code."""

import functools
import json
import pathlib
import tempfile
import zipfile

import keras
import numpy as np
import pytest
from tfoverparam import EndToEnd, FactorizedDense

ERRORS = (ValueError, TypeError, zipfile.BadZipFile)  # the last is Keras's answer to some


def _saved(folder, layer=None, optimizer="sgd", more=()):
    """The path of a model that has made a step."""
    layer = layer or FactorizedDense(3, name="linear")
    model = keras.Sequential([keras.Input((4,)), layer, *more])
    model.compile(optimizer, "mse", jit_compile=False)
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 3)))
    model.save(folder / "model.keras")
    return folder / "model.keras"


@functools.cache
def _content(optimizer=keras.optimizers.SGD):
    """The file of a model with an optimizer of this class."""
    with tempfile.TemporaryDirectory() as folder:
        return _saved(pathlib.Path(folder), optimizer=optimizer()).read_bytes()


def _edited(path, edit, optimizer=keras.optimizers.SGD):
    """Writes a file whose description `edit` has changed: the layer's part, the optimizer's."""
    path.write_bytes(_content(optimizer))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    edit(config["config"]["layers"][1], config["compile_config"]["optimizer"])
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def _function(module, name):
    """What a file says where it means a function of a module."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _run(value):
    open("ran", "w").close()
    return value


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda content: b"", ".keras` zip file"),
        (lambda content: content[: len(content) // 2], ""),
        (lambda content: b"<html>log in</html>" * 9, ""),
        (lambda content: content.replace(b"FactorizedDense", b"FactorizedDensf", 1), ""),
    ],
    ids=["empty", "half", "HTML", "a byte of the description"],
)
def test_damaged_files(damage, says, refuses, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(damage(_content()))
    error = refuses(lambda: keras.models.load_model(path), says, raises=ERRORS)
    assert "model.keras" in str(error) or "config.json" in str(error)


def test_no_file(refuses, tmp_path):
    refuses(lambda: keras.models.load_model(tmp_path / "model.keras"), "model.keras")


@pytest.mark.parametrize(
    "given, says",
    [
        (lambda: {"more": [keras.layers.Lambda(lambda x: _run(x))]}, ("lambda", "disallowed")),
        (
            lambda: {"layer": FactorizedDense(3, activation=lambda x: _run(x))},
            ("activation function",),
        ),
    ],
    ids=["Lambda", "activation"],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_lambdas(given, says, refuses, tmp_path):
    path = _saved(tmp_path, **given())
    (tmp_path / "ran").unlink()  # which the model made when it was called
    refuses(lambda: keras.models.load_model(path), *says, raises=ERRORS)


def test_a_predicate_is_saved_as_what_it_chose(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rule = EndToEnd(apply_to=lambda variable: _run(True))
    path = _saved(tmp_path, keras.layers.Dense(3), rule)
    (tmp_path / "ran").unlink()
    assert keras.models.load_model(path).optimizer.built
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["activation", "kernel_initializer", "the layer itself"])
@pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "eval")])
def test_functions_in_a_layer_s_place(module, name, place, refuses, tmp_path):
    function = _function(module, name)

    def edit(layer, optimizer):
        if place == "the layer itself":
            layer.update(module=module, class_name=name, registered_name=name)
        else:
            layer["config"][place] = function

    path = _edited(tmp_path / "model.keras", edit)
    refuses(lambda: keras.models.load_model(path), module, raises=ERRORS)


@pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "exec")])
def test_functions_for_predicates(module, name, refuses, tmp_path):
    def edit(layer, optimizer):
        optimizer["config"]["apply_to"] = [_function(module, name)]

    path = _edited(tmp_path / "model.keras", edit, EndToEnd)
    refuses(lambda: keras.models.load_model(path), name, raises=ERRORS)


@pytest.mark.parametrize(
    "values, says",
    [
        ({"depth": "x"}, ("`depth` must be", "'x'")),
        ({"units": -1}, ("`units` must be", "-1")),
        ({"hidden_units": "a"}, ("`hidden_units` must be",)),
        ({"seed": [1]}, ("`seed` must be",)),
        ({"foo": 1}, ("foo",)),
        ({"units": 5}, ("linear", "shape")),
    ],
)
def test_arguments_of_a_layer(values, says, refuses, tmp_path):
    path = _edited(tmp_path / "model.keras", lambda layer, _: layer["config"].update(values))
    refuses(lambda: keras.models.load_model(path), *says, raises=ERRORS)


@pytest.mark.parametrize(
    "values, says",
    [
        ({"depth": "x"}, ("`depth` must be", "'x'")),
        ({"apply_to": [3]}, ("`apply_to` must be", "[3]")),
        ({"inner_optimizer": "nope"}, ("identifier: nope",)),
        ({"weight_decay": "a"}, ("`weight_decay` must be", "'a'")),
    ],
)
def test_arguments_of_an_optimizer(values, says, refuses, tmp_path):
    path = tmp_path / "model.keras"
    _edited(path, lambda _, optimizer: optimizer["config"].update(values), EndToEnd)
    refuses(lambda: keras.models.load_model(path), *says, raises=ERRORS)


@pytest.mark.parametrize(
    "layer, says",
    [
        (lambda: FactorizedDense(5, name="linear"), "shape"),
        (lambda: keras.layers.Dense(3, name="linear"), "expected 2 variables"),
    ],
    ids=["other units", "built-in"],
)
def test_weights_of_another_layer(layer, says, refuses, tmp_path):
    path = tmp_path / "model.weights.h5"
    keras.Sequential([keras.Input((4,)), layer()]).save_weights(path)
    other = keras.Sequential([keras.Input((4,)), FactorizedDense(3, name="linear")])
    refuses(lambda: other.load_weights(path), "linear", says, raises=ERRORS)
