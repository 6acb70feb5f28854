"""Checks of arguments: what they take, against an oracle, and that they say what they refuse."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tfoverparam import EndToEnd, FactorizedDense, matrix_functions
from tfoverparam.arguments import (
    check_chain,
    check_finite,
    check_shape,
    checked_hidden_widths,
    hidden_widths,
)

QUICK = settings(deadline=None, max_examples=60, derandomize=True)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 5),
    st.floats(),
    st.text(max_size=2),
    st.lists(st.integers(-1, 4) | st.booleans(), max_size=4),
)


@QUICK
@given(shapes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=4))
def test_matrices_fit_where_numpy_multiplies_them(shapes):
    matrices = [np.ones(shape) for shape in shapes]
    try:
        product = np.linalg.multi_dot([*matrices, np.eye(shapes[-1][1])])
    except (ValueError, IndexError):
        with pytest.raises(ValueError, match="Matrices must fit|at least one matrix"):
            check_chain(matrices)
    else:
        check_chain(matrices)
        assert matrix_functions.end_to_end_kernel(matrices).shape == product.shape


@QUICK
@given(hidden=anything, depth=st.integers(1, 4), rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_hidden_widths_are_one_positive_integer_per_hidden_layer(hidden, depth, rows, columns):
    try:
        widths = hidden_widths(checked_hidden_widths("width", hidden, depth), depth, rows, columns)
    except ValueError as error:
        assert "`width` must" in str(error) and repr(hidden) in str(error)
        return
    assert len(widths) == depth - 1 and all(type(width) is int and width > 0 for width in widths)
    layer = FactorizedDense(columns, depth, hidden, factor_initializer="zeros")
    layer.build((None, rows))
    dims = [rows, *widths, columns]
    assert [tuple(factor.shape) for factor in layer.factors] == list(zip(dims[:-1], dims[1:]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value):
    check_finite("`x`", np.zeros(3))
    with pytest.raises(ValueError, match="`x` must hold finite numbers"):
        check_finite("`x`", np.array([0.0, value]))


def test_sizes_that_are_not_known_fit_any():
    check_shape("x", keras.KerasTensor((None, 3)), (2, 3))
    check_chain([keras.KerasTensor((None, None, 3)), keras.KerasTensor((3, None))])
    check_finite("x", keras.KerasTensor((2, 3)))
    with pytest.raises(ValueError, match=r"x must have the shape \(2, 3\). Received: \(None, 4\)"):
        check_shape("x", keras.KerasTensor((None, 4)), (2, 3))


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (40, 40)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_rule_gives_nan_where_a_kernel_is_not_finite(depth, shape, value):
    kernel = ops.full(shape, value)
    direction = matrix_functions.end_to_end_direction(kernel, ops.ones(shape), depth)
    assert np.isnan(ops.convert_to_numpy(direction)).all()


def test_a_training_that_diverged_goes_on_as_it_does_in_keras():
    stop = keras.callbacks.TerminateOnNaN()
    start = keras.initializers.Constant(float("nan"))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=start)])
    model.compile(EndToEnd(depth=3), "mse", jit_compile=False)
    x, y = np.ones((4, 4), "float32"), np.ones((4, 3), "float32")
    losses = model.fit(x, y, batch_size=2, verbose=0, callbacks=[stop]).history["loss"]
    assert len(losses) == 1 and np.isnan(losses).all()
