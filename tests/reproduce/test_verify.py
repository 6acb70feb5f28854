"""Recomputed prefixes: what agrees, what is off, and what is refused."""

import contextlib
import dataclasses
import json
import types

import numpy as np
import pytest

from reproduce import data, figure4_right, prefixes, verify
from reproduce.harness import curves, records
from reproduce import linear_networks
from reproduce import mnist_convnet

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


def prefix(recomputed, moved=None):
    """Of a curve 1, 2, 4, recomputed twice, the second time with a number's last bit changed."""
    curve, others = (
        prefixes._prefix("panel", "curve", [(0, 1.0), (1, 2.0), (2, 4.0)], list(enumerate(values)))
        for values in (recomputed, moved or recomputed)
    )
    return prefixes._with_rounding(curve, [others], 200)


@pytest.mark.parametrize(
    "recomputed, moved, off, chaotic",
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
def test_what_is_off(recomputed, moved, off, chaotic):
    panel = verify.Panel()
    panel.add(prefix(recomputed, moved))
    assert (bool(panel.off), panel.chaotic, panel.points) == (off, chaotic, 3 - chaotic)


HALF_WINDOW = 2
RECORD = verify.RESULTS / "figure5_right/records/second_network_overparameterized-seed-0.json"
SETTINGS = records.read_record(RECORD).settings
TRAINING = records.rebuilt(mnist_convnet.Training, SETTINGS, steps=STEPS)


@pytest.fixture(scope="module")
def images():
    return data.load_mnist(source="stand-in")


def convnet(series, diverged_at=None, steps=STEPS):
    """A finished record of one panel."""
    return types.SimpleNamespace(
        name="run",
        settings={**dataclasses.asdict(TRAINING), "steps": steps},
        curves={"loss": curves.smoothed(np.array(series), HALF_WINDOW)},
        results={"diverged_at": diverged_at},
    )


def convnets(record, images, iterations):
    identity = {"config": {"half_window": HALF_WINDOW}}
    return list(prefixes._convnets([record], identity, images, iterations, bar))


def test_a_convnet_that_was_rounded_otherwise_is_not_off(images):
    network = mnist_convnet.build_network(TRAINING)
    prefixes._move(network, seed=STEPS)  # none of the starts that it is compared with
    losses, _ = mnist_convnet.descend(network, TRAINING, images)
    (prefix,) = convnets(convnet(losses[:, 0]), images, STEPS - 3)
    assert prefix.iterations == list(range(STEPS - 3 - HALF_WINDOW))
    assert not prefix.agrees() and 0 < max(prefix.rounding) < verify.LARGEST
    panel = verify.Panel()
    panel.add(prefix)
    assert not panel.off

    by_more = np.array(prefix.committed) * (1 + 2 * max(prefix.rounding))
    panel.add(dataclasses.replace(prefix, committed=list(by_more)))
    assert panel.off


@pytest.mark.parametrize(
    "committed, diverged_at, recomputed, off",
    [
        ([1, 2, 9, np.nan], 3, [1, 2, 9, np.nan], False),
        ([1, 2, 9, np.nan], 3, [1, 2, 9, 99], False),  # an iteration later
        ([1, 2, 9, np.nan], 3, [1, 2, np.inf, np.nan], False),  # sooner
        ([1, 2, 9, np.nan], 3, [1, np.nan, np.nan, np.nan], True),  # much sooner
        ([1, 2, np.nan, np.nan], 2, [1, 2, 3, 4], True),  # not at all
        ([1, 2, 9, np.nan], 3, [1, 5, 9, np.nan], True),
        ([1, 2, 9, np.nan], 3, [5, 4, np.nan, np.nan], True),
        # Whatever the missing value is taken to be, it would agree: nothing is verified.
        ([1, 2, np.nan, np.nan], 2, [9, np.nan, np.nan, np.nan], True),
        ([1, 2, 3, 4], None, [1, 2, 3, np.nan], True),
        ([np.nan, np.nan, np.nan, np.nan], 0, [1, 2, 3, 4], True),
    ],
)
def test_a_convnet_may_diverge_an_iteration_sooner_or_later(
    committed, diverged_at, recomputed, off, images, monkeypatch
):
    losses = np.array(recomputed, "float32")[:, None]
    monkeypatch.setattr(mnist_convnet, "build_network", lambda training: None)
    monkeypatch.setattr(mnist_convnet, "descend", lambda *_: (losses, []))
    monkeypatch.setattr(prefixes, "_move", lambda network, seed: None)
    panel = verify.Panel()
    panel.add(*convnets(convnet(committed, diverged_at, steps=4), images, 4))
    assert bool(panel.off) == off


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
