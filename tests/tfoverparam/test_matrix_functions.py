"""Balance and its measure: numbers by hand, then properties, then awkward kernels."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from tfoverparam import matrix_functions
from tfoverparam.matrix_functions import (
    balance,
    balanced_factors,
    imbalance,
    squared_norm_of_product,
)

# Half of it is the relative error of one rounding in float32.
EPSILON = float(np.finfo("float32").eps)


@pytest.fixture(autouse=True, scope="module")
def few_rows_at_a_time():
    """Kernels as small as here are then read in several parts, as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(balance, "_BLOCK", 8)
        yield


def as_arrays(factors):
    return [ops.convert_to_numpy(factor).astype("float64") for factor in factors]


def product(factors):
    return functools.reduce(np.matmul, as_arrays(factors))


def rounding(kernel, depth, hidden_units=None, epsilon=EPSILON):
    """How far the product of balanced factors may be from `kernel`, in the Frobenius norm.

    A decomposition (U, S, V or Q, R) is off by about `n * epsilon` in norm, n being its longest
    side, and so is a matrix product along an axis of length n. There are two decompositions per
    neighbor and `depth` products, so `depth * n * epsilon` relative to the kernel.
    """
    widths = hidden_units or [1]
    return depth * max(*kernel.shape, *widths) * epsilon * np.linalg.norm(kernel)


def test_balanced_factors_of_a_diagonal_kernel_by_hand():
    # U = V = I and S = (8, 1), so the factors are S^(1/3) up to rotations: Gram matrices with
    # eigenvalues 4 and 1 on every side, and the first factor's rows of lengths 2 and 1.
    kernel = np.diag([8.0, 1.0]).astype("float32")
    factors = as_arrays(balanced_factors(ops.convert_to_tensor(kernel), depth=3))
    np.testing.assert_allclose(factors[0] @ factors[0].T, np.diag([4.0, 1.0]), atol=24 * EPSILON)
    np.testing.assert_allclose(factors[2].T @ factors[2], np.diag([4.0, 1.0]), atol=24 * EPSILON)
    for factor in factors:
        np.testing.assert_allclose(np.linalg.svd(factor)[1], [2.0, 1.0], atol=12 * EPSILON)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    depth=st.integers(1, 5),
    extra=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    seed=st.integers(0, 2**31 - 1),
)
def test_factors_are_balanced_and_multiply_to_the_kernel(shape, depth, extra, seed):
    kernel = np.random.default_rng(seed).normal(size=shape).astype("float32")
    widths = [min(shape) + more for more in extra[: depth - 1]]
    factors = balanced_factors(ops.convert_to_tensor(kernel), depth, widths, seed)
    dims = [shape[0], *widths, shape[1]]
    assert [tuple(factor.shape) for factor in factors] == list(zip(dims[:-1], dims[1:]))
    assert np.linalg.norm(product(factors) - kernel) <= rounding(kernel, depth, widths)
    # Gram matrices are products of two factors, each with its own error, hence twice.
    assert float(imbalance(factors)) <= 2 * max(dims) * EPSILON


AWKWARD_KERNELS = {
    "zero": np.zeros((4, 3)),
    "rank one": np.outer([1, 2, 3, 4], [1, 0, -2]),
    "one row": np.arange(1, 6).reshape(1, 5),
    "one column": np.arange(1, 6).reshape(5, 1),
    "one number": np.full((1, 1), -2),
    "repeated singular values": 3 * np.eye(4),
    "repeated, not square": np.eye(5, 2),
    "singular values far apart": np.diag([1e4, 1.0, 1e-4]),
    "tiny": 1e-12 * np.eye(3),
}


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("name", AWKWARD_KERNELS)
def test_awkward_kernels(name, depth):
    kernel = AWKWARD_KERNELS[name].astype("float32")
    factors = balanced_factors(ops.convert_to_tensor(kernel), depth, seed=1)
    assert all(np.isfinite(factor).all() for factor in as_arrays(factors))
    assert np.linalg.norm(product(factors) - kernel) <= rounding(kernel, depth)
    assert float(imbalance(factors)) <= 2 * max(kernel.shape) * EPSILON


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("hidden_units", [[2], [3, 2], [2, 7, 3]])
def test_narrow_widths_give_the_best_approximation(shape, hidden_units):
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    u, s, vt = np.linalg.svd(kernel.astype("float64"), full_matrices=False)
    best = (u[:, :2] * s[:2]) @ vt[:2]
    depth = len(hidden_units) + 1
    factors = balanced_factors(ops.convert_to_tensor(kernel), depth, hidden_units)
    # A singular vector turns by the rounding error of the kernel over the gap to the next
    # singular value (Wedin), and what it carries is worth the first one.
    allowed = rounding(kernel, depth, hidden_units) * s[0] / (s[1] - s[2])
    assert np.linalg.norm(product(factors) - best) <= allowed
    assert float(imbalance(factors)) <= 2 * 7 * EPSILON


@pytest.mark.parametrize("hidden_units", [[9], [9, 6], [5, 8, 9]])
def test_width_beyond_the_rank_carries_nothing(hidden_units):
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    factors = balanced_factors(ops.convert_to_tensor(kernel), len(hidden_units) + 1, hidden_units)
    arrays = as_arrays(factors)
    smallest = [9 * EPSILON * np.linalg.norm(array, 2) for array in arrays]
    assert list(map(np.linalg.matrix_rank, arrays, smallest)) == [3] * len(factors)


@pytest.mark.parametrize(
    "dtype",
    [pytest.param("float64", marks=pytest.mark.float64), "float32", "bfloat16", "float16"],
)
@pytest.mark.parametrize("depth", [2, 4])
def test_factors_have_the_dtype_of_the_kernel(dtype, depth):
    kernel = ops.cast(np.random.default_rng(0).normal(size=(6, 4)), dtype)
    factors = balanced_factors(kernel, depth)
    assert {factor.dtype for factor in factors} == {kernel.dtype}
    # Bits of the significand, the leading one included. In the half formats the factors are
    # rounded once each, after a decomposition in float32.
    epsilon = 2.0 ** (1 - {"float64": 53, "float32": 24, "bfloat16": 8, "float16": 11}[dtype])
    expected = ops.convert_to_numpy(ops.cast(kernel, "float64"))
    actual = functools.reduce(
        np.matmul, [ops.convert_to_numpy(ops.cast(factor, "float64")) for factor in factors]
    )
    assert np.linalg.norm(actual - expected) <= rounding(expected, depth, epsilon=epsilon)


@pytest.mark.parametrize("shape", [(3, 6, 4), (2, 4, 7), (1, 5, 5), (4, 3, 1)])
@pytest.mark.parametrize("hidden_units", [None, [8, 5, 6]])
def test_a_stack_of_kernels_is_factorized_one_by_one(shape, hidden_units):
    kernels = np.random.default_rng(0).normal(size=shape).astype("float32")
    kernels[0] *= 1e-6
    stacks = balanced_factors(ops.convert_to_tensor(kernels), 4, hidden_units)
    dims = [shape[1], *(hidden_units or [min(shape[1:])] * 3), shape[2]]
    expected = [(shape[0], *pair) for pair in zip(dims[:-1], dims[1:])]
    assert [tuple(stack.shape) for stack in stacks] == expected
    assert [len(np.unique(np.abs(stack[:, 0, 0]))) for stack in as_arrays(stacks)] == [shape[0]] * 4
    for kernel, *factors in zip(kernels, *stacks):
        assert np.linalg.norm(product(factors) - kernel) <= rounding(kernel, 4, hidden_units)
        assert float(imbalance(factors)) <= 2 * max(dims) * EPSILON


@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e9])
def test_the_product_is_the_kernel_up_to_the_rounding_of_the_factors(depth, condition):
    # In the Frobenius norm a rounding of all entries is at most half of the relative epsilon, and
    # by what follows and comes before a factor it is multiplied no further than by its norm.
    random = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(random.normal(size=(96, 64)), full_matrices=False)
    kernel = ((u * np.geomspace(1, 1 / condition, 64)) @ vt).astype("float32")
    factors = balanced_factors(ops.convert_to_tensor(kernel), depth)
    others = np.linalg.norm(kernel.astype("float64"), 2) ** (1 - 1 / depth)
    allowed = sum(EPSILON / 2 * np.linalg.norm(factor) * others for factor in as_arrays(factors))
    assert np.linalg.norm(product(factors) - kernel) <= 1.01 * allowed
    arrays = as_arrays(factors)
    size = np.linalg.norm(arrays[0].T @ arrays[0])
    for left, right in zip(arrays[:-1], arrays[1:]):
        gap = np.linalg.norm(right @ right.T - left.T @ left) / size
        assert gap <= 2 * EPSILON * np.linalg.norm(left) / np.linalg.norm(left, 2)


def test_while_a_function_is_traced_the_backend_factorizes():
    kernel = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    factors = compiled(lambda kernel: balanced_factors(kernel, 3))(ops.convert_to_tensor(kernel))
    assert np.linalg.norm(product(factors) - kernel) <= rounding(kernel, 3)
    assert float(imbalance(factors)) <= 2 * 6 * EPSILON


def compiled(function):
    """`function` as each backend compiles it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    pytest.skip("PyTorch's compiler needs one for C++, and minutes")


def test_depth_one_is_the_kernel_itself():
    kernel = ops.ones((2, 3))
    (factor,) = balanced_factors(kernel, depth=1)
    assert factor is kernel


def test_rotations_are_a_function_of_the_seed_and_differ_between_layers():
    kernel = ops.eye(4)
    first, again, other = (as_arrays(balanced_factors(kernel, 3, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    # With S = U = V = I the factors are Q_1', Q_1 Q_2' and Q_2.
    assert np.abs(first[0] - other[0]).max() > 0.1
    assert np.abs(first[0].T - first[2]).max() > 0.1


def test_rotations_are_uniformly_distributed():
    # Uniform rotations of the plane have a mean of zero; QR alone, whose R has a diagonal of
    # either sign by convention, would favor some. Entries are cosines of uniform angles, of
    # variance 1/2, and their squares of variance 1/8: four standard errors for each mean.
    count = 200
    entries = [
        as_arrays(balanced_factors(ops.eye(2), 2, seed=seed))[0].ravel() for seed in range(count)
    ]
    assert np.abs(np.mean(entries, axis=0)).max() <= 4 * np.sqrt(1 / 2 / count)
    squares = np.mean(np.square(entries), axis=0)
    np.testing.assert_allclose(squares, 0.5, rtol=0, atol=4 * np.sqrt(1 / 8 / count))


def test_the_default_seed_is_0():
    kernel = ops.ones((5, 3))
    default, with_seed = (balanced_factors(kernel, 3, **given) for given in ({}, {"seed": 0}))
    for factor, expected in zip(as_arrays(default), as_arrays(with_seed), strict=True):
        np.testing.assert_array_equal(factor, expected)


def test_imbalance_by_hand():
    # A'A = diag(1, 4) and BB' = diag(9, 16): the gap is (8, 12), the larger Gram matrix (9, 16).
    a, b = np.diag([1.0, 2.0]), np.diag([3.0, 4.0])
    expected = np.hypot(8, 12) / np.hypot(9, 16)
    np.testing.assert_allclose(imbalance([a, b]), expected, rtol=8 * EPSILON)
    # The further pair (b, 2I) has the gap (4 - 9, 4 - 16), of norm 13 < hypot(8, 12).
    np.testing.assert_allclose(imbalance([a, b, 2 * np.eye(2)]), expected, rtol=8 * EPSILON)
    np.testing.assert_allclose(imbalance([2 * np.eye(2), b, a]), expected, rtol=8 * EPSILON)


def test_imbalance_of_vectors_by_hand():
    # 1 x 2 after 3 x 1: |left|^2 = 14 and |right|^2 = 25.
    left, right = np.array([[1.0], [2.0], [3.0]]), np.array([[3.0, 4.0]])
    np.testing.assert_allclose(imbalance([left, right]), 11 / 25, rtol=4 * EPSILON)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_zero_factors_are_balanced(count):
    assert float(imbalance([ops.zeros((2, 2))] * count)) == 0.0


def test_a_single_factor_is_balanced():
    assert float(imbalance([np.arange(6.0).reshape(2, 3)])) == 0.0


@pytest.mark.parametrize("scale", [2.0**-120, 2.0**-20, 0.5, 2.0**10, 2.0**120])
def test_imbalance_does_not_depend_on_the_scale(scale):
    random = np.random.default_rng(0)
    factors = [random.normal(size=shape).astype("float32") for shape in [(3, 4), (4, 2), (2, 5)]]
    # Powers of two change the exponents only, so that both are equal to the bit.
    assert float(imbalance([np.float32(scale) * f for f in factors])) == float(imbalance(factors))


@pytest.mark.parametrize("dtype, scale", [("float32", 1e-10), ("float32", 1e20), ("float16", 3e4)])
def test_imbalance_of_what_squared_is_no_number_of_its_dtype(dtype, scale):
    factors = [ops.cast(scale * factor, dtype) for factor in (2 * np.eye(3), np.eye(3))]
    if dtype == "float16":
        factors = [factor / 2 for factor in factors]
    np.testing.assert_allclose(imbalance(factors), 0.75, rtol=1e-3 if dtype == "float16" else 1e-6)


def test_imbalance_of_a_stack_is_the_largest():
    random = np.random.default_rng(0)
    chains = [
        [scale * random.normal(size=shape) for shape in [(3, 4), (4, 2), (2, 5)]]
        for scale in (1.0, 1e-9, 0.0)
    ]
    largest = max(float(imbalance(chain)) for chain in chains)
    np.testing.assert_allclose(imbalance([np.stack(s) for s in zip(*chains)]), largest, rtol=1e-6)


def test_stacks_must_fit():
    for shapes in ([(2, 3, 4), (3, 4, 5)], [(2, 3, 4), (4, 5)], [(3, 4), (2, 4, 5)]):
        with pytest.raises(ValueError, match="Matrices must fit"):
            imbalance([ops.ones(shape) for shape in shapes])
    with pytest.raises(ValueError, match=r"must be a matrix, or a stack.*\(2, 2, 2, 2\)"):
        balanced_factors(ops.ones((2, 2, 2, 2)), 2)


def test_a_chain_of_stacks():
    random = np.random.default_rng(0)
    stacks = [random.normal(size=shape).astype("float32") for shape in [(3, 2, 5), (3, 5, 4)]]
    found = matrix_functions.chain_product([*stacks, np.ones((3, 4, 1), "float32")])
    expected = stacks[0] @ stacks[1] @ np.ones((3, 4, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_squared_norm_by_hand():
    # [1, 2] and its product with 3 and with diag(2, 1) are of squared norm 5, 45 and 72.
    triple = ops.convert_to_tensor([[3.0]])
    row = ops.convert_to_tensor([[1.0, 2.0]])
    stretch = ops.convert_to_tensor([[2.0, 0.0], [0.0, 1.0]])
    assert float(squared_norm_of_product([row])) == 5
    assert float(squared_norm_of_product([triple, row])) == 45
    assert float(squared_norm_of_product([triple, row, stretch])) == 72


@pytest.mark.parametrize("hidden, by_grams", [(1, True), (5, True), (7, False), (30, False)])
def test_squared_norm_the_cheaper_way(hidden, by_grams, monkeypatch):
    # 2 h^2 (8 + 8) multiplications by the Gram matrices, 3 * 8 * 8 h by way of the product.
    grams = matrix_functions.products._squared_norm_by_grams
    used = []
    monkeypatch.setattr(
        matrix_functions.products,
        "_squared_norm_by_grams",
        lambda *ab: used.append(ab) or grams(*ab),
    )
    squared_norm_of_product([ops.ones((8, hidden)), ops.ones((hidden, 8))])
    assert bool(used) == by_grams
