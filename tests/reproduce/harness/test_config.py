"""Typed configurations."""

import dataclasses

import pytest
import yaml

from reproduce import figure5_right
from reproduce.harness import cli, config
from reproduce.harness.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Inner:
    rates: list[float]


@dataclasses.dataclass(frozen=True)
class Outer:
    steps: int
    rate: float
    name: str
    verbose: bool
    limit: float | None
    inner: Inner


VALUES = {
    "steps": 3,
    "rate": 0.5,
    "name": "a",
    "verbose": True,
    "limit": None,
    "inner": {"rates": [1, 2.5]},
}


def load(tmp_path, values, overrides=()):
    path = tmp_path / "config.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return config.load(path, Outer, overrides)


def test_values_take_their_declared_types(tmp_path):
    loaded = load(tmp_path, {**VALUES, "rate": "1e-3", "limit": 2})
    assert loaded == Outer(3, 0.001, "a", True, 2.0, Inner([1.0, 2.5]))
    assert [type(rate) for rate in loaded.inner.rates] == [float, float]


def test_yamls_exponent_without_a_point_is_a_number(tmp_path):
    # PyYAML reads 1e-3 as a string.
    assert yaml.safe_load("1e-3") == "1e-3"
    assert load(tmp_path, VALUES, ["rate=1e-3"]).rate == 0.001


def test_overrides_reach_inner_keys(tmp_path):
    loaded = load(tmp_path, VALUES, ["steps=7", "inner.rates=[0.1]"])
    assert (loaded.steps, loaded.inner.rates) == (7, [0.1])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stepz": 1}, r"unknown key `stepz`. Did you mean `steps`\?"),
        ({"inner": {"ratez": []}}, r"unknown key `inner.ratez`. Did you mean `inner.rates`\?"),
        ({"steps": 1.5}, r"`steps` must be of type int. Received: 1.5"),
        ({"steps": True}, r"`steps` must be of type int. Received: True"),
        ({"steps": "3"}, r"`steps` must be of type int. Received: '3'"),
        ({"rate": "fast"}, r"`rate` must be of type float. Received: 'fast'"),
        ({"rate": ".nan"}, r"`rate` must be of type float"),
        ({"rate": float("inf")}, r"`rate` must be of type float. Received: inf"),
        ({"rate": None}, r"`rate` must be of type float. Received: None"),
        ({"verbose": 1}, r"`verbose` must be of type bool. Received: 1"),
        ({"inner": 4}, r"`inner` must be of type Inner. Received: 4"),
        ({"inner": {"rates": 4}}, r"`inner.rates` must be of type list\[float\]. Received: 4"),
        ({"inner": {"rates": ["x"]}}, r"`inner.rates\[0\]` must be of type float"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {**VALUES, **change})


def test_a_missing_key_is_named(tmp_path):
    values = {key: value for key, value in VALUES.items() if key != "rate"}
    with pytest.raises(ConfigError, match="the key `rate` is missing"):
        load(tmp_path, values)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_configuration_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="config.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize("override", ["steps", "=3", "inner.rates.x=1", "steps=["])
def test_bad_overrides_are_refused(tmp_path, override):
    with pytest.raises(ConfigError, match="--set"):
        load(tmp_path, VALUES, [override])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.yaml"):
        config.load(tmp_path / "nowhere.yaml", Outer)


def test_digest_ignores_the_order_of_keys():
    assert config.digest({"a": 1, "b": 2}) == config.digest({"b": 2, "a": 1})
    assert config.digest({"a": 1}) != config.digest({"a": 2})


@pytest.mark.parametrize(
    "override", ["steps=0", "dropout=1.0", "learning_rate=-1", "alternative.stddevs=[0.1, 0]"]
)
def test_values_that_make_no_sense_are_refused(override):
    name = override.split("=")[0].split(".")[-1]
    with pytest.raises(ConfigError, match=f"`{name}` must"):
        config.load(cli.CONFIGS / "figure5_right.yaml", figure5_right.Config, [override])
