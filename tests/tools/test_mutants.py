"""The reasons of survivors.yaml: mutants.py finds them, and they are of the present source."""

import re

import pytest
import yaml

from tools.reliability import mutants

REASONS = yaml.safe_load(mutants.SURVIVORS.read_text(encoding="utf-8"))
ADDED = r"\n\+ "  # in a pattern


def test_a_mutant_is_explained_by_its_name_or_by_a_pattern():
    reasons = {"mutants": {"a\n- 1\n+ 2": ""}, "patterns": {r"^b\n- (.*)1\n\+ \1 2$": ""}}
    others = {"a\n- 1\n+ 3", "b\n- x1\n+ y 2", "c\n- 1\n+ 2", "b\n- 1\n+ 2\n(at another place)"}
    known = {"a\n- 1\n+ 2", "b\n- x1\n+ x 2"}
    assert mutants.explained(known | others, reasons) == known


@pytest.fixture(scope="module")
def lines():
    """Of each file that is mutated, its lines as in the name of a mutant."""
    files = {file for suite in mutants.SUITES for file in mutants.matching(suite.files)}
    texts = {file: (mutants.ROOT / file).read_text(encoding="utf-8") for file in files}
    return {file: {f"- {each.strip()}" for each in texts[file].splitlines()} for file in files}


def test_every_reason_is_of_lines_that_are_there(lines):
    for name in REASONS["mutants"]:
        file, *changes = name.split("\n")
        assert {each for each in changes if each.startswith("-")} <= lines[file], name
    for pattern in REASONS["patterns"]:
        assert pattern.startswith("^") and pattern.count(ADDED) == 1, pattern
        of = re.compile(pattern.partition(ADDED)[0] + "$")
        assert any(of.search(f"{file}\n{each}") for file in lines for each in lines[file]), pattern
