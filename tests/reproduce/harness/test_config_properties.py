"""Properties of configurations and of the names of runs, on what hypothesis makes up."""

import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reproduce.harness import config, records
from reproduce.harness.errors import ConfigError
from tests.helpers.settings import Section, Settings, check_message

QUICK = settings(deadline=None, max_examples=25, derandomize=True)

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=8).filter(
    lambda text: "${" not in text and "???" not in text  # They mean something to OmegaConf.
)
integers = st.integers(-(2**63) + 1, 2**63 - 1)
plain = st.recursive(
    st.none() | st.booleans() | integers | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
sections = st.builds(
    Section,
    rates=st.lists(numbers, max_size=3),
    names=st.lists(texts, max_size=3),
    width=integers,
)
configurations = st.builds(
    Settings,
    steps=st.integers(1, config.LARGEST),
    rate=numbers,
    name=texts,
    verbose=st.booleans(),
    limit=st.none() | numbers,
    sections=st.lists(sections, max_size=2),
    inner=st.none() | sections,
)


@QUICK
@given(value=plain)
def test_what_is_written_as_yaml_is_read_back(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    path.write_text(config.as_yaml({"key": value}), encoding="utf-8")
    assert config.read(path) == {"key": value}


@QUICK
@given(settings_=configurations)
def test_a_configuration_is_read_back_from_its_dump(settings_, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(config.as_yaml(config.as_dict(settings_)), encoding="utf-8")
    assert config.load(path, Settings) == settings_
    digest = config.digest(config.as_dict(settings_))
    assert digest == config.digest(config.as_dict(config.load(path, Settings)))


@QUICK
@given(settings_=configurations, other=configurations)
def test_overrides_are_as_good_as_a_file(settings_, other, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "overridden.yaml"
    path.write_text(config.as_yaml(config.as_dict(settings_)), encoding="utf-8")
    values = config.as_dict(other)
    overrides = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in values.items()
    ]
    assert config.load(path, Settings, overrides) == other


@QUICK
@given(values=st.dictionaries(st.sampled_from(["steps", "rate", "inner", "x"]) | texts, plain))
def test_other_values_are_refused_in_a_line(values):
    try:
        settings_ = config.build(Settings, values, where="here")
    except ConfigError as error:
        check_message(str(error), "")
    else:
        assert config.build(Settings, config.as_dict(settings_), where="here") == settings_


@QUICK
@given(series=texts, seed=st.integers(0, 10**9), panel=texts)
def test_names_of_runs_are_names_of_files(series, seed, panel):
    name = records.run_name(series, seed, panel)
    assert re.fullmatch(r"[A-Za-z0-9.=_-]+", name) and name.endswith(f"-seed-{seed}")
    assert records.run_name(series, seed + 1, panel) != name
