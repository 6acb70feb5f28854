"""Bad inputs of `keras.models.load_model`: files that are damaged, tampered with, or carry code."""

import functools
import json
import pathlib
import tempfile
import zipfile

import keras
import numpy as np

from tests.reliability.inputs.bad_input import BadInput, written
from tfoverparam import EndToEnd, FactorizedDense

DAMAGED, CODE = ".keras files: damaged", ".keras files: with code"
TAMPERED = ".keras files: tampered with"
ERRORS = (ValueError, TypeError, zipfile.BadZipFile)  # the last is Keras's answer to some


def _saved(folder, layer=None, optimizer="sgd", more=()):
    """The path of a model that has made a step."""
    layer = layer or FactorizedDense(3, name="linear")
    model = keras.Sequential([keras.Input((4,)), layer, *more])
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 3)))
    model.save(folder / "model.keras")
    return folder / "model.keras"


@functools.cache
def _content(optimizer):
    """The file of a model with an optimizer of this class."""
    with tempfile.TemporaryDirectory() as folder:
        return _saved(pathlib.Path(folder), optimizer=optimizer()).read_bytes()


def _damaged(what, damage, *says):
    def give(folder):
        content = damage(_content(keras.optimizers.SGD))
        keras.models.load_model(written(folder / "model.keras", content))

    return BadInput(DAMAGED, what, give, says, ERRORS)


def _edited(kind, what, edit, *says, optimizer=keras.optimizers.SGD):
    """`edit` changes the file's description of the model: the layer's part, the optimizer's."""

    def give(folder):
        path = written(folder / "model.keras", _content(optimizer))
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(files["config.json"])
        edit(config["config"]["layers"][1], config["compile_config"]["optimizer"])
        files["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        keras.models.load_model(path)

    return BadInput(kind, what, give, says, ERRORS)


def _of_layer(**values):
    return lambda layer, optimizer: layer["config"].update(values)


def _of_optimizer(**values):
    return lambda layer, optimizer: optimizer["config"].update(values)


def _function(module, name):
    """What a file says where it means a function of a module."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _class(function):
    """The same where it means a class."""
    name = function["config"]
    return {"module": function["module"], "class_name": name, "registered_name": name}


def _run(inputs):
    open("ran", "w").close()
    return inputs


def _lambda_beside(folder):
    path = _saved(folder, more=[keras.layers.Lambda(lambda x: _run(x))])
    (folder / "ran").unlink()  # which the model made when it was called
    keras.models.load_model(path)


def _lambda_activation(folder):
    path = _saved(folder, FactorizedDense(3, activation=lambda x: _run(x)))
    (folder / "ran").unlink()
    keras.models.load_model(path)


def _lambda_predicate(folder):
    path = _saved(folder, optimizer=EndToEnd(apply_to=lambda variable: _run(True)))
    (folder / "ran").unlink()
    keras.models.load_model(path)


def _weights_of(layer):
    def give(folder):
        model = keras.Sequential([keras.Input((4,)), layer()])
        model.save_weights(folder / "model.weights.h5")
        other = keras.Sequential([keras.Input((4,)), FactorizedDense(3, name="linear")])
        other.load_weights(folder / "model.weights.h5")

    return give


CASES = [
    _damaged("an empty file", lambda content: b"", "model.keras", ".keras` zip file"),
    _damaged("half a file", lambda content: content[: len(content) // 2], "model.keras"),
    _damaged("something else", lambda content: b"<html>log in</html>" * 9, "model.keras"),
    _damaged(
        "a byte of the description",
        lambda content: content.replace(b"FactorizedDense", b"FactorizedDensf", 1),
        "config.json",
    ),
    BadInput(
        DAMAGED,
        "no file",
        lambda folder: keras.models.load_model(folder / "model.keras"),
        ("model.keras",),
    ),
    BadInput(CODE, "a `Lambda` beside", _lambda_beside, ("lambda", "disallowed"), ERRORS),
    BadInput(CODE, "a lambda for activation", _lambda_activation, ("activation function",), ERRORS),
    BadInput(CODE, "a lambda for `apply_to`", _lambda_predicate, ("lambda", "disallowed"), ERRORS),
    *(
        _edited(CODE, f"{module}.{name} {where}", edit(_function(module, name)), module)
        for module, name in (("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"))
        for where, edit in (
            ("for activation", lambda f: _of_layer(activation=f)),
            ("for an initializer", lambda f: _of_layer(kernel_initializer=f)),
            ("for a layer", lambda f: lambda layer, _: layer.update(_class(f))),
        )
    ),
    *(
        _edited(
            CODE,
            f"{module}.{name} for `apply_to`",
            _of_optimizer(apply_to=[_function(module, name)]),
            name,
            optimizer=EndToEnd,
        )
        for module, name in (("os", "system"), ("builtins", "exec"))
    ),
    _edited(TAMPERED, "depth 'x'", _of_layer(depth="x"), "`depth` must be", "'x'"),
    _edited(TAMPERED, "-1 units", _of_layer(units=-1), "`units` must be", "-1"),
    _edited(TAMPERED, "hidden units 'a'", _of_layer(hidden_units="a"), "`hidden_units` must be"),
    _edited(TAMPERED, "a seed that is a list", _of_layer(seed=[1]), "`seed` must be"),
    _edited(TAMPERED, "an unknown argument", _of_layer(foo=1), "foo"),
    _edited(TAMPERED, "other units", _of_layer(units=5), "linear", "shape"),
    *(
        _edited(TAMPERED, f"optimizer, {what}", _of_optimizer(**values), *says, optimizer=EndToEnd)
        for what, values, says in (
            ("depth 'x'", {"depth": "x"}, ("`depth` must be", "'x'")),
            ("apply_to 3", {"apply_to": [3]}, ("`apply_to` must be", "[3]")),
            ("an unknown one inside", {"inner_optimizer": "nope"}, ("identifier: nope",)),
            ("weight decay 'a'", {"weight_decay": "a"}, ("`weight_decay` must be", "'a'")),
        )
    ),
    *(
        BadInput(TAMPERED, f"weights of {what}", _weights_of(layer), ("linear", *says))
        for what, layer, says in (
            ("other units", lambda: FactorizedDense(5, name="linear"), ("shape",)),
            ("a Dense layer", lambda: keras.layers.Dense(3, name="linear"), ("variables",)),
        )
    ),
]
