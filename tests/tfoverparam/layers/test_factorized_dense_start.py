"""Initial values: the balanced start, and factors drawn one by one."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import FactorizedDense
from tfoverparam.initializers import NearIdentity, NearZero

EPSILON = float(np.finfo("float32").eps)
BITS = {"float64": 53, "float32": 24, "mixed_float16": 24, "float16": 11, "bfloat16": 8}


def glorot(seed=3):
    return keras.initializers.GlorotUniform(seed=seed)


def built(units=4, input_dim=6, **arguments):
    layer = FactorizedDense(units, **arguments)
    layer.build((None, input_dim))
    return layer


def as_arrays(tensors):
    return [np.asarray(tensor).astype("float64") for tensor in tensors]


def product(layer):
    return functools.reduce(np.matmul, as_arrays(layer.factors))


def dense_kernel(layer, initializer):
    """The kernel that `Dense` draws in the place of the layer."""
    dense = layers.Dense(layer.units, kernel_initializer=initializer, dtype=layer.dtype_policy)
    dense.build((None, layer.factors[0].shape[0]))
    return np.asarray(dense.kernel).astype("float64")


def rounding(layer, kernel, epsilon=EPSILON):
    """Error of a product of `depth` matrices from a decomposition, each `width * epsilon`."""
    width = max(max(factor.shape) for factor in layer.factors)
    return layer.depth * width * epsilon * np.linalg.norm(kernel)


def assert_balanced_start(layer, initializer, epsilon=EPSILON):
    kernel = dense_kernel(layer, initializer)
    assert np.linalg.norm(product(layer) - kernel) <= rounding(layer, kernel, epsilon)
    factors = as_arrays(layer.factors)
    for left, right in zip(factors[:-1], factors[1:]):
        gap = np.linalg.norm(left.T @ left - right @ right.T)
        # Each Gram matrix has the error of two factors.
        width = max(*left.shape, *right.shape)
        assert gap <= 2 * width * epsilon * np.linalg.norm(left.T @ left)
        assert np.linalg.norm(left) > 0.1


@pytest.mark.parametrize("units, input_dim", [(4, 6), (6, 4), (5, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize(
    "depth, hidden_units",
    [(2, None), (3, None), (5, None), (2, 8), (4, 9), (2, [7]), (3, [7, 9]), (5, [8, 7, 9, 7])],
)
def test_the_default_start_is_balanced_and_multiplies_to_the_kernel_of_dense(
    units, input_dim, depth, hidden_units
):
    layer = built(
        units, input_dim, depth=depth, hidden_units=hidden_units, kernel_initializer=glorot()
    )
    assert_balanced_start(layer, glorot())
    # Width beyond the kernel's rank carries nothing.
    for factor in as_arrays(layer.factors):
        smallest = 9 * EPSILON * np.linalg.norm(factor, 2)
        assert np.linalg.matrix_rank(factor, smallest) == min(units, input_dim)


@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.HeNormal(seed=1),
        keras.initializers.Orthogonal(seed=1),
        keras.initializers.Identity(),
        keras.initializers.Ones(),
        keras.initializers.TruncatedNormal(stddev=2.0, seed=1),
        lambda shape, dtype=None: np.arange(24.0).reshape(shape),
    ],
)
def test_every_initializer_of_a_kernel_can_be_split(initializer):
    assert_balanced_start(built(depth=3, kernel_initializer=initializer), initializer)


@pytest.mark.parametrize("policy", BITS)
def test_dtype_policies(policy):
    if policy == "float64" and keras.backend.backend() == "torch":
        pytest.skip("Keras multiplies matrices of float64 in float32 on PyTorch")
    layer = built(depth=3, kernel_initializer=glorot(), dtype=policy)
    assert {factor.dtype for factor in layer.factors} == {layer.variable_dtype}
    assert_balanced_start(layer, glorot(), epsilon=2.0 ** (1 - BITS[policy]))


@pytest.mark.parametrize("hidden_units", [2, [3, 2], [2, 9]])
def test_a_narrow_layer_starts_at_the_best_approximation(hidden_units):
    layer = built(depth=3, hidden_units=hidden_units, kernel_initializer=glorot())
    kernel = dense_kernel(layer, glorot())
    u, s, vt = np.linalg.svd(kernel, full_matrices=False)
    best = (u[:, :2] * s[:2]) @ vt[:2]
    # A singular vector turns by the rounding error over the gap to the next singular value.
    allowed = rounding(layer, kernel) * s[0] / (s[1] - s[2])
    assert np.linalg.norm(product(layer) - best) <= allowed
    assert float(layer.imbalance()) <= 2 * 9 * EPSILON


def test_rotations_depend_on_the_seed_and_on_the_place():
    first, again, other = (
        as_arrays(built(4, 4, depth=3, kernel_initializer="identity", seed=seed).factors)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    # The kernel being I, the factors are Q_1', Q_1 Q_2' and Q_2.
    assert np.abs(first[0] - other[0]).max() > 0.1
    assert np.abs(first[0].T - first[2]).max() > 0.1


@pytest.mark.parametrize("draws", [0, 1, 2, None], ids=str)
def test_the_kernel_and_the_rotations_come_from_different_streams(draws):
    initializer = keras.initializers.RandomNormal()
    if draws is not None:
        initializer = keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(3))
        for _ in range(draws):
            initializer.seed.next()
    layer = built(4, 4, depth=2, kernel_initializer=initializer, seed=3)
    # factor_0 is U S^(1/2) Q_1', so that Q_1 holds its right singular vectors, up to signs. Were
    # it from the kernel's stream, it would be the orthogonal part of the kernel itself.
    rotation = np.linalg.svd(as_arrays(layer.factors)[0])[2].T
    of_the_kernel = np.linalg.qr(product(layer))[0]
    assert np.abs(np.abs(rotation) - np.abs(of_the_kernel)).max() > 0.1


def test_seed_fixes_the_whole_start():
    first, again, other = (as_arrays(built(depth=3, seed=seed).factors) for seed in (1, 1, 2))
    for index in range(3):
        np.testing.assert_array_equal(first[index], again[index])
        assert np.abs(first[index] - other[index]).max() > 0.01
    # The seed is handed to the initializer as it is.
    assert_balanced_start(built(depth=3, seed=1), glorot(seed=1))


def test_a_seed_of_the_initializer_wins():
    assert_balanced_start(built(depth=3, kernel_initializer=glorot(3), seed=1), glorot(3))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_seed_generator_is_drawn_from_once_per_layer(depth):
    generator = keras.random.SeedGenerator(3)
    both = [built(depth=depth, kernel_initializer=glorot(generator)) for _ in range(2)]
    # Its first draw is the one that `Dense` would make; the second layer makes another.
    assert_balanced_start(both[0], glorot(3))
    assert float(both[1].imbalance()) <= 2 * 6 * EPSILON
    assert np.abs(product(both[1]) - product(both[0])).max() > 0.01
    assert [int(number) for number in np.asarray(generator.state)] == [3, 2]


@pytest.mark.parametrize("depth", [1, 3])
def test_global_seed_fixes_unseeded_starts(depth):
    starts = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        starts.append(as_arrays(built(4, 4, depth=depth).factors))
    np.testing.assert_array_equal(*starts)
    assert np.abs(starts[0][0] - as_arrays(built(4, 4, depth=depth).factors)[0]).max() > 0.01


RANDOM_FACTORS = {
    "near zero": lambda: NearZero(),
    "near identity": lambda: NearIdentity(),
    "seeded": lambda: NearIdentity(seed=5),
    "string": lambda: "glorot_uniform",
    "orthogonal": lambda: "orthogonal",
    "class": lambda: keras.initializers.HeNormal,
    "seed generator": lambda: NearZero(seed=keras.random.SeedGenerator(5)),
    "callable": lambda: lambda shape, dtype=None: keras.random.normal(shape, dtype=dtype),
}


@pytest.mark.parametrize("name", RANDOM_FACTORS)
@pytest.mark.parametrize("seed", [None, 7])
def test_factors_of_the_same_shape_start_different(name, seed):
    layer = built(4, 4, depth=4, factor_initializer=RANDOM_FACTORS[name](), seed=seed)
    factors = as_arrays(layer.factors)
    assert len({factor.tobytes() for factor in factors}) == 4
    assert all(np.linalg.norm(factor) > 0 for factor in factors)


@pytest.mark.parametrize("initializer", ["zeros", "identity", keras.initializers.Constant(0.5)])
def test_a_deterministic_initializer_is_used_as_it_is(initializer):
    for factor in built(4, 4, depth=3, factor_initializer=initializer).factors:
        np.testing.assert_array_equal(factor, keras.initializers.get(initializer)((4, 4)))


@pytest.mark.parametrize("name", ["near zero", "near identity", "string", "orthogonal"])
def test_seed_fixes_the_factors(name):
    first, again, other = (
        as_arrays(built(4, 4, depth=3, factor_initializer=RANDOM_FACTORS[name](), seed=s).factors)
        for s in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(first, other))


@pytest.mark.parametrize("depth", [1, 3])
def test_an_initializers_own_seed_wins_and_is_that_of_the_first_factor(depth):
    initializer = NearIdentity(seed=5)
    layers_ = [built(depth=depth, factor_initializer=initializer, seed=s) for s in (None, 7)]
    for one, other in zip(*(layer.factors for layer in layers_)):
        np.testing.assert_array_equal(one, other)
    first = layers_[0].factors[0]
    np.testing.assert_array_equal(first, NearIdentity(seed=5)(tuple(first.shape)))


def test_near_identity_factors_multiply_to_nearly_the_identity():
    layer = built(6, 4, depth=5, hidden_units=5, factor_initializer=NearIdentity(stddev=0.0))
    np.testing.assert_array_equal(product(layer), np.eye(4, 6))


def test_the_kernel_initializer_is_unused_beside_a_factor_initializer():
    def never(shape, dtype=None):
        raise AssertionError("the kernel was drawn")

    generator = keras.random.SeedGenerator(1)
    for unused in (never, glorot(generator)):
        layer = built(4, 6, kernel_initializer=unused, factor_initializer=NearZero(seed=1))
        np.testing.assert_array_equal(layer.factors[0], NearZero(seed=1)((6, 4)))
    assert [int(number) for number in np.asarray(generator.state)] == [1, 0]
