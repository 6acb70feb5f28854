"""The polar factor, against the singular value decomposition, and its polynomials."""

import numpy as np
import pytest
from keras import ops

from tfoverparam.polar_factor import POLYNOMIALS, SMALLEST, polar_factor


def test_each_polynomial_is_the_one_nearest_to_1_on_its_interval():
    low, high = SMALLEST, 1.0
    for a, b, c in POLYNOMIALS:
        # The best of three coefficients deviates by as much, with alternating signs, four times:
        # at the ends and where the derivative a + 3 b x^2 + 5 c x^4 is zero.
        inner = np.sort(np.sqrt(np.roots([5 * c, 3 * b, a])))
        points = np.array([low, *inner, high])
        deviations = 1 - (a * points + b * points**3 + c * points**5)
        assert np.all(np.diff(points) > 0)
        # The coefficients are given to nine decimals.
        expected = deviations[0] * np.array([1, -1, 1, -1])
        assert deviations == pytest.approx(expected, rel=1e-5, abs=1e-8)
        low, high = 1 - abs(deviations[0]), 1 + abs(deviations[0])
    assert high - 1 < 1e-7


@pytest.mark.parametrize("shape", [(1, 1), (40, 40), (70, 40)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_it_is_the_product_of_the_singular_vectors(shape, scale):
    matrix = np.random.default_rng(0).normal(size=shape)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    matrix = (u * np.geomspace(1, 1e-2, len(s))) @ vt
    found = polar_factor(ops.convert_to_tensor((scale * matrix).astype("float32")))
    np.testing.assert_allclose(ops.convert_to_numpy(found), u @ vt, atol=1e-4)


def test_what_is_small_stays_between_0_and_1():
    values = np.array([1, 1e-3, 1e-4, 1e-6, 0])
    found = np.diag(polar_factor(ops.convert_to_tensor(np.diag(values).astype("float32"))))
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert np.all((0 < found[1:4]) & (found[1:4] < 1)) and np.all(np.diff(found) < 0)
    assert found[4] == 0


def test_zero_stays_zero_and_nan_stays_nan():
    np.testing.assert_array_equal(polar_factor(ops.zeros((3, 3))), 0)
    assert np.all(np.isnan(polar_factor(ops.full((3, 3), float("nan")))))
