"""The short version of `python -m tools.reliability.strategies`."""

import functools

import pytest

from tools.reliability import strategies, strategies_training

pytestmark = pytest.mark.slow
ONLY = "depth 2.*momentum"


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """The weights of one device, TensorFlow's of this process, or JAX's; trained once."""

    @functools.lru_cache
    def weights(on_jax):
        if not on_jax:
            return strategies_training.train("one-device", only=ONLY)
        folder = tmp_path_factory.mktemp("one-device")
        given = ("one-device", folder, ["--only", ONLY], strategies.JAX, 300)
        return strategies.trained(*given)[0]

    return weights


@pytest.mark.parametrize("strategy", strategies.TITLES)
def test_the_weights_are_those_of_one_device(strategy, one_device, tmp_path):
    on_jax = strategy == "model-parallel"
    if on_jax:
        pytest.importorskip("jax")
    environment = strategies.JAX if on_jax else {}
    given = (strategy, tmp_path, ["--only", ONLY], environment, 300)
    for weights in strategies.trained(*given):
        found = strategies.deviations(weights, one_device(on_jax))
        assert len(found) == 2  # a factorized network, and one with EndToEnd
        assert max(found.values()) <= strategies.tolerance()
