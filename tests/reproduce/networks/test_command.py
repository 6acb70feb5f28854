"""The command: from end to end on a small task, resumed, in shares."""

import json

import numpy as np
import pytest
import yaml

from reproduce import data, networks
from reproduce.harness import cli, records
from reproduce.workloads import training

STEPS = 40


@pytest.fixture
def command(tmp_path, monkeypatch, small_ethanol):
    """The l4 regression of another task, with fewer rates; returns its results folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reproduce.workloads.ethanol.FEATURES", small_ethanol.features.shape[1])
    networks.data_of.cache_clear()
    path = tmp_path / "small.yaml"
    values = yaml.safe_load((cli.ROOT / "configs" / "networks.yaml").read_text(encoding="utf-8"))
    small = {**values, "rates": 2, "noise_seeds": [3], "points": 4}
    path.write_text(yaml.safe_dump(small))
    shared = ["--config", str(path), "--steps", str(STEPS), "--quiet", "--seeds", "1", "2"]
    shared += ["--workloads", "ethanol", "--optimizers", "sgd"]

    def run(*arguments, folder="results"):
        networks.main([*shared, "--out", folder, *arguments])
        return tmp_path / folder

    yield run
    networks.data_of.cache_clear()


def fake(workload, dataset, settings, on_point):
    """Training in which the best rate of a method is 1e-3, and at 1e-2 and beyond diverges."""
    rate = settings["learning_rate"]
    end = 1 + abs(np.log10(rate / 1e-3)) + 0.01 * settings["seed"]
    on_point(STEPS, {"training_loss": end})
    is_lost = rate >= 1e-2
    curve = [[10, 5.0]] if is_lost else [[10, 5.0], [STEPS, float(end)]]
    return {"training_loss": curve}, {"diverged_at": 12 if is_lost else None, "parameters": 1}


def numbers(folder):
    return {record.name: record.numbers() for record in records.read_records(folder)}


def test_rates_are_tried_until_the_best_is_at_no_edge_and_then_measured(command, monkeypatch):
    monkeypatch.setattr(training, "train", fake)
    monkeypatch.setattr(networks.Networks, "draw", lambda *_: None)
    folder = command("--methods", "plain", "rule")
    found = numbers(folder)
    for method, seeds in (("plain", (1, 2, 3)), ("rule", (1, 2))):
        of_method = [r for r in found.values() if r["settings"]["method"] == method]
        selection = {r["learning_rate"]: r for r in of_method if r["seed"] == 0}
        assert sorted(selection) == [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3]
        later = {(r["learning_rate"], r["seed"]) for r in of_method if r["seed"]}
        assert later == {(1e-3, seed) for seed in seeds}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert "2 of 4" in str(summary["tables"])
    # One being lost, it alone is run again; and shares come to the same.
    lost = sorted((folder / "records").glob("*.json"))[3]
    text = lost.read_text()
    lost.unlink()
    ran = []
    monkeypatch.setattr(
        training, "train", lambda w, d, s, on_point: ran.append(1) or fake(w, d, s, on_point)
    )
    command("--methods", "plain", "rule", "--resume")
    assert len(ran) == 1
    ours, theirs = json.loads(lost.read_text()), json.loads(text)
    assert ours["curves"] == theirs["curves"] and ours["settings"] == theirs["settings"]
    for number in (1, 2):
        share = ("--methods", "plain", "rule", "--shard", f"{number}/2", "--resume")
        command(*share, folder="shares")
    assert numbers(folder.parent / "shares") == found


@pytest.mark.slow
def test_from_end_to_end(command):
    folder = command("--methods", "plain", "factors", "--set", "warmup=0.1")
    found = numbers(folder)
    assert {r["settings"]["method"] for r in found.values()} == {"plain", "factors"}
    for each in found.values():
        steps = [t for t, _ in each["curves"].get("training_loss", [])]
        lost = each["results"]["diverged_at"]
        assert steps == ([10, 20, 30, 40] if lost is None else [t for t in steps if t <= lost])
    assert list((folder / "logs").rglob("events*"))
    assert (folder / "figure.png").stat().st_size > 10_000
    assert (folder / "losses.png").stat().st_size > 10_000


@pytest.mark.slow
def test_smoke(tmp_path, monkeypatch, few_digits, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load_mnist", lambda *_: few_digits)
    networks.data_of.cache_clear()
    networks.main(["--smoke", "--workloads", "mlp", "--set", "workloads[1].validation_size=20"])
    assert "It works here. The whole takes about" in capsys.readouterr().out
    found = numbers(tmp_path / "runs/smoke/networks/results")
    assert len(found) == 10 * 2 + 3
    assert all(record["settings"]["steps"] == 4 for record in found.values())
    networks.data_of.cache_clear()
