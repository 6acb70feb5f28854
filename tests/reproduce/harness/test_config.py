"""Typed configurations."""

import dataclasses

import pytest
import yaml

from reproduce import figure5_right, networks, robustness
from reproduce.harness import cli, config
from reproduce.harness.errors import ConfigError
from reproduce.regression.configuration import Config

CONFIGS = sorted((cli.ROOT / "configs").glob("*.yaml"))


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
    loaded = load(tmp_path, {**VALUES, "rate": 1, "limit": 2})
    assert loaded == Outer(3, 1.0, "a", True, 2.0, Inner([1.0, 2.5]))
    assert [type(rate) for rate in (loaded.rate, *loaded.inner.rates)] == [float] * 3


def test_yamls_exponent_without_a_point_is_a_number(tmp_path):
    text = yaml.safe_dump(VALUES).replace("rate: 0.5", "rate: 1e-3")
    assert yaml.safe_load(text)["rate"] == "1e-3"  # as PyYAML has it
    assert load(tmp_path, text).rate == 0.001
    assert load(tmp_path, VALUES, ["rate=1e-3"]).rate == 0.001


def test_overrides_reach_inner_keys(tmp_path):
    loaded = load(tmp_path, VALUES, ["steps=7", "inner.rates=[0.1, 2]", "inner.rates[1]=3"])
    assert (loaded.steps, loaded.inner.rates) == (7, [0.1, 3.0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stepz": 1}, r"unknown key `stepz`. Did you mean `steps`\?"),
        ({"inner": {"ratez": []}}, r"unknown key `inner.ratez`. Did you mean `inner.rates`\?"),
        ({"steps": 1.5}, r"`steps` must be of type int. Received: 1.5"),
        ({"steps": True}, r"`steps` must be of type int. Received: True"),
        ({"steps": "3"}, r"`steps` must be of type int. Received: '3'"),
        ({"rate": "fast"}, r"`rate` must be of type float. Received: 'fast'"),
        ({"rate": "1.5"}, r"`rate` must be of type float. Received: '1.5'"),
        ({"rate": True}, r"`rate` must be of type float. Received: True"),
        ({"rate": float("nan")}, r"`rate` must be of type float. Received: nan"),
        ({"rate": 10**400}, r"`rate` must be of type float. Received: 1000"),
        ({"steps": 2**63}, r"`steps` must be of type int. Received: 9223372036854775808"),
        ({"name": 5}, r"`name` must be of type str. Received: 5"),
        ({"name": None}, r"`name` must be of type str. Received: None"),
        ({"rate": float("inf")}, r"`rate` must be of type float. Received: inf"),
        ({"rate": None}, r"`rate` must be of type float. Received: None"),
        ({"verbose": 1}, r"`verbose` must be of type bool. Received: 1"),
        ({"inner": None}, r"`inner` must be of type Inner. Received: None"),
        ({"inner": [1]}, r"`inner` must be of type Inner. Received: \[1\]"),
        ({"inner": 4}, r"`inner` must be of type Inner. Received: 4"),
        ({"inner": {"rates": 4}}, r"`inner.rates` must be of type list\[float\]. Received: 4"),
        ({"inner": {"rates": {}}}, r"`inner.rates` must be of type list\[float\]. Received: {}"),
        ({"inner": {"rates": ["x"]}}, r"`inner.rates\[0\]` must be of type float"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {**VALUES, **change})


def test_a_missing_key_is_named(tmp_path):
    values = {key: value for key, value in VALUES.items() if key != "rate"}
    with pytest.raises(ConfigError, match="config.yaml: the key `rate` is missing"):
        load(tmp_path, values)
    with pytest.raises(ConfigError, match="the key `inner.rates` is missing"):
        load(tmp_path, {**VALUES, "inner": {}})


@pytest.mark.parametrize(
    "key, meant",
    [("learning_rat", "`learning_rate`"), ("smoke_stepz", "`smoke_steps`"), ("bogus", None)],
)
def test_a_key_is_suggested_only_if_it_is_close(key, meant):
    with pytest.raises(ConfigError, match=f"unknown key `{key}`") as error:
        config.load(cli.ROOT / "configs" / "figure5_right.yaml", figure5_right.Config, [f"{key}=1"])
    suggestion = f"unknown key `{key}`." + (f" Did you mean {meant}?" if meant else "")
    assert str(error.value).endswith(suggestion)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("steps: 3", "steps: 010", "line 8, column 8: 010 is no decimal number"),
        ("rate: 0.5", "rate: 1:30", "1:30 is no decimal number"),
        ("rate: 0.5", "rate: 1:30.5", "1:30.5 is no decimal number"),
        ("rate: 0.5", "rate: -0x1F", "-0x1F is no decimal number"),
        ("name: a", "name: 0b11", "0b11 is no decimal number"),
        ("name: a", "name: ${steps}", "`[$][{]` is not allowed"),
        ("name: a", "name: '${oc.env:HOME}'", "`[$][{]` is not allowed"),
        ("name: a", "name: !!str 5", "a tag is not allowed"),
        ("name: a", "name: a\nname: b", "found duplicate key name"),
        ("name: a", "name: &a [*a]", "recursive aliases are not supported"),
        ("name: a", f"name: {'[' * 500}{']' * 500}", "nested too deeply"),
        ("name: a", f"name: {'[' * 1200}", "maximum nesting depth|nested too deeply"),
        ("name: a", "#" * 100_000, "longer than 100000 characters"),
        ("steps: 3", f"steps: {'9' * 5000}", "Exceeds the limit .4300 digits."),
    ],
)
def test_what_others_would_read_otherwise_is_refused(tmp_path, old, new, message):
    text = yaml.safe_dump(VALUES)
    assert load(tmp_path, text) and old in text
    with pytest.raises(ConfigError, match=rf"config.yaml cannot be read: .*({message})") as error:
        load(tmp_path, text.replace(old, new))
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_aliases_are_limited(tmp_path):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
        for last, name in zip("abcdefgh", "bcdefghi")
    )
    with pytest.raises(ConfigError, match="exceeds the configured limit of 10000"):
        load(tmp_path, bomb)
    text = yaml.safe_dump(VALUES).replace("null", "&r 0.5").replace("rate: 0.5", "rate: *r")
    assert load(tmp_path, text).limit == 0.5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_are_those_of_the_committed_results(path):
    classes = {
        "figure5_right": figure5_right.Config,
        "networks": networks.Networks.config_class,
        "robustness": robustness.Config,
    }
    loaded = config.load(path, classes.get(path.stem, Config))
    committed = config.read(cli.ROOT / "results" / path.stem / "config.yaml")
    assert config.as_dict(loaded) == committed["config"]


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_configuration_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match="config.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "override", ["steps", "=3", "inner.rates.x=1", "steps=[", "[=1", "inner.rates[9]=1"]
)
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
        config.load(cli.ROOT / "configs" / "figure5_right.yaml", figure5_right.Config, [override])
