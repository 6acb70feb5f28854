"""Sabotages fit the source as it is; tools/reliability/sabotages.py applies them."""

import re

import pytest

from tools.reliability.mutants import ROOT
from tools.reliability.sabotages import SABOTAGES


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.what)
def test_what_is_replaced_is_there_and_so_is_the_test_that_is_to_notice(sabotage):
    before, after = sabotage.source()
    assert before != after
    path, name = re.fullmatch(r"(.*)::(\w+)(?:\[.*\])?", sabotage.test).groups()
    assert f"\ndef {name}(" in (ROOT / path).read_text("utf-8")
