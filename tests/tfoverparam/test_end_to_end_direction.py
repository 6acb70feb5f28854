"""Equation 10 and its relatives, against the explicit sums in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from tfoverparam import matrix_functions
from tfoverparam.matrix_functions import end_to_end_direction, preconditioner_eigenvalues


def power(gram, exponent):
    """A real power of a symmetric matrix, with 0^0 = 1 and eigenvalues at rounding level zero."""
    values, vectors = np.linalg.eigh(gram)
    values = np.where(values < 1e-11 * values.max(), 0.0, values)
    return (vectors * values**exponent) @ vectors.T


def equation_10(kernel, gradient, depth):
    """The sum as it is written, for integer depths."""
    left, right = kernel @ kernel.T, kernel.T @ kernel
    return sum(
        power(left, (j - 1) / depth) @ gradient @ power(right, (depth - j) / depth)
        for j in range(1, depth + 1)
    )


def by_kronecker(kernel, gradient, depths):
    """Claim 1's preconditioner by its explicit eigenvectors, a matrix of size (d k) x (d k)."""
    u, s, vt = np.linalg.svd(kernel)
    left, right = np.zeros(len(u)), np.zeros(len(vt))
    left[: len(s)] = right[: len(s)] = np.where(s < 1e-11 * s.max(), 0.0, s)
    vectors = np.kron(u, vt.T)
    eigenvalues = np.stack([claim_1(left, right, depth).ravel() for depth in depths], axis=1)
    directions = vectors @ (eigenvalues * (vectors.T @ gradient.ravel())[:, None])
    return dict(zip(depths, directions.T.reshape(-1, *kernel.shape)))


def claim_1(left, right, depth):
    a, b = left[:, None] ** (2 / depth), right[None, :] ** (2 / depth)
    close = np.isclose(a, b, rtol=1e-9, atol=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        quotients = (left[:, None] ** 2 - right[None, :] ** 2) / (a - b)
    return np.where(close, depth * np.sqrt(a * b) ** (depth - 1), quotients)


def random_matrix(rng, shape, rank, span):
    """Of that rank, its non-zero singular values spread over `span`, of a random overall size."""
    u = np.linalg.qr(rng.normal(size=(shape[0], rank)))[0]
    v = np.linalg.qr(rng.normal(size=(shape[1], rank)))[0]
    values = np.exp(rng.uniform(-np.log(span), 0, rank))
    return 10 ** rng.uniform(-2, 1) * (u * values) @ v.T


def relative_error(found, expected):
    found = ops.convert_to_numpy(found).astype("float64")
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def direction(kernel, gradient, depth, dtype):
    kernel, gradient = (ops.convert_to_tensor(each.astype(dtype)) for each in (kernel, gradient))
    return end_to_end_direction(kernel, gradient, depth)


# The tolerance is that of the format times what a fractional power of a Gram matrix amplifies.
@pytest.mark.parametrize(
    "dtype, span, tolerances",
    [
        ("float32", 1e2, {1: 2e-5, 1.5: 2e-5, 2: 2e-5, 3: 2e-5, 4: 2e-4, 8: 2e-4}),
        pytest.param(
            "float64", 1e4, dict.fromkeys((1, 1.5, 2, 3, 4, 8), 1e-9), marks=pytest.mark.float64
        ),
    ],
)
@pytest.mark.parametrize("largest", [20, pytest.param(64, marks=pytest.mark.slow)])
def test_direction_of_matrices_of_every_shape_and_rank(dtype, span, tolerances, largest):
    if dtype == "float32" and keras.backend.backend() != "tensorflow":
        # LAPACK's decomposition, which other backends use, mixes the smallest singular vectors
        # with those of zero by more than Eigen's: 6e-5 is the largest error that was measured.
        tolerances = {depth: max(tolerance, 1e-4) for depth, tolerance in tolerances.items()}
    rng = np.random.default_rng(0)
    for _ in range(42):  # times two formats and six depths: 504 cases
        shape = rng.integers(1, largest + 1, 2)
        # The reference is not rounded to the format: there, a matrix of low rank would have full
        # rank, with singular values of which a fractional power is far from zero.
        kernel = random_matrix(rng, shape, rng.integers(1, min(shape) + 1), span)
        gradient = rng.normal(size=shape)
        explicit = by_kronecker(kernel, gradient, list(tolerances))
        for depth, tolerance in tolerances.items():
            found = direction(kernel, gradient, depth, dtype)
            assert relative_error(found, explicit[depth]) < tolerance
            if isinstance(depth, int):
                assert relative_error(found, equation_10(kernel, gradient, depth)) < tolerance


@pytest.mark.parametrize("depth", [2, 3, 8])
@pytest.mark.parametrize("shape", [(32, 32), (40, 8), (3, 1)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_no_scale_is_too_large_or_too_small(shape, depth, scale):
    rng = np.random.default_rng(1)
    kernel, gradient = random_matrix(rng, shape, shape[1], 1e1), rng.normal(size=shape)
    # With this gradient the direction, which scales as scale^(2 - 2/N), is itself one of float32.
    size = scale ** (-1 / 4)
    found = direction(scale * kernel, size * gradient, depth, "float32")
    expected = equation_10(kernel, gradient, depth)
    found = ops.convert_to_numpy(found).astype("float64") / (size * scale ** (2 - 2 / depth))
    assert relative_error(found, expected) < 2e-5


@pytest.mark.parametrize("depth", [1.0001, 1.01])
def test_a_depth_close_to_1_is_close_to_the_gradient_where_the_kernel_is_not_zero(depth):
    rng = np.random.default_rng(0)
    kernel, gradient = random_matrix(rng, (6, 4), 4, 1e1), rng.normal(size=(6, 4))
    expected = by_kronecker(kernel, gradient, [depth])[depth]
    assert relative_error(direction(kernel, gradient, depth, "float32"), expected) < 2e-5


def test_a_row_where_raising_the_larger_gram_matrix_to_a_power_would_be_far_off():
    rng = np.random.default_rng(0)
    kernel, gradient = rng.normal(size=(2, 1, 128)).astype("float32").astype("float64")
    found = direction(kernel, gradient, 8, "float32")
    assert relative_error(found, by_kronecker(kernel, gradient, [8])[8]) < 1e-5


@pytest.mark.parametrize("depth", [1.5, 2, 3, 8])
def test_repeated_singular_values(depth):
    # For an orthogonal matrix all powers of the Gram matrices are the identity.
    kernel = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    gradient = np.arange(36.0).reshape(6, 6)
    assert relative_error(direction(kernel, gradient, depth, "float32"), depth * gradient) < 1e-5


@pytest.mark.float64
def test_claim_2():
    # k = 1: ||w||^(2 - 2/N) (g + (N - 1) Pr_w g).
    rng = np.random.default_rng(0)
    w, g = rng.normal(size=(2, 9, 1))
    norm = np.linalg.norm(w)
    expected = norm ** (2 - 2 / 3) * (g + 2 * w * (w.T @ g) / norm**2)
    assert relative_error(direction(w, g, 3, "float64"), expected) < 1e-13
    assert relative_error(direction(w.T, g.T, 3, "float64"), expected.T) < 1e-13


def test_depth_1_returns_the_gradient_itself():
    gradient = ops.ones((2, 3))
    assert end_to_end_direction(ops.zeros((2, 3)), gradient, 1) is gradient


@pytest.mark.parametrize("depth", [1.5, 2, 5])
def test_at_zero_the_rule_cannot_move(depth):
    found = end_to_end_direction(ops.zeros((4, 3)), ops.ones((4, 3)), depth)
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_in_the_gradient_passes_through(value):
    gradient = np.ones((4, 3))
    gradient[1, 1] = value
    found = direction(np.eye(4, 3), gradient, 2, "float32")
    assert not np.all(np.isfinite(found))


@pytest.mark.parametrize(
    "dtype, bits", [("float32", 23), pytest.param("float64", 52, marks=pytest.mark.float64)]
)
def test_a_singular_value_counts_on_one_side_of_the_cutoff_and_not_on_the_other(dtype, bits):
    # The cut-off for s^2 / s_max^2 is eps * max(d, k) = 2^-bits * 8.
    cutoff = np.sqrt(2.0 ** (3 - bits))
    for factor, counts in ((1.1, True), (0.9, False)):
        kernel = np.zeros((8, 2))
        kernel[0, 0], kernel[1, 1] = 1.0, factor * cutoff
        gradient = np.zeros((8, 2))
        gradient[1, 1] = 1.0
        found = direction(kernel, gradient, 2, dtype)
        assert float(found[1, 1]) == pytest.approx(2 * factor * cutoff if counts else 0)


def test_the_limit_of_infinite_depth():
    rng = np.random.default_rng(0)
    kernel, gradient = rng.normal(size=(2, 5, 3))
    u, s, vt = np.linalg.svd(kernel)
    left = np.append(s, [0, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(left[:, None] ** 2) - np.log(s[None, :] ** 2)
        eigenvalues = (left[:, None] ** 2 - s[None, :] ** 2) / logs
    eigenvalues[np.arange(3), np.arange(3)] = s**2
    expected = u @ (eigenvalues * (u.T @ gradient @ vt.T)) @ vt
    found = direction(kernel, gradient, 1e7, "float64") / 1e7
    assert relative_error(found, expected) < 1e-5


def test_it_compiles():
    kernel = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    gradient = np.ones((7, 4), "float32")
    eager = end_to_end_direction(ops.convert_to_tensor(kernel), ops.convert_to_tensor(gradient), 3)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(end_to_end_direction, jit_compile=True)(kernel, gradient, 3)
        np.testing.assert_allclose(compiled, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.float64
@pytest.mark.parametrize("depth", [1, 1.5, 2, 3, 8])
def test_eigenvalues_of_claim_1(depth):
    sigma = np.array([3.0, 3.0, 1.0, 1e-3, 0.0])
    found = ops.convert_to_numpy(
        preconditioner_eigenvalues(ops.convert_to_tensor(sigma, dtype="float64"), depth)
    )
    np.testing.assert_array_equal(found, found.T)
    diagonal = np.where(sigma > 0, depth * sigma ** (2 - 2 / depth), float(depth == 1))
    np.testing.assert_allclose(np.diag(found), diagonal, rtol=1e-13)
    a, square = sigma ** (2 / depth), sigma**2
    for r, s in ((0, 2), (0, 3), (2, 3), (0, 4), (3, 4)):
        expected = 1.0 if depth == 1 else (square[r] - square[s]) / (a[r] - a[s])
        assert found[r, s] == pytest.approx(expected, rel=1e-12)


@pytest.mark.float64
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_balanced_factors_move_the_product_along_equation_10(depth):
    rng = np.random.default_rng(0)
    kernel, gradient = rng.normal(size=(2, 6, 4))
    factors = matrix_functions.balanced_factors(
        ops.convert_to_tensor(kernel, dtype="float64"), depth, seed=1
    )
    found = matrix_functions.factor_direction(factors, ops.convert_to_tensor(gradient))
    expected = equation_10(kernel, gradient, depth)
    assert relative_error(found, expected) < 1e-12


def test_factor_direction_is_the_derivative_of_the_product():
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=shape) for shape in ((3, 5), (5, 2), (2, 4))]
    gradient = rng.normal(size=(3, 4))
    a, b, c = factors
    steps = (gradient @ (b @ c).T, a.T @ gradient @ c.T, (a @ b).T @ gradient)
    rate = 1e-6
    moved = [factor - rate * step for factor, step in zip(factors, steps)]
    expected = (a @ b @ c - moved[0] @ moved[1] @ moved[2]) / rate
    found = matrix_functions.factor_direction(
        [ops.convert_to_tensor(factor) for factor in factors], ops.convert_to_tensor(gradient)
    )
    assert relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", [2, 32])
def test_half_precision_is_refused(size, dtype):
    kernel = ops.ones((size, size), dtype=dtype)
    with pytest.raises(ValueError, match=f"float32 or float64. Received: dtype={dtype}"):
        end_to_end_direction(kernel, kernel, 2)


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_singular_values_are_a_vector(shape):
    with pytest.raises(ValueError, match="`singular_values` must be a vector"):
        preconditioner_eigenvalues(ops.ones(shape), 2)


def test_singular_values_are_not_negative():
    with pytest.raises(ValueError, match="`singular_values` must not be negative"):
        preconditioner_eigenvalues(ops.convert_to_tensor([1.0, -2.0]), 2)
