"""The main job on two workers: the numbers of one machine, and requests that cannot be met."""

import contextlib
import json
import sys

import keras
import numpy as np
import pytest

from reproduce import figure5_right
from reproduce.harness import records
from tests.helpers.workers import run_together, tf_configs

FLAGS = ["--quiet", "--set", "batch_size=8"]
TWO = {"worker": ["a:1", "b:1"]}


def on_two_workers(folders, *arguments):
    """Status, output and errors of the command on each of two workers with folders of their own."""
    command = [sys.executable, "-m", "reproduce.figure5_right", "--strategy", "multi-worker"]
    return run_together(
        [[*command, *FLAGS, *arguments]] * 2,
        [
            {"TF_CONFIG": config, "HOME": str(folder)}
            for config, folder in zip(tf_configs(2), folders)
        ],
        seconds=500,
        cwd=folders,
    )


@pytest.fixture
def folders(tmp_path):
    paths = [tmp_path / "chief", tmp_path / "other"]
    for path in paths:
        path.mkdir()
    return paths


@contextlib.contextmanager
def in_float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


RESULTS = "runs/figure5_right/results"


@pytest.mark.slow
def test_two_workers_train_what_one_machine_does(folders, tmp_path, monkeypatch):
    # In float64: a rounding of float32 may decide which of two pixels is a maximum.
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"floatx": "float64"}')
    arguments = ["--steps", "4", "--arms", "overparameterized", "second_network"]
    monkeypatch.chdir(tmp_path)
    with in_float64():
        figure5_right.main([*FLAGS, *arguments])
    expected = {record.name: record for record in records.read_records(tmp_path / RESULTS)}
    # The chief has one of the three already, of which the other worker cannot know.
    kept = folders[0] / RESULTS / "records/second_network_original-seed-0.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((tmp_path / RESULTS / "records" / kept.name).read_bytes())
    outcomes = on_two_workers(folders, *arguments, "--resume")
    assert [status for status, _, _ in outcomes] == [0, 0], outcomes
    found = {record.name: record for record in records.read_records(folders[0] / RESULTS)}
    assert found.keys() == expected.keys()
    for name in set(found) - {kept.stem}:
        assert found[name].provenance["strategy"] == "multi-worker"
        assert found[name].provenance["workers"] == 2
        assert found[name].settings == expected[name].settings
        # A mask or a mean of half the batch would show in the first digit.
        for panel, curve in expected[name].curves.items():
            np.testing.assert_allclose(found[name].curves[panel], curve, rtol=1e-9)
    assert (folders[0] / RESULTS / "figure.png").exists()
    assert not (folders[1] / "runs").exists()


@pytest.mark.slow
def test_when_the_chief_cannot_go_on_the_others_say_so(folders):
    (folders[0] / RESULTS / "records").mkdir(parents=True)
    (folders[0] / RESULTS / "records/original-seed-0.json").write_text("{}")
    chief, other = on_two_workers(folders, "--steps", "1", "--arms", "original")
    assert (chief[0], other[0]) == (2, 2)
    assert "Add --resume" in chief[2]
    assert "error: Another worker is gone" in other[2]
    assert "Traceback" not in chief[2] + other[2]


@pytest.mark.parametrize(
    "tf_config, arguments, message",
    [
        (None, [], "needs TF_CONFIG"),
        ("{", [], "TF_CONFIG must name two or more workers"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, [], "two or"),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, [], "this one's index"),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, [], "this one's index"),
        ({"cluster": TWO}, [], "this one's index"),
        (
            {"cluster": TWO, "task": {"type": "worker", "index": 0}},
            ["--set", "batch_size=9"],
            "`batch_size` is 9, which 2 devices cannot share equally",
        ),
        (None, ["--tutorial-seeds"], "--tutorial-seeds is for --strategy one-machine"),
    ],
)
def test_what_cannot_be_met_ends_with_one_clear_message(
    tf_config, arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        text = tf_config if isinstance(tf_config, str) else json.dumps(tf_config)
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(SystemExit) as error:
        figure5_right.main(["--strategy", "multi-worker", *FLAGS, *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
