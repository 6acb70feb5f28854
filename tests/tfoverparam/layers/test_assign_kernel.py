"""Factors of a given kernel, balanced or not, in both layers."""

import functools

import numpy as np
import pytest
from tfoverparam import FactorizedConv2D, FactorizedDense

EPSILON = float(np.finfo("float32").eps)


def dense(rows, columns, **arguments):
    layer = FactorizedDense(columns, **arguments)
    layer.build((None, rows))
    return layer


def convolution(rows, columns, hidden_units=None, **arguments):
    layer = FactorizedConv2D(columns, (1, 2), hidden_filters=hidden_units, **arguments)
    layer.build((None, 4, 4, rows // 2))
    return layer


@pytest.mark.parametrize("make", [dense, convolution])
@pytest.mark.parametrize("rows, columns", [(6, 4), (4, 6), (2, 1)])
@pytest.mark.parametrize("depth, hidden_units", [(1, None), (2, None), (3, [8, 7])])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_product_is_the_kernel(make, rows, columns, depth, hidden_units, balanced):
    layer = make(rows, columns, depth=depth, hidden_units=hidden_units)
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape).astype("float32")
    layer.assign_kernel(kernel, balanced=balanced)
    factors = [np.asarray(factor).astype("float64") for factor in layer.factors]
    found = functools.reduce(np.matmul, factors).reshape(kernel.shape)
    if balanced:
        assert np.linalg.norm(found - kernel) <= 8 * depth * EPSILON * np.linalg.norm(kernel)
        assert float(layer.imbalance()) <= 16 * EPSILON
    else:
        np.testing.assert_array_equal(found, kernel)
        assert depth == 1 or float(layer.imbalance()) > 0.1


def test_layers_do_not_share_their_rotations():
    one, other = dense(4, 4), dense(4, 4)
    for layer in (one, other):
        layer.assign_kernel(np.eye(4))
    assert np.abs(np.asarray(one.factors[0]) - np.asarray(other.factors[0])).max() > 0.1


def test_a_narrow_layer_takes_the_best_approximation():
    layer = dense(4, 4, hidden_units=2)
    layer.assign_kernel(np.diag([4.0, 3.0, 2.0, 1.0]))
    np.testing.assert_allclose(layer.kernel, np.diag([4.0, 3.0, 0.0, 0.0]), atol=1e-5)
    with pytest.raises(ValueError, match=r"at least 4 wide.*Received: widths=\[2\]"):
        layer.assign_kernel(np.eye(4), balanced=False)


def test_errors():
    with pytest.raises(AttributeError, match="build the layer before accessing `assign_kernel"):
        FactorizedDense(4).assign_kernel(np.eye(4))
    with pytest.raises(ValueError, match=r"must have the shape \(4, 4\).*shape \(3, 4\)"):
        dense(4, 4).assign_kernel(np.eye(3, 4))
