"""Shares of a figure's runs, done apart, merge to what one process would have made."""

import dataclasses
import json
import math
import shutil

import pytest
import yaml

from reproduce import figure3, regression
from reproduce.harness import config, records

CONFIG = {
    "steps": 40,
    "stddev": 0.01,
    "smoke_steps": 5,
    "panels": [
        {
            "name": "fig3R_l4",
            "p": 4,
            "series": [{"name": "2-layer", "depth": 2, "rates": [0.0001, 0.001]}],
        },
    ],
}


@pytest.fixture
def command(tmp_path, monkeypatch, small_ethanol, no_figure_files):
    """Figure 3 with a small configuration, on a machine of its own: results in that folder."""

    def run(machine, *arguments):
        folder = tmp_path / machine
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        (folder / "small.yaml").write_text(yaml.safe_dump(CONFIG))
        shared = ["--config", "small.yaml", "--seeds", "0", "1", "--quiet"]
        figure3.main([*shared, "--out", "results", *arguments])
        return folder / "results"

    return run


def merged(folder, shares):
    """What the README says: all records copied into one results folder."""
    (folder / "results/records").mkdir(parents=True)
    for share in shares:
        for path in (share / "records").glob("*.json"):
            shutil.copy(path, folder / "results/records")


def numbers(path):
    return {record.name: record.numbers() for record in records.read_records(path)}


def assert_equal_to_rounding(ours, theirs):
    """Equal but for floats, whose sixth digit is rounded."""
    if isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-5)
    elif isinstance(theirs, (dict, list)):
        assert len(ours) == len(theirs)
        for key in theirs if isinstance(theirs, dict) else range(len(theirs)):
            assert_equal_to_rounding(ours[key], theirs[key])
    else:
        assert ours == theirs


@pytest.mark.slow
def test_shares_of_two_machines_merge_to_the_whole(command, tmp_path, capsys):
    whole = command("one")
    shares = [command(f"share {i}", "--shard", f"{i}/2") for i in (1, 2)]
    assert [len(numbers(share)) for share in shares] == [2, 2]
    merged(tmp_path / "all", shares)
    copied = {p: p.read_bytes() for p in (tmp_path / "all/results/records").iterdir()}
    together = command("all", "--resume")
    assert {p: p.read_bytes() for p in copied} == copied
    # Runs of a panel are columns of one product: their last digits depend on how many there are.
    assert_equal_to_rounding(numbers(together), numbers(whole))
    assert (together / "summary.json").exists()


@pytest.mark.parametrize(
    "part, change, message",
    [
        ("settings", {"steps": 41}, "was made with other settings"),
        ("provenance", {"data": {"fingerprint": "another"}}, "was made from other data than this"),
    ],
)
def test_a_share_of_other_runs_is_refused(part, change, message, command, tmp_path, capsys):
    (tmp_path / "all/results/records").mkdir(parents=True)
    (run, *_) = regression.plan(config.build(regression.Config, CONFIG, "the test"), [0])
    record = dataclasses.asdict(run.record({}, {}, {}))
    record[part] = {**record[part], **change}
    (tmp_path / f"all/results/records/{run.name}.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        command("all", "--resume")
    assert message in capsys.readouterr().err
