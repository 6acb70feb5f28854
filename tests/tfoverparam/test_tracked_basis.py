"""The tracked bases against NumPy's decomposition in float64, along trajectories of training."""

import functools
import pathlib
import re

import keras
import numpy as np
import pytest
from benchmarks.trajectories import exact, matrix, trajectory
from keras import ops
from tfoverparam.matrix_functions import tracked_basis
from tfoverparam.matrix_functions.first_order import (
    exponents,
    operator_sums,
    power_sums,
    quotients,
    with_repair,
)
from tfoverparam.matrix_functions.tracked_basis import Basis, decompose, tracked_direction


def tensor(array, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(array, dtype))


@functools.lru_cache(maxsize=None)
def compiled(depth):
    """`tracked_direction` as a function of tensors; traced once for each shape."""

    def function(kernel, gradient, *basis):
        direction, basis = tracked_direction(kernel, gradient, Basis(*basis), depth)
        return direction, *basis

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False, reduce_retracing=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def track(kernel, gradient, basis, depth):
    direction, *basis = compiled(depth)(kernel, gradient, *basis)
    return np.asarray(ops.convert_to_numpy(direction), "float64"), Basis(*basis)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def errors(*arguments, depth=2, dtype="float32", **more):
    """Of every step but the first, for which the basis is made."""
    basis, found = None, []
    for kernel, gradient, expected in trajectory(*arguments, depth=depth, **more):
        kernel, gradient = tensor(kernel, dtype), tensor(gradient, dtype)
        if basis is None:
            basis = decompose(kernel)
        direction, basis = track(kernel, gradient, basis, depth)
        found.append(relative(direction, expected))
    return np.array(found[1:])


SHAPES = [(32, 32), (96, 24)]


def of_low_rank(name, random):
    """Kernels (48, 16) whose rank is less than their columns, as people have them."""
    kernel = random.normal(size=(48, 16)) / 5
    if name == "ones":
        return np.full((48, 16), 0.1)
    if name == "narrow factors":
        return random.normal(size=(48, 4)) @ random.normal(size=(4, 16)) / 20
    if name == "pruned columns":
        return kernel * (np.arange(16) % 4 > 0)
    return np.repeat(kernel[:, :8], 2, axis=1)


@pytest.mark.parametrize("depth", [2, 3, 8])
@pytest.mark.parametrize("name", ["ones", "narrow factors", "pruned columns", "equal columns"])
def test_a_tall_kernel_of_low_rank_is_trained_as_by_the_exact_rule(name, depth):
    random = np.random.default_rng(2)
    start = of_low_rank(name, random)
    start /= np.linalg.norm(start, 2)
    target, rate = random.normal(size=start.shape) / 5, 0.1 / depth
    ours = np.asarray(start, "float32")
    reference, basis = start, decompose(tensor(ours))
    for _ in range(30):  # Later, small singular values grow by as much as errors do.
        found, basis = track(tensor(ours), tensor(ours - target), basis, depth)
        ours = np.asarray(ours - rate * found, "float32")
        reference = reference - rate * exact(reference, reference - target, depth)
    moved = np.linalg.norm(reference - start)
    assert moved > 0.1 * np.linalg.norm(start)
    assert np.linalg.norm(ours - reference) < 0.02 * moved


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_u_is_not_stretched_where_singular_values_are_rounding(seed):
    random = np.random.default_rng(seed)
    kernel, depth = np.ones((9, 5), "float32"), 8
    mean, basis = random.normal(size=kernel.shape) / 2, decompose(tensor(kernel))
    for _ in range(8):
        gradient = mean + random.normal(size=kernel.shape)
        found, basis = track(tensor(kernel), tensor(gradient), basis, depth)
        expected = exact(kernel.astype("float64"), gradient, depth)
        # Of a tenth of the direction, where it is stretched: thousands of it.
        assert relative(found, expected) < 0.1
        step = 0.01 * np.linalg.norm(kernel) / np.linalg.norm(expected)
        kernel = np.asarray(kernel - step * expected, "float32")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [2, 3, 4, 8])
@pytest.mark.parametrize("kind", [10, 1e2, 1e3, 1e4, "Gaussian", "orthogonal"])
def test_along_a_training_with_sgd(kind, shape, depth):
    found = errors(kind, shape, depth=depth, step_size=1e-3, steps=40)
    assert np.median(found) < 5e-5 and np.max(found) < 3e-4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("inner", ["momentum", "Muon"])
@pytest.mark.parametrize("step_size", [1e-4, 1e-2])
def test_along_a_training_with_other_optimizers(inner, shape, step_size):
    # The one case above 1e-2: each step overwrites the smallest singular values.
    ill_conditioned = 2e-2 if (inner, step_size) == ("Muon", 1e-2) else 1e-2
    for depth in (2, 3):
        for kind, bound in ((10, 1e-3), (1e2, 5e-3), (1e4, ill_conditioned)):
            found = errors(kind, shape, depth=depth, step_size=step_size, steps=20, inner=inner)
            assert np.max(found) < bound


SLOWER = [pytest.param(depth, marks=pytest.mark.slow) for depth in (5, 6, 9, 11, 64, 1000)]


@pytest.mark.parametrize("depth", [7, *SLOWER])
def test_other_integers(depth):
    for shape in SHAPES:
        assert np.max(errors(10, shape, depth=depth, step_size=1e-3, steps=5)) < 2e-4


def test_what_is_tracked():
    tracked = [depth for depth in (1.5, 2, 2.0, 3, 8, 11) if tracked_basis.is_tracked(depth)]
    assert tracked == [2, 2.0, 3, 8, 11]


@pytest.mark.parametrize("n", [*range(2, 18), 64, 1000])
def test_sums_of_operators_are_made_of_few_products(n):
    products, a, c = [], 0.9, 1.1

    def counted(base):
        def multiply(value, k):
            products.append(k)
            return value * base**k

        return multiply

    whole, rest = operator_sums(1.0, counted(a), counted(c))
    assert whole(n) == pytest.approx(sum(a**i * c ** (n - 1 - i) for i in range(n)), rel=1e-12)
    assert set(products) == exponents(n)
    of_whole = len(products)
    assert rest(n) == pytest.approx(sum(a**i * c ** (n - 1 - i) for i in range(1, n)), rel=1e-12)
    # Two for each halving, and one more where an odd sum is left.
    assert of_whole <= 3 * np.ceil(np.log2(n)) - 1
    known = {2: 2, 3: 4, 4: 4, 7: 7, 8: 6, 16: 8}
    assert of_whole == known.get(n, of_whole)


@pytest.mark.parametrize("n", range(1, 10))
def test_quotients_are_those_of_powers(n):
    a, b = np.array([0.5, 1.0]), np.array([2.0, 1.5])
    sums = power_sums(a, b)
    for k in range(1, n + 1):
        expected = (a**n - b**n) / (a**k - b**k)
        np.testing.assert_allclose(quotients(sums, n, k), expected, rtol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 4, 8])
def test_there_are_as_many_products_as_the_page_says(depth, monkeypatch):
    page = (pathlib.Path(__file__).parents[2] / "docs" / "end_to_end.md").read_text("utf-8")
    row = re.search(rf"^\|[^|]*depth {depth} \|([^|]*)\|([^|]*)\|([^|]*)\|", page, re.MULTILINE)
    products, matmul = [], ops.matmul
    monkeypatch.setattr(
        ops, "matmul", lambda a, b: products.append((*a.shape, *b.shape)) or matmul(a, b)
    )
    random = np.random.default_rng(0)
    for said, shape, kind in zip(row.groups(), [(24, 24), (96, 24), (96, 24)], [10, 10, 1e3]):
        kernel, gradient = tensor(matrix(kind, shape, random)), tensor(random.normal(size=shape))
        basis = decompose(kernel)
        products.clear()
        tracked_direction(kernel, gradient, basis, depth)
        large = sum(96 in each for each in products)
        counts = [int(number) for number in re.findall(r"(\d+) (?:n|d k\^2|k)", said)]
        assert counts == ([large] if large else []) + [len(products) - large]


@pytest.mark.float64
@pytest.mark.parametrize("shape", SHAPES)
def test_in_float64_the_error_is_the_square_of_a_step(shape):
    # Bases are turned in every step, so that E is what one step makes of it.
    found = errors(10, shape, depth=3, step_size=1e-4, steps=10, dtype="float64")
    assert np.max(found) < 1e-7


@pytest.mark.parametrize("scale", [1e-20, 1e20])
@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 1)])
@pytest.mark.parametrize("depth", [2, 3])
def test_no_scale_is_too_large_or_too_small(scale, shape, depth):
    random = np.random.default_rng(0)
    kernel, gradient = (
        matrix(10 if shape[1] > 1 else "Gaussian", shape, random),
        random.normal(size=shape),
    )
    expected = exact(kernel, gradient, depth)
    for _ in range(2):
        if shape[1] == 1:
            found = tracked_basis.vector_direction(tensor(scale * kernel), tensor(gradient), depth)
            found = np.asarray(ops.convert_to_numpy(found), "float64")
        else:
            found, basis = track(
                tensor(scale * kernel), tensor(gradient), decompose(tensor(kernel)), depth
            )
        assert relative(found / scale ** (2 - 2 / depth), expected) < 1e-5


def test_a_zero_kernel_and_what_comes_after():
    random = np.random.default_rng(0)
    for shape in [(12, 12), (24, 8)]:
        gradient, later = random.normal(size=shape), matrix(10, shape, random)
        basis = decompose(tensor(later))
        found, basis = track(tensor(np.zeros(shape)), tensor(gradient), basis, 2)
        np.testing.assert_array_equal(found, 0)
        for kernel in (later, matrix(1e2, shape, random)):
            found, basis = track(tensor(kernel), tensor(gradient), basis, 2)
            assert relative(found, exact(kernel, gradient, 2)) < 1e-4


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_not_finite_passes_through_and_leaves_nothing_behind(value, shape):
    random = np.random.default_rng(0)
    kernel, gradient = matrix(10, shape, random), random.normal(size=shape)
    broken = kernel.copy()
    broken[1, 1] = value
    basis = decompose(tensor(kernel))
    found, basis = track(tensor(broken), tensor(gradient), basis, 2)
    assert not np.isfinite(found).all()
    assert all(np.isfinite(ops.convert_to_numpy(each)).all() for each in basis)
    found, basis = track(tensor(kernel), tensor(gradient), basis, 2)
    assert relative(found, exact(kernel, gradient, 2)) < 1e-5
    broken = np.full(shape, value)
    found, _ = track(tensor(kernel), tensor(broken), basis, 2)
    assert not np.isfinite(found).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("change", ["other", "order of left", "order of both", "values", "signs"])
def test_other_weights_are_noticed_in_the_next_step(shape, change):
    random = np.random.default_rng(0)
    kernel, gradient = matrix(1e2, shape, random), random.normal(size=shape)
    u, s, vt = np.linalg.svd(kernel, full_matrices=False)
    order = random.permutation(len(s))
    loaded = {
        "other": matrix(1e3, shape, random),
        "order of left": (u[:, order] * s) @ vt,
        "order of both": (u[:, order] * s) @ vt[order],
        "values": (u * s[order]) @ vt,
        "signs": (u * s * random.choice([-1, 1], len(s))) @ vt,
    }[change]
    basis = decompose(tensor(kernel))
    for depth in (2, 3):
        found, _ = track(tensor(loaded), tensor(gradient), basis, depth)
        assert relative(found, exact(loaded, gradient, depth)) < 1e-4


def test_bases_of_a_decomposition_that_is_only_nearly_orthonormal(monkeypatch):
    # As those of GPUs are, in float32.
    random, svd = np.random.default_rng(0), ops.svd

    def inexact(*arguments, **options):
        u, s, v_t = svd(*arguments, **options)
        noise = [tensor(1e-4 * random.normal(size=each.shape)) for each in (u, v_t)]
        return u + noise[0], s, v_t + noise[1]

    monkeypatch.setattr(ops, "svd", inexact)
    kernel, gradient = random.normal(size=(2, 16, 16))
    direction, basis = tracked_direction(
        tensor(kernel), tensor(gradient), decompose(tensor(kernel)), 2
    )
    assert relative(ops.convert_to_numpy(direction), exact(kernel, gradient, 2)) < 1e-5
    u = ops.convert_to_numpy(basis.u)
    np.testing.assert_allclose(u.T @ u, np.eye(16), atol=2e-6)


def test_columns_that_are_off_by_more_than_rounding_are_repaired_in_any_matrix_of_a_stack():
    random = np.random.default_rng(0)
    orthonormal = np.stack([np.linalg.qr(random.normal(size=(64, 64)))[0] for _ in range(16)])
    rotation = tensor(np.zeros_like(orthonormal))
    unchanged = with_repair(rotation, tensor(orthonormal))
    np.testing.assert_array_equal(ops.convert_to_numpy(unchanged), 0)
    for defect in (3e-7 * random.normal(size=(64, 64)), 2e-6 * np.eye(64)):
        basis = orthonormal.copy()
        basis[11] += basis[11] @ defect
        repaired = tensor(basis) + ops.matmul(tensor(basis), with_repair(rotation, tensor(basis)))
        gram = ops.convert_to_numpy(ops.matmul(ops.swapaxes(repaired, -2, -1), repaired))
        np.testing.assert_allclose(gram - np.eye(64), 0, atol=8e-7)


def test_a_stack_is_its_matrices_one_by_one():
    random = np.random.default_rng(0)
    for shape in SHAPES:
        kernels = np.stack([matrix(kind, shape, random) for kind in (10, 1e2, "Gaussian")])
        basis = decompose(tensor(kernels))
        moved = kernels + 1e-4 * random.normal(size=kernels.shape)
        gradients = random.normal(size=kernels.shape)
        found, _ = track(tensor(moved), tensor(gradients), basis, 3)
        for each in zip(found, moved, gradients):
            assert relative(each[0], exact(*each[1:], 3)) < 1e-4


def test_u_of_a_tall_kernel_is_kept_where_the_gram_matrix_would_not_do():
    random = np.random.default_rng(0)
    for span, is_kept in ((10, 0), (1e3, 1)):
        kernel = tensor(matrix(span, (96, 24), random))
        basis = decompose(kernel)
        assert float(basis.is_u_kept) == is_kept
        _, basis = track(kernel, kernel, basis, 2)
        assert float(basis.is_u_kept) == is_kept


@pytest.mark.parametrize("depth", [1.5, 2, 3, 2.5, 9])
@pytest.mark.parametrize("shape", [(12, 12), (24, 8), (12, 8)])
def test_the_direction_in_a_basis_as_it_stands(shape, depth):
    random = np.random.default_rng(0)
    kernel, gradient = matrix(10, shape, random), random.normal(size=shape)
    u, s, vt = np.linalg.svd(kernel)
    left, right = (np.append(s, np.zeros(n - len(s))) for n in shape)
    a, b = left[:, None] ** (2 / depth), right[None, :] ** (2 / depth)
    diagonal = np.arange(len(s))
    with np.errstate(invalid="ignore", divide="ignore"):
        c = (left[:, None] ** 2 - right[None, :] ** 2) / (a - b)
    c[diagonal, diagonal] = depth * s ** (2 - 2 / depth)
    expected = u @ (c * (u.T @ gradient @ vt.T)) @ vt
    basis = decompose(tensor(kernel))
    found = tracked_basis.direction(tensor(gradient), basis, depth)
    assert relative(np.asarray(ops.convert_to_numpy(found), "float64"), expected) < 1e-5


@pytest.mark.slow
@pytest.mark.tensorflow("one function of 100,000 steps")
def test_a_hundred_thousand_steps_do_not_drift():
    import tensorflow as tf

    steps, every, depth = 100_000, 1000, 3
    random = np.random.default_rng(0)
    start = matrix("Gaussian", (8, 8), random)
    inputs, targets = random.normal(size=(64, 8)), random.normal(size=(64, 8))
    # The least squares of noise that is drawn anew in each step: the kernel never comes to rest.
    x, y = tensor(inputs), tensor(targets)

    @tf.function(autograph=False)
    def run(kernel, exact_kernel, basis, first):
        def step(n, kernel, exact_kernel, *basis):
            noise = tf.random.stateless_normal(y.shape, (0, n))

            def gradient(w):
                return tf.matmul(x, tf.matmul(x, w) - y - noise, transpose_a=True) / 64

            found, basis = tracked_direction(kernel, gradient(kernel), Basis(*basis), depth)
            s, u, v = tf.linalg.svd(tf.cast(exact_kernel, tf.float64))
            a = s ** (2 / depth)
            c = sum(a[:, None] ** (depth - 1 - j) * a[None] ** j for j in range(depth))
            g = tf.cast(gradient(exact_kernel), tf.float64)
            direction = u @ (c * tf.matmul(u, g @ v, transpose_a=True)) @ tf.transpose(v)
            exact_kernel -= 2e-3 * tf.cast(direction, tf.float32)
            return n + 1, kernel - 2e-3 * found, exact_kernel, *basis

        return tf.while_loop(
            lambda n, *_: n < first + every, step, (first, kernel, exact_kernel, *basis)
        )[1:]

    kernel = exact_kernel = tensor(start)
    basis = decompose(kernel)
    for first in range(0, steps, every):
        kernel, exact_kernel, *basis = run(kernel, exact_kernel, basis, tf.constant(first))
        for each in basis[:2]:
            defect = each.numpy().astype("float64").T @ each.numpy() - np.eye(8)
            assert np.linalg.norm(defect) < 1e-4
        losses = [np.mean((inputs @ w.numpy() - targets) ** 2) for w in (kernel, exact_kernel)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        # Near its least value a loss hardly tells kernels apart: those are compared as well.
        assert np.linalg.norm(kernel - exact_kernel) < 1e-5 * np.linalg.norm(exact_kernel - start)
