"""The short version of `python -m tests.reliability.strategies`."""

import functools

import pytest

from tests.reliability import strategies

ONLY = ["--only", "depth 2.*momentum"]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """The weights of one device under a backend; trained once."""

    @functools.lru_cache
    def weights(on_jax):
        folder = tmp_path_factory.mktemp("one-device")
        environment = strategies.JAX if on_jax else {}
        (found,) = strategies.trained("one-device", folder, ONLY, environment, seconds=300)
        return found

    return weights


@pytest.mark.parametrize("strategy", strategies.TITLES)
def test_the_weights_are_those_of_one_device(strategy, one_device, tmp_path):
    on_jax = strategy == "model-parallel"
    if on_jax:
        pytest.importorskip("jax")
    environment = strategies.JAX if on_jax else {}
    for weights in strategies.trained(strategy, tmp_path, ONLY, environment, seconds=300):
        found = strategies.deviations(weights, one_device(on_jax))
        assert len(found) == 2  # a factorised network, and one with EndToEnd
        assert max(found.values()) <= strategies.tolerance()
