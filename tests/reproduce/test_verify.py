"""Recomputed prefixes: what agrees, what is off, and what is refused."""

import contextlib
import json
import types

import numpy as np
import pytest

from reproduce import data, figure4_right, linear_networks, prefixes, records, verify
from reproduce.prefixes import Prefix

STEPS = 12


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a figure, made from the stand-in."""
    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make(folder / "figure4_right")
    return folder


def make(folder):
    figure4_right.main(
        ["--data", "stand-in", "--quiet", "--steps", str(STEPS), "--out", str(folder)]
    )


def test_the_same_command_gives_the_same_bits(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "figure4_right")
    first, second = (
        [record.numbers() for record in records.read_records(folder / "figure4_right")]
        for folder in (results, tmp_path)
    )
    assert first == second


def test_results_are_verified_until_a_value_is_changed(results, capsys):
    command = ["figure4_right", "--results", str(results), "--iterations", "10", "--quiet"]
    verify.main(command)
    assert " ok" in capsys.readouterr().out

    path = sorted((results / "figure4_right" / "records").glob("*.json"))[0]
    original = path.read_text()
    record = json.loads(original)
    record["curves"]["fig4R_l4"][-6][1] *= 1 + 1e-4
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit) as ended:
        verify.main([*command, "--iterations", str(STEPS)])
    path.write_text(original)
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "OFF" in out and f"Off: figure4_right fig4R_l4 {path.stem}" in out


def descents(committed):
    """The prefixes of a run that diverges, with this for its committed curve."""
    task = data.load_ethanol(source="stand-in")
    run = linear_networks.Run(p=4, depth=1, learning_rate=0.5, seed=0)
    found = prefixes._descents({("panel", "run"): (run, committed)}, task, 0.0, STEPS, bar)
    return list(found)


@contextlib.contextmanager
def bar(description, total):
    yield types.SimpleNamespace(update=lambda count: None, n=0)


def test_a_run_may_diverge_an_iteration_sooner_and_no_more():
    everything = [[t, 1.0] for t in range(STEPS + 1)]
    (prefix,) = descents(everything)
    last = next(t for t, value in enumerate(prefix.recomputed) if np.isinf(value))
    assert 0 < last < STEPS - 1
    curve = [[t, value] for t, value in enumerate(prefix.recomputed[:last])]
    for later, off in ((0, False), (1, False), (2, True)):
        longer = curve + [[t, 1e38] for t in range(last, last + later)]
        panel = verify.Panel()
        panel.add(*descents(longer))
        assert bool(panel.off) == off


def test_committed_integrals_are_those_of_the_code(capsys):
    verify.main(["figure1", "--quiet"])
    assert " ok" in capsys.readouterr().out


def prefix(recomputed, probe=None):
    committed = [1.0, 2.0, 4.0]
    return Prefix("panel", "curve", [0, 1, 2], committed, recomputed, probe or recomputed)


@pytest.mark.parametrize(
    "recomputed, probe, off, chaotic",
    [
        ([1.0, 2.0, 4.0], None, False, 0),
        ([1.0, 2.0, 4.00001], None, False, 0),
        ([1.0, 2.0, 4.001], None, True, 0),
        ([1.0, 2.0, np.inf], None, True, 0),
        # The last bit moves the second point by 1e-4: from there on, 200 times that is allowed.
        ([1.0, 2.0, 4.001], [1.0, 2.0002, 4.001], False, 0),
        ([1.001, 2.0, 4.0], [1.001, 2.0002, 4.0], True, 0),
        ([1.0, 2.0, 4.1], [1.0, 2.0002, 4.1], True, 0),
        # It moves the second by 1 %: what comes then says nothing.
        ([1.0, 2.0, 8.0], [1.0, 2.02, 8.0], False, 2),
        # It moves all of them: the curve is not verified.
        ([1.0, 2.0, 4.0], [1.1, 2.0, 4.0], True, 3),
    ],
)
def test_what_is_off(recomputed, probe, off, chaotic):
    panel = verify.Panel()
    panel.add(prefix(recomputed, probe))
    assert (bool(panel.off), panel.chaotic, panel.points) == (off, chaotic, 3 - chaotic)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["figure6"], "no figure of figure1"),
        (["figure2", "--iterations", "0"], "must be positive"),
        (["figure2", "--results", "nowhere"], "holds no results"),
        (["figure1", "--results", "nowhere"], "holds no results"),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_one_clear_message(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        verify.main([*arguments, "--quiet"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_without_the_real_data_there_is_a_clear_error(own_home, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        verify.main(["figure2", "--quiet", "--data-dir", str(folder)])
    assert ended.value.code == 2
    assert "cannot be downloaded" in capsys.readouterr().err
