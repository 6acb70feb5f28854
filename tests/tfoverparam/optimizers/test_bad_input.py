"""The optimizer refuses bad arguments, variables and gradients, and says which."""

import keras
import numpy as np
import pytest
from keras import ops
from tfoverparam import EndToEnd

NAN, INFINITY = float("nan"), float("inf")


def _step(gradients, apply_to=None, shape=(4, 3)):
    variable = keras.Variable(np.ones(shape, "float32"), name="kernel")
    gradients = [ops.ones(shape) for shape in gradients]
    EndToEnd(apply_to=apply_to).apply(gradients, [variable])


# Others are in test_end_to_end_arguments.py.
@pytest.mark.parametrize(
    "arguments, says",
    [
        *(({"depth": value}, "a number >= 1") for value in (INFINITY, 0, True, None)),
        *(({"weight_decay": value}, "a number >= 0") for value in (NAN, INFINITY, "x")),
        ({"apply_to": []}, "or a list of these"),
    ],
)
def test_arguments(arguments, says, refuses):
    ((name, value),) = arguments.items()
    refuses(lambda: EndToEnd(**arguments), f"`{name}` must be", says, repr(value))


def test_weight_decay_inside_and_outside(refuses):
    inner = keras.optimizers.SGD(weight_decay=0.1)
    refuses(lambda: EndToEnd(inner, weight_decay=0.1), "Both `weight_decay`", "set one of them")


@pytest.mark.parametrize(
    "call, says",
    [
        (
            lambda: _step([(4, 3)], apply_to="nothing"),
            ("`apply_to` must name", "'nothing'", "'kernel'"),
        ),
        (lambda: _step([(4, 3)], apply_to=lambda variable: False), ("`apply_to` must name",)),
        (lambda: _step([(4,)], apply_to="kernel", shape=(4,)), ("rank 2 or more",)),
        (lambda: _step([(4, 3), (4, 3)]), ("`grads` must be", "2 for 1")),
        (lambda: _step([(3, 4)]), ("`kernel`", "(4, 3)")),
    ],
    ids=["no such name", "none fits", "vector", "two gradients", "transposed gradient"],
)
def test_variables_and_gradients(call, says, refuses):
    refuses(call, *says)
