"""Every bad input but those that take a process, and that a bad refusal is told from a good one."""

import time

import pytest

from tools.reliability import bad_inputs
from tools.reliability.inputs import bad_input
from tools.reliability.inputs.bad_input import BadInput, command, refusal

QUICK = [bad for bad in bad_inputs.INPUTS if not bad.slow]


@pytest.mark.parametrize("bad", QUICK, ids=lambda bad: f"{bad.kind}; {bad.what}"[:80])
def test_is_refused(bad):
    held, message = refusal(bad)
    assert held, f"said: {message}; should say: {bad.says}"


def test_no_input_is_there_twice():
    names = [(bad.kind, bad.what) for bad in bad_inputs.INPUTS]
    assert len(set(names)) == len(names) >= 60


def _raise(error):
    raise error


def _run_code(folder):
    (folder / bad_input.RAN).touch()
    raise ValueError("x")


@pytest.mark.parametrize(
    "give, raises",
    [
        (lambda folder: None, (ValueError,)),
        (lambda folder: _raise(ValueError("y")), (ValueError,)),
        (lambda folder: _raise(KeyError("x")), (ValueError,)),
        (lambda folder: _raise(SystemExit(1)), (SystemExit,)),
        (lambda folder: command("reproduce.figure5_right", "--help"), (SystemExit,)),
        (lambda folder: time.sleep(3), (ValueError,)),
        (_run_code, (ValueError,)),
    ],
    ids=["accepted", "other words", "other type", "no line", "status 0", "hang", "code"],
)
def test_what_is_no_refusal(give, raises, monkeypatch):
    monkeypatch.setattr(bad_input, "SECONDS", 1)
    held, _ = refusal(BadInput("kind", "what", give, ("x",), raises))
    assert not held


def test_rows_are_counted_by_kind():
    rows = bad_inputs.rows({"a": [True, False], "b": [True]})
    assert [(row.what, row.tried, row.held) for row in rows] == [
        ("a", 2, 1),
        ("b", 1, 1),
        ("all bad inputs", 3, 2),
    ]
