"""The fuzzer's seeds, once each, and that its checks can fail."""

import dataclasses

import pytest

from reproduce.harness import config
from tools.reliability import fuzz, fuzz_targets

SEEDS = sorted(path for path in fuzz.CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_seed(path):
    fuzz_targets.TARGETS[path.parent.name](path.read_bytes())


def test_some_seeds_are_read_and_most_refused():
    def outcome(path):
        text = path.read_bytes().decode("utf-8", "replace")
        try:
            return bool(list(fuzz_targets.parse(text, path.name)))
        except fuzz_targets.MalformedLineError:
            return False

    read = [path.name for path in SEEDS if path.parent.name == "text_format" and outcome(path)]
    assert {"one_measurement", "two_gases", "exponents", "tiny_and_huge"} <= set(read)
    assert len(read) < len(list((fuzz.CORPUS / "text_format").iterdir())) / 2


def test_a_reader_that_lets_other_errors_through_is_found(monkeypatch):
    def load(path, cls, overrides):
        raise KeyError("x")

    monkeypatch.setattr(config, "load", load)
    with pytest.raises(KeyError):
        fuzz_targets.configuration(b"steps: 3")


def test_a_reader_that_changes_what_it_reads_is_found(monkeypatch):
    seed = (fuzz.CORPUS / "configuration" / "plain").read_bytes()
    original, calls = config.load, []

    def load(path, cls, overrides):
        calls.append(path)
        return dataclasses.replace(original(path, cls, overrides), steps=len(calls))

    monkeypatch.setattr(config, "load", load)
    with pytest.raises(AssertionError):
        fuzz_targets.configuration(seed)
