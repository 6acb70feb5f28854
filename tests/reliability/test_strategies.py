"""The short version of `python -m tests.reliability.strategies`."""

import pytest

from tests.reliability import strategies

ONLY = ["--only", "depth 2.*momentum"]


@pytest.mark.parametrize(
    "strategy, environment", [("multi-worker", {}), ("model-parallel", strategies.JAX)]
)
def test_the_weights_are_those_of_one_device(strategy, environment, tmp_path):
    if environment is strategies.JAX:
        pytest.importorskip("jax")
    (reference,) = strategies.trained("one-device", tmp_path, ONLY, environment, seconds=300)
    for weights in strategies.trained(strategy, tmp_path, ONLY, environment, seconds=300):
        found = strategies.deviations(weights, reference)
        assert len(found) == 2  # a factorised network, and one with EndToEnd
        assert max(found.values()) <= strategies.tolerance()
