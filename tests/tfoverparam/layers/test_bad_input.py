"""Layers refuse bad arguments, shapes and initial values, and say which and what would do."""

import keras
import numpy as np
import pytest
from keras import ops
from tfoverparam import FactorizedConv2D, FactorizedDense

NAN, INFINITY = float("nan"), float("inf")
POSITIVE = "must be a positive integer"


def _constant(value):
    return lambda shape, dtype=None: ops.full((7, 7), value, dtype=dtype)


def _assign(kernel, **arguments):
    layer = FactorizedDense(3, name="linear")
    layer.build((None, 4))
    layer.assign_kernel(kernel, **arguments)


def _ones(*shape):
    return np.ones(shape, "float32")


@pytest.mark.parametrize(
    "arguments, says",
    [
        *(({"units": value}, POSITIVE) for value in (0, -1, "3", 2.0, True, None)),
        *(({"depth": value}, POSITIVE) for value in (0, "2", 2.5, True, NAN)),
        *(({"hidden_units": value}, "positive integer") for value in ("8", 8.5, 0, [0], {"a": 1})),
        ({"hidden_units": [4], "depth": 3}, "one width per hidden layer, 2"),
        ({"seed": 1.5}, "must be an integer"),
        ({"seed": 2**70}, "must be an integer"),
        ({"dtype": "int32"}, "floating point"),
        ({"dtype": "complex64"}, "floating point"),
        ({"dtype": "float33"}, ""),
        *(
            ({name: "nope"}, "identifier: ")
            for name in (
                "kernel_initializer",
                "factor_initializer",
                "activation",
                "kernel_regularizer",
            )
        ),
        ({"hiden_units": 2}, "hiden_units"),
    ],
)
def test_arguments(arguments, says, refuses):
    message = str(refuses(lambda: FactorizedDense(**{"units": 3, **arguments}), says))
    (name, value), *_ = arguments.items()
    assert repr(value) in message or str(value) in message
    assert name in message or value in ("nope", "float33")


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"filters": "3"}, (POSITIVE, "'3'")),
        ({"kernel_size": 0}, ("0",)),
        ({"groups": 3}, ("evenly divisible",)),
        ({"padding": "x"}, ("'same'",)),
        ({"hidden_filters": [1, 2]}, ("one width per hidden layer",)),
    ],
)
def test_arguments_of_a_convolution(arguments, says, refuses):
    every = {"filters": 4, "kernel_size": 3, **arguments}
    refuses(lambda: FactorizedConv2D(**every), *arguments, *says)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: FactorizedDense(3).build((2, None)), ("must be known",)),
        (lambda: FactorizedDense(3)(_ones(2, 0)), ("positive", "(2, 0)")),
        (lambda: FactorizedDense(3)(_ones(4)), ("min_ndim=2", "(4,)")),
        (lambda: FactorizedConv2D(3, 3)(_ones(2, 4)), ("ndim=4", "(2, 4)")),
        (
            lambda: FactorizedConv2D(4, 3, groups=2)(_ones(1, 5, 5, 3)),
            ("evenly divisible", "groups=2"),
        ),
        (lambda: FactorizedConv2D(4, 5)(_ones(1, 3, 3, 1)), ("output size would be", "negative")),
    ],
    ids=["unknown", "no features", "vector", "matrix for images", "groups", "small image"],
)
def test_shapes(call, says, refuses):
    refuses(call, *says)


@pytest.mark.parametrize("name", ["kernel_initializer", "factor_initializer"])
def test_initial_values_of_another_shape(name, refuses):
    layer = FactorizedDense(3, name="linear", **{name: _constant(1.0)})
    refuses(lambda: layer.build((None, 4)), "initializer of `linear`", "must have the shape")


def test_initial_values_that_are_not_finite(refuses):
    layer = FactorizedDense(3, kernel_initializer=keras.initializers.Constant(NAN))
    refuses(lambda: layer.build((None, 4)), "`kernel` must hold finite")


@pytest.mark.parametrize(
    "kernel, arguments, says",
    [
        (np.full((4, 3), NAN), {}, ("linear", "finite")),
        (np.full((4, 3), INFINITY), {"balanced": False}, ("linear", "finite")),
        (_ones(3, 4), {}, ("`kernel`", "(4, 3)")),
        (None, {}, ("`kernel` must be a tensor", "None")),
    ],
    ids=["NaN", "infinity", "transposed", "None"],
)
def test_kernels_that_are_assigned(kernel, arguments, says, refuses):
    refuses(lambda: _assign(kernel, **arguments), *says)
