"""The paper's two starts, and the seeds of a family of factors."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing
from tfoverparam import FactorizedDense, initializers
from tfoverparam.initializers import NearIdentity, NearZero


def test_near_zero_is_gaussian_noise_of_the_papers_size():
    values = ops.convert_to_numpy(NearZero(seed=0)((200, 100)))
    # Of 20000 draws the mean is within 4 standard errors, and so is the standard deviation.
    assert abs(values.mean()) <= 4 * 0.01 / np.sqrt(20000)
    assert abs(values.std() - 0.01) <= 4 * 0.01 / np.sqrt(2 * 20000)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2), (1, 3)])
def test_near_identity_is_near_zero_plus_ones_on_the_diagonal(shape):
    noise = ops.convert_to_numpy(NearZero(seed=5)(shape))
    near_identity = ops.convert_to_numpy(NearIdentity(seed=5)(shape))
    np.testing.assert_array_equal(near_identity, noise + np.eye(*shape, dtype="float32"))
    np.testing.assert_array_equal(NearIdentity(stddev=0.0)(shape), np.eye(*shape))


@pytest.mark.parametrize("initializer", [NearZero, NearIdentity])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_dtype(initializer, dtype):
    values = initializer(seed=1)((2, 3), dtype=dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype


@pytest.mark.parametrize("initializer", [NearZero(), NearIdentity(stddev=0.5, seed=3)])
def test_serialization(initializer):
    revived = testing.TestCase().run_class_serialization_test(initializer)
    assert type(revived) is type(initializer)
    assert set(initializer.get_config()) == {"stddev", "seed"}
    # The name under which the class is written into files is a promise.
    name = f"tfoverparam>{type(initializer).__name__}"
    assert keras.saving.get_registered_name(type(initializer)) == name


def test_the_first_seed_of_a_family_is_the_given_one():
    assert initializers.derive_seed(42, 0) == 42
    assert initializers.derive_seed(None, 0) is None


def test_seeds_of_a_family_differ_and_do_not_change_between_runs():
    seeds = [initializers.derive_seed(seed, index) for seed in range(20) for index in range(20)]
    assert len(set(seeds)) == len(seeds)
    # Written down: a change of these numbers would change everybody's seeded starts.
    assert [initializers.derive_seed(0, index) for index in (1, 2)] == [1623046996, 1660544258]


def test_with_seed_changes_the_seed_only():
    original = keras.initializers.RandomNormal(mean=1.0, stddev=2.0, seed=1)
    copy = initializers.with_seed(original, 7)
    assert copy.get_config() == {"mean": 1.0, "stddev": 2.0, "seed": 7}
    assert original.seed == 1


@pytest.mark.parametrize("initializer", [keras.initializers.Zeros(), lambda shape, dtype: None])
def test_what_takes_no_seed_is_left_as_it_is(initializer):
    assert initializers.with_seed(initializer, 7) is initializer
    assert initializers.own_seed(initializer) is None
    assert initializers.repeatable(initializer) is initializer


def test_own_seed_is_what_the_user_gave():
    generator = keras.random.SeedGenerator(1)
    assert initializers.own_seed(keras.initializers.RandomNormal(seed=3)) == 3
    assert initializers.own_seed(keras.initializers.RandomNormal(seed=generator)) is generator
    # Keras draws a seed for an unseeded one, which is not the user's.
    assert initializers.own_seed(keras.initializers.RandomNormal()) is None


def test_a_repeatable_copy_repeats_the_draws_of_a_generator():
    initializer = keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(3))
    copies = [initializers.repeatable(initializer) for _ in range(3)]
    draws = [ops.convert_to_numpy(copy((2, 2))) for copy in copies]
    for copy, draw in zip(copies, draws):
        np.testing.assert_array_equal(copy((2, 2)), draw)
    # The first is the generator's own first draw, and each one is new.
    np.testing.assert_array_equal(draws[0], keras.initializers.RandomNormal(seed=3)((2, 2)))
    assert len({draw.tobytes() for draw in draws}) == 3


@pytest.mark.parametrize("depth", [2, 5])
def test_a_balanced_start_decomposes_the_kernel_once(depth, monkeypatch):
    draws, decompositions = [], []
    eigh = np.linalg.eigh

    def draw(shape, dtype=None):
        draws.append(shape)
        return keras.initializers.GlorotNormal(seed=1)(shape, dtype=dtype)

    monkeypatch.setattr(np.linalg, "eigh", lambda gram: decompositions.append(0) or eigh(gram))
    layer = keras.Sequential([FactorizedDense(4, depth=depth, kernel_initializer=draw, seed=2)])
    layer.build((None, 6))
    assert draws == [(6, 4)] and len(decompositions) == 1
    # What each replica of a strategy asks for is what the first one got.
    start = initializers.BalancedStart(draw, (6, 4), depth, [4] * (depth - 1), seed=3)
    once, again = (
        [ops.convert_to_numpy(each(None, dtype="float32")) for each in start.initializers()]
        for _ in range(2)
    )
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)
