"""Bad inputs of the library: arguments of layers, optimizer, conversion, callback, mathematics."""

import keras
import numpy as np
from keras import ops

from tests.reliability.inputs.bad_input import BadInput, written
from tfoverparam import (
    BalanceMonitor,
    EndToEnd,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    matrix_functions,
    overparameterize,
    summary,
)
from tfoverparam.initializers import NearIdentity, NearZero

NAN, INFINITY = float("nan"), float("inf")
LAYERS, KERNELS = "layers: arguments", "layers: shapes, initial values, kernels"
OPTIMIZER, VARIABLES = "optimizer: arguments", "optimizer: variables and gradients"
CONVERSION = "overparameterize, collapse, summary"
CALLBACK, MATHEMATICS = "callback", "matrix functions and initializers"


def _case(kind, what, call, *says):
    return BadInput(kind, what, lambda folder: call(), says)


def _dense(*says, **arguments):
    what = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return _case(
        LAYERS, what, lambda: FactorizedDense(**{"units": 3, **arguments}), *arguments, *says
    )


def _conv(*says, **arguments):
    what = "convolution, " + ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    every = {"filters": 4, "kernel_size": 3, **arguments}
    return _case(LAYERS, what, lambda: FactorizedConv2D(**every), *arguments, *says)


def _end_to_end(*says, **arguments):
    what = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return _case(OPTIMIZER, what, lambda: EndToEnd(**arguments), *says)


def _ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


def _constant(value):
    return lambda shape, dtype=None: ops.full((7, 7), value, dtype=dtype)


def _assign(kernel, **arguments):
    layer = FactorizedDense(3, name="linear")
    layer.build((None, 4))
    layer.assign_kernel(kernel, **arguments)


def _step(gradients, apply_to=None, shape=(4, 3)):
    variable = keras.Variable(_ones(*shape), name="kernel")
    gradients = [ops.convert_to_tensor(each) for each in gradients]
    EndToEnd(apply_to=apply_to).apply(gradients, [variable])


def _model(*layers):
    return keras.Sequential([keras.Input((4,)), *layers], name="mine")


def _nan_model():
    model = _model(keras.layers.Dense(3, name="linear"))
    model.layers[0].kernel.assign(np.full((4, 3), NAN))
    return model


def _fit(monitor):
    model = _model(keras.layers.Dense(3))
    model.compile("sgd", "mse")
    model.fit(_ones(2, 4), _ones(2, 3), verbose=0, callbacks=[monitor])


EYE = ops.eye(2)
POSITIVE = "must be a positive integer"

CASES = [
    *(_dense(POSITIVE, repr(value), units=value) for value in (0, -1, "3", 2.0, True, None)),
    *(_dense(POSITIVE, repr(value), depth=value) for value in (0, "2", 2.5, True, NAN)),
    *(
        _dense("positive integer", repr(value), hidden_units=value)
        for value in ("8", 8.5, 0, [0], {"a": 1})
    ),
    _dense("one width per hidden layer, 2", depth=3, hidden_units=[4]),
    _dense("must be an integer", "1.5", seed=1.5),
    _dense("must be an integer", seed=2**70),
    _dense("floating point", "int32", dtype="int32"),
    _dense("floating point", "complex64", dtype="complex64"),
    _case(LAYERS, "dtype='float33'", lambda: FactorizedDense(3, dtype="float33"), "float33"),
    *(
        _case(
            LAYERS,
            f"{name}='nope'",
            lambda name=name: FactorizedDense(3, **{name: "nope"}),
            "identifier: nope",
        )
        for name in ("kernel_initializer", "factor_initializer", "activation", "kernel_regularizer")
    ),
    _case(LAYERS, "a misspelt argument", lambda: FactorizedDense(3, hiden_units=2), "hiden_units"),
    _conv(POSITIVE, "'3'", filters="3"),
    _conv("0", kernel_size=0),
    _conv("evenly divisible", groups=3),
    _conv("'same'", padding="x"),
    _conv("one width per hidden layer", hidden_filters=[1, 2]),
    _case(KERNELS, "an unknown size", lambda: FactorizedDense(3).build((2, None)), "must be known"),
    _case(KERNELS, "no features", lambda: FactorizedDense(3)(_ones(2, 0)), "positive", "(2, 0)"),
    _case(KERNELS, "a vector", lambda: FactorizedDense(3)(_ones(4)), "min_ndim=2", "(4,)"),
    _case(
        KERNELS,
        "a matrix for images",
        lambda: FactorizedConv2D(3, 3)(_ones(2, 4)),
        "ndim=4",
        "(2, 4)",
    ),
    _case(
        KERNELS,
        "channels that groups do not divide",
        lambda: FactorizedConv2D(4, 3, groups=2)(_ones(1, 5, 5, 3)),
        "evenly divisible",
        "groups=2",
    ),
    _case(
        KERNELS,
        "an image smaller than the window",
        lambda: FactorizedConv2D(4, 5)(_ones(1, 3, 3, 1)),
        "zero or negative",
    ),
    *(
        _case(
            KERNELS,
            f"a {name} of another shape",
            lambda name=name: FactorizedDense(3, name="linear", **{name: _constant(1.0)}).build(
                (None, 4)
            ),
            "initializer of `linear`",
            "must have the shape",
        )
        for name in ("kernel_initializer", "factor_initializer")
    ),
    _case(
        KERNELS,
        "initial values that are NaN",
        lambda: FactorizedDense(3, kernel_initializer=keras.initializers.Constant(NAN)).build(
            (None, 4)
        ),
        "`kernel` must hold finite",
    ),
    _case(KERNELS, "a kernel of NaN", lambda: _assign(np.full((4, 3), NAN)), "`linear`", "finite"),
    _case(
        KERNELS,
        "a kernel of infinities, unbalanced",
        lambda: _assign(np.full((4, 3), INFINITY), balanced=False),
        "`linear`",
        "finite",
    ),
    _case(KERNELS, "a transposed kernel", lambda: _assign(_ones(3, 4)), "`kernel`", "(4, 3)"),
    _case(KERNELS, "None for a kernel", lambda: _assign(None), "`kernel` must be a tensor", "None"),
    *(
        _end_to_end("`depth` must be a number >= 1", repr(value), depth=value)
        for value in (NAN, INFINITY, "2", 0, 0.5, True, None)
    ),
    *(
        _end_to_end("`weight_decay` must be", repr(value), weight_decay=value)
        for value in (NAN, INFINITY, -1, "x")
    ),
    _end_to_end("`refresh_every` must be a positive", "1.5", refresh_every=1.5),
    _end_to_end("optimizer identifier: nope", inner_optimizer="nope"),
    _end_to_end("`inner_optimizer` must be", "None", inner_optimizer=None),
    _case(OPTIMIZER, "itself inside", lambda: EndToEnd(EndToEnd()), "other than EndToEnd"),
    _end_to_end("`apply_to` must be", "3", apply_to=3),
    _end_to_end("`apply_to` must be", "[]", apply_to=[]),
    _end_to_end("`learning_rate` is an argument of the inner", learning_rate=0.1),
    _end_to_end("not recognized", "foo", foo=1),
    _case(
        OPTIMIZER,
        "weight decay inside and outside",
        lambda: EndToEnd(keras.optimizers.SGD(weight_decay=0.1), weight_decay=0.1),
        "Both `weight_decay`",
        "set one of them",
    ),
    _case(
        VARIABLES,
        "a name that no variable has",
        lambda: _step([_ones(4, 3)], apply_to="nothing"),
        "`apply_to` must name",
        "'nothing'",
        "'kernel'",
    ),
    _case(
        VARIABLES,
        "a predicate that none fits",
        lambda: _step([_ones(4, 3)], apply_to=lambda variable: False),
        "`apply_to` must name",
    ),
    _case(
        VARIABLES,
        "a vector by name",
        lambda: _step([_ones(4)], apply_to="kernel", shape=(4,)),
        "rank 2 or more",
    ),
    _case(VARIABLES, "a gradient too few", lambda: _step([]), "`grads` must be", "0 for 1"),
    _case(VARIABLES, "a transposed gradient", lambda: _step([_ones(3, 4)]), "`kernel`", "(4, 3)"),
    *(
        _case(
            CONVERSION,
            f"{function.__name__}({value!r})",
            lambda function=function, value=value: function(value),
            "`model` must be",
            repr(value),
        )
        for function in (overparameterize, collapse, summary)
        for value in (3, None)
    ),
    *(
        _case(
            CONVERSION,
            f"{function.__name__} of a model that is not built",
            lambda function=function: function(keras.Sequential([keras.layers.Dense(3)])),
            "is not built",
            "Call it",
        )
        for function in (overparameterize, collapse)
    ),
    _case(
        CONVERSION,
        "summary of a layer that is not built",
        lambda: summary(keras.Sequential([FactorizedDense(3, name="linear")])),
        "`linear` is not built",
    ),
    *(
        _case(
            CONVERSION,
            what,
            lambda arguments=arguments: overparameterize(
                _model(keras.layers.Dense(3)), **arguments
            ),
            *says,
        )
        for what, arguments, says in (
            ("depth 0", {"depth": 0}, ("`depth`", POSITIVE)),
            ("a filter that is a number", {"filter": 3}, ("`filter` must be", "3")),
            ("a filter that takes nothing", {"filter": lambda _: False}, ("there is none", "`mine`")),
            ("hidden layers too narrow", {"hidden_units": 2}, ("`hidden_units`", "at least 3")),
            ("a width too many", {"hidden_units": [3, 3]}, ("one width per hidden",)),
        )
    ),
    _case(
        CONVERSION,
        "a model with nothing to replace",
        lambda: overparameterize(_model(keras.layers.ReLU())),
        "nothing to factorize",
        "`mine`",
    ),
    _case(
        CONVERSION,
        "a constraint on the only kernel",
        lambda: overparameterize(_model(keras.layers.Dense(3, kernel_constraint="non_neg"))),
        "nothing to factorize",
        "`mine`",
    ),
    _case(
        CONVERSION,
        "a model that is factorized already",
        lambda: overparameterize(
            overparameterize(_model(keras.layers.Dense(3)), verbose=0), verbose=0
        ),
        "is factorized already",
        "`mine`",
    ),
    _case(
        CONVERSION,
        "a model whose training diverged",
        lambda: overparameterize(_nan_model()),
        "linear/kernel` must hold finite",
        "go back to weights",
    ),
    *(
        _case(CALLBACK, f"every={v!r}", lambda v=v: BalanceMonitor(every=v), "`every`", POSITIVE)
        for v in (0, "x", True, 1.5)
    ),
    _case(CALLBACK, "budget=-1", lambda: BalanceMonitor(budget=-1), "`budget`", POSITIVE, "-1"),
    _case(CALLBACK, "log_dir=3", lambda: BalanceMonitor(log_dir=3), "`log_dir` must be a path"),
    BadInput(
        CALLBACK,
        "a file for a log folder",
        lambda folder: BalanceMonitor(log_dir=written(folder / "file", "x")),
        ("`log_dir` must be a folder",),
    ),
    _case(CALLBACK, "nothing factorized", lambda: _fit(BalanceMonitor()), "no factorized kernel"),
    *(
        _case(MATHEMATICS, what, call, *says)
        for what, call, says in (
            (
                "no factor",
                lambda: matrix_functions.end_to_end_kernel([]),
                ("needs at least one matrix",),
            ),
            (
                "factors that do not fit",
                lambda: matrix_functions.end_to_end_kernel([_ones(2, 3), _ones(2, 3)]),
                ("must fit", "(2, 3), (2, 3)"),
            ),
            (
                "the imbalance of what does not fit",
                lambda: matrix_functions.imbalance([EYE, ops.eye(3)]),
                ("must fit", "(3, 3)"),
            ),
            ("depth '2'", lambda: matrix_functions.balanced_factors(EYE, "2"), ("`depth`", "'2'")),
            (
                "a width too few",
                lambda: matrix_functions.balanced_factors(EYE, 3, [2]),
                ("one width per hidden layer",),
            ),
            (
                "four axes",
                lambda: matrix_functions.balanced_factors(ops.ones((2, 2, 2, 2)), 2),
                ("`kernel` must be a matrix, or a stack", "(2, 2, 2, 2)"),
            ),
            (
                "integers",
                lambda: matrix_functions.balanced_factors(ops.ones((2, 2), dtype="int32"), 2),
                ("`kernel`", "floating point", "int32"),
            ),
            (
                "NaN",
                lambda: matrix_functions.balanced_factors(NAN * EYE, 2),
                ("`kernel` must hold finite",),
            ),
            (
                "a rule of depth 0",
                lambda: matrix_functions.end_to_end_direction(EYE, EYE, 0),
                ("`depth` must be a number >= 1",),
            ),
            (
                "a gradient of another shape",
                lambda: matrix_functions.end_to_end_direction(EYE, ops.ones((3, 2)), 2),
                ("gradient must have the shape (2, 2)", "(3, 2)"),
            ),
            (
                "half precision",
                lambda: matrix_functions.end_to_end_direction(
                    ops.cast(EYE, "float16"), ops.cast(EYE, "float16"), 3
                ),
                ("float32 or float64", "float16"),
            ),
            (
                "a matrix of singular values",
                lambda: matrix_functions.preconditioner_eigenvalues(EYE, 2),
                ("`singular_values` must be a vector",),
            ),
            ("a deviation below 0", lambda: NearZero(stddev=-1), ("`stddev` must be", "-1")),
            ("a deviation of NaN", lambda: NearZero(stddev=NAN), ("`stddev` must be", "nan")),
            (
                "an identity of three axes",
                lambda: NearIdentity()((2, 2, 2)),
                ("`NearIdentity`", "(2, 2, 2)"),
            ),
        )
    ),
]
