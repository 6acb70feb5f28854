"""Conversion, callback and mathematics refuse bad input, and say which and what would do."""

import keras
import numpy as np
import pytest
from keras import ops
from tfoverparam import (
    BalanceMonitor,
    FactorizedDense,
    collapse,
    matrix_functions,
    overparameterize,
    summary,
)
from tfoverparam.initializers import NearIdentity, NearZero

NAN, EYE = float("nan"), np.eye(2, dtype="float32")
POSITIVE = "must be a positive integer"


def _model(*layers):
    return keras.Sequential([keras.Input((4,)), *layers], name="mine")


def _diverged():
    model = _model(keras.layers.Dense(3, name="linear"))
    model.layers[0].kernel.assign(np.full((4, 3), NAN))
    return model


@pytest.mark.parametrize("value", [3, None])
@pytest.mark.parametrize("function", [overparameterize, collapse, summary])
def test_what_is_no_model(function, value, refuses):
    refuses(lambda: function(value), "`model` must be", repr(value))


@pytest.mark.parametrize("function", [overparameterize, collapse])
def test_models_that_are_not_built(function, refuses):
    model = keras.Sequential([keras.layers.Dense(3)])
    refuses(lambda: function(model), "is not built", "Call it")


def test_the_summary_of_a_layer_that_is_not_built(refuses):
    model = keras.Sequential([FactorizedDense(3, name="linear")])
    refuses(lambda: summary(model), "`linear` is not built")


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"depth": 0}, ("`depth`", POSITIVE)),
        ({"filter": 3}, ("`filter` must be", "3")),
        ({"filter": lambda _: False}, ("there is none", "`mine`")),
        ({"hidden_units": 2}, ("`hidden_units`", "at least 3")),
        ({"hidden_units": [3, 3]}, ("one width per hidden",)),
    ],
    ids=["depth", "filter", "filter that takes nothing", "narrow", "too many widths"],
)
def test_arguments_of_a_conversion(arguments, says, refuses):
    refuses(lambda: overparameterize(_model(keras.layers.Dense(3)), **arguments), *says)


@pytest.mark.parametrize(
    "model, says",
    [
        (lambda: _model(keras.layers.ReLU()), ("nothing to factorize", "`mine`")),
        (
            lambda: _model(keras.layers.Dense(3, kernel_constraint="non_neg")),
            ("nothing to factorize", "`mine`"),
        ),
        (
            lambda: overparameterize(_model(keras.layers.Dense(3)), verbose=0),
            ("is factorized already", "`mine`"),
        ),
        (_diverged, ("linear/kernel` must hold finite", "go back to weights")),
    ],
    ids=["nothing linear", "constraint", "factorized already", "NaN"],
)
@pytest.mark.filterwarnings("ignore:Kernels that cannot be factorized")
def test_models_that_cannot_be_converted(model, says, refuses):
    refuses(lambda: overparameterize(model()), *says)


@pytest.mark.parametrize("every", [0, "x", True, 1.5])
def test_how_often_the_callback_looks(every, refuses):
    refuses(lambda: BalanceMonitor(every=every), "`every`", POSITIVE, repr(every))


def test_other_arguments_of_the_callback(refuses, tmp_path):
    refuses(lambda: BalanceMonitor(budget=-1), "`budget`", POSITIVE, "-1")
    refuses(lambda: BalanceMonitor(log_dir=3), "`log_dir` must be a path")
    (tmp_path / "file").write_text("x")
    refuses(lambda: BalanceMonitor(log_dir=tmp_path / "file"), "`log_dir` must be a folder")


def test_a_callback_that_has_nothing_to_look_at(refuses):
    model = _model(keras.layers.Dense(3))
    model.compile("sgd", "mse", jit_compile=False)
    given = {"x": np.ones((2, 4)), "y": np.ones((2, 3)), "verbose": 0}
    refuses(lambda: model.fit(**given, callbacks=[BalanceMonitor()]), "no factori")


@pytest.mark.parametrize(
    "function, arguments, says",
    [
        ("end_to_end_kernel", ([],), ("needs at least one matrix",)),
        ("end_to_end_kernel", ([np.ones((2, 3))] * 2,), ("must fit", "(2, 3), (2, 3)")),
        ("imbalance", ([EYE, np.eye(3)],), ("must fit", "(3, 3)")),
        ("balanced_factors", (EYE, "2"), ("`depth`", "'2'")),
        ("balanced_factors", (EYE, 3, [2]), ("one width per hidden layer",)),
        (
            "balanced_factors",
            (np.ones((2, 2, 2, 2)), 2),
            ("`kernel` must be a matrix", "(2, 2, 2, 2)"),
        ),
        (
            "balanced_factors",
            (np.ones((2, 2), "int32"), 2),
            ("`kernel`", "floating point", "int32"),
        ),
        ("balanced_factors", (NAN * EYE, 2), ("`kernel` must hold finite",)),
        ("end_to_end_direction", (EYE, EYE, 0), ("`depth` must be a number >= 1",)),
        (
            "end_to_end_direction",
            (EYE, np.ones((3, 2)), 2),
            ("gradient must have the shape (2, 2)", "(3, 2)"),
        ),
        (
            "end_to_end_direction",
            (EYE.astype("float16"), EYE.astype("float16"), 3),
            ("float32 or float64", "float16"),
        ),
        ("preconditioner_eigenvalues", (EYE, 2), ("`singular_values` must be a vector",)),
    ],
)
def test_matrix_functions(function, arguments, says, refuses):
    def tensors(each):
        if isinstance(each, list) and each and isinstance(each[0], np.ndarray):
            return list(map(ops.convert_to_tensor, each))
        return ops.convert_to_tensor(each) if isinstance(each, np.ndarray) else each

    refuses(lambda: getattr(matrix_functions, function)(*map(tensors, arguments)), *says)


def test_initializers(refuses):
    refuses(lambda: NearZero(stddev=-1), "`stddev` must be", "-1")
    refuses(lambda: NearZero(stddev=NAN), "`stddev` must be", "nan")
    refuses(lambda: NearIdentity()((2, 2, 2)), "`NearIdentity`", "(2, 2, 2)")
