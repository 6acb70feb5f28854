"""Targets, ratios, chance and verdicts on curves made by hand."""

import json

import numpy as np
import pytest

from reproduce import claims
from reproduce.claims import networks as checks
from reproduce.harness import cli
from reproduce.harness.records import Record


def record(method, seed, pace, workload="mlp", optimizer="sgd", phase=None, rate=0.1, last=None):
    """A run whose validation loss is 1 / (pace * step), and twice that its training loss."""
    curve = [[0, 9.0], *([t, 1 / (pace * t)] for t in range(10, 101, 10) if pace)]
    phase = phase or ("measurement" if 1 <= seed <= 5 else "noise" if seed else "selection")
    held_out = workload != "ethanol"
    curves = {"training_loss": [[t, 2 * value] for t, value in curve]}
    if held_out:
        curves["validation_loss"] = curve
    settings = {
        "workload": workload,
        "optimizer": optimizer,
        "method": method,
        "phase": phase,
        "learning_rate": rate,
        "steps": 100,
        "validation_size": 10 if held_out else 0,
    }
    settings = json.loads(json.dumps(settings))  # as they come from a file
    results = {"diverged_at": 5 if pace == 0 else None, "test_error": 2.0}
    series = f"{optimizer} {method} lr={rate:g}"
    return Record(series, seed, rate, settings, curves, results, {}, workload)


def plain(workload="mlp", optimizer="sgd", spread=0.0):
    """Ten runs, whose paces are apart by `spread` from one to the next."""
    return [
        record("plain", seed, 0.8 + spread * (seed - 5.5), workload, optimizer)
        for seed in range(1, 11)
    ]


def five(method, pace, **kwargs):
    return [record(method, seed, pace, **kwargs) for seed in range(1, 6)]


def test_the_target_is_the_plain_networks_at_three_quarters():
    runs = plain()[:5]
    assert checks.target(runs, "validation_loss") == pytest.approx(1 / (0.8 * 75))
    assert checks.target(runs, "training_loss") == pytest.approx(2 / (0.8 * 75))


def test_a_run_of_twice_the_pace_is_there_twice_as_soon():
    runs = plain()[:5]
    for pace, expected in ((1.6, 2.0), (0.8, 1.0), (0.7, 0.875), (0.1, 0.0), (0, 0.0)):
        found = checks.sooner(five("factors", pace), runs, "validation_loss")
        np.testing.assert_allclose(found, [expected] * 5)


def test_chance_is_what_halves_of_the_plain_runs_differ_by():
    assert checks.chance(plain(), "validation_loss") == pytest.approx(1.0)
    # The halves of the slow and of the fast runs, which were set apart.
    runs = plain(spread=0.01)
    for one, other in ((2, 4), (5, 7)):  # Another way to halve them is not as far apart.
        runs[one], runs[other] = runs[other], runs[one]
    assert checks.chance(runs, "validation_loss") == pytest.approx(0.825 / 0.775)
    # The two sets that were set apart count in any case.
    sets = [record("plain", seed, 0.8 if seed <= 5 else 1.0) for seed in range(1, 11)]
    assert checks.chance(sets, "validation_loss") == pytest.approx(1.25)


def effect(pace, spread=0.0):
    found = checks.measured([*plain(spread=spread), *five("factors", pace)])
    return found["mlp", "sgd"]["factors"].is_effect("validation_loss")


def test_what_comes_by_chance_is_no_effect():
    assert [effect(pace) for pace in (0.9, 0.8, 0.7)] == [1, 0, -1]
    assert effect(0.79, spread=0.01) == 0 == effect(0.76, spread=0.01)
    assert effect(0.9, spread=0.01) == 1 and effect(0.7, spread=0.01) == -1


def test_without_a_second_set_of_plain_runs_nothing_is_called_an_effect():
    found = checks.measured([*plain()[:5], *five("factors", 1.6)])
    assert found["mlp", "sgd"]["factors"].is_effect("validation_loss") is None
    assert not checks.verdicts([*plain()[:5], *five("factors", 1.6)])
    # Without any plain run nothing is measured; of another optimizer it is.
    alone = five("factors", 1.6, optimizer="adamw")
    assert set(checks.measured([*alone, *plain()])) == {("mlp", "sgd")}


def verdict_on(records, words):
    (found,) = [v for v in checks.verdicts(records) if words in v.statement]
    return found


def test_a_verdict_is_over_all_workloads_but_the_anchor(monkeypatch):
    monkeypatch.setattr(checks, "seconds_a_step", dict)
    fast, slow = five("factors", 1.6), five("factors", 0.5, workload="gpt")
    both = [*plain(), *plain("gpt"), *plain("ethanol")]
    anchor = five("factors", 0.5, workload="ethanol")
    words = "factors reach the plain network's validation loss in fewer steps"
    assert verdict_on([*both, *fast, *anchor], words).verdict == claims.HOLDS
    assert verdict_on([*both, *fast, *slow], words).verdict == claims.PARTLY
    assert verdict_on([*both, *slow], words).verdict == claims.FAILS
    assert verdict_on([*both, *anchor], "On Ethanol").verdict == claims.FAILS
    # Each optimizer by itself.
    adam = {"workload": "convnet", "optimizer": "adamw"}
    records = [*plain(**adam), *five("factors", 0.5, **adam), *plain(), *fast]
    records += [*plain("ethanol"), *five("factors", 1.6, workload="ethanol")]
    assert {(v.statement.partition(",")[0], v.verdict) for v in checks.verdicts(records)} == {
        ("With SGD and momentum", claims.HOLDS),
        ("With Adam", claims.FAILS),
        ("On Ethanol with p = 4 depth 2 accelerates", claims.HOLDS),
    }
    assert not [v for v in checks.verdicts(both) if "in fewer seconds" in v.statement]


def test_seconds_are_steps_by_what_a_step_takes(monkeypatch):
    seconds = {"mlp": {"sgd": {"plain": 1.0, "factors": 1.5, "rule": 4.0}}}
    monkeypatch.setattr(checks, "seconds_a_step", lambda: seconds)
    records = [*plain(), *five("factors", 1.6), *five("rule", 1.6)]
    found = checks.verdicts(records)
    (steps,) = (v for v in found if "factors reach" in v.statement and "fewer steps" in v.statement)
    assert "mlp 2.00 (2.00 to 2.00)" in steps.measured
    fewer = {
        v.statement.split(", ")[1].split(" reach")[0]: v
        for v in found
        if "in fewer seconds" in v.statement
    }
    assert "factors reach the plain" in fewer["factors"].statement
    assert "the rule reaches the plain" in fewer["the rule"].statement
    assert "mlp 1.33 (1.33 to 1.33)" in fewer["factors"].measured
    assert "mlp 0.50 (0.50 to 0.50)" in fewer["the rule"].measured
    assert (fewer["factors"].verdict, fewer["the rule"].verdict) == (claims.HOLDS, claims.FAILS)
    settings = records[-1].settings
    assert checks.cost(settings) == 0.25
    seconds["mlp"]["sgd"] = {"rule": 4.0}  # The plain network's were not measured.
    assert checks.cost(settings) is None


def test_seconds_are_those_of_a_file_if_there_is_one(monkeypatch, tmp_path):
    assert checks.SECONDS == cli.ROOT / "results" / "networks" / "seconds.json"
    monkeypatch.setattr(checks, "SECONDS", tmp_path / "seconds.json")
    assert checks.seconds_a_step() == {}
    checks.SECONDS.write_text('{"seconds": {"mlp": {}}}')
    assert checks.seconds_a_step() == {"mlp": {}}


@pytest.mark.parametrize(
    "workload, result, good, bad",
    [
        ("tutorial_convnet", "test_error", 1.3, 1.31),
        ("tutorial_convnet_no_l2", "test_error", 1.3, 1.31),
        ("residual_convnet", "test_error", 10.0, 10.1),
        ("gpt", "validation_loss", 1.9, 1.91),
    ],
)
def test_baselines_are_judged_by_what_they_reach(workload, result, good, bad):
    runs = plain(workload)
    for value, expected in (
        (good / 2, claims.HOLDS),
        (good, claims.HOLDS),
        (bad, claims.FAILS),
    ):
        for each in runs:
            each.results[result] = value
        assert verdict_on(runs, f"well tuned: {workload}").verdict == expected


def test_the_tables_say_how_far_it_is_and_what_was_found(monkeypatch):
    seconds = {"mlp": {"sgd": {"plain": 1.0, "factors": 1.6}}}
    monkeypatch.setattr(checks, "seconds_a_step", lambda: seconds)
    lost = record("factors", 0, 0, rate=1.0)
    # The loss at the end is within 10 % of the best at all rates but one.
    paces = ((0.02, 0.8), (0.05, 0.83), (0.1, 0.9))
    selection = [record("factors", 0, pace, rate=rate) for rate, pace in paces]
    slow = five("rule", 0.5)
    found = checks.tables([*plain(), *five("factors", 1.6), *slow, *selection, lost])
    progress, rows = found.values()
    (mlp,) = [row for row in progress if row["workload"] == "mlp"]
    assert (mlp["sgd"], mlp["adamw"], mlp["muon"]) == ("3 of 4", "0 of 4", "0 of 2")
    assert mlp["complete"] == "no"
    row = rows[1]
    assert [each["method"] for each in rows] == ["plain", "factors", "rule"]
    assert row["steps to validation loss"] == "2.00 (2.00 to 2.00)" and row["effect"] == "sooner"
    assert row["seconds"] == "1.25 (1.25 to 1.25)" and rows[0]["effect"] == ""
    assert rows[2]["effect"] == "later"
    assert row["diverged"] == "1 of 9" and row["rates that work"] == "0.05 to 0.1"
    assert row["test error, %"] == "2.00" and row["rate"] == "0.1"


def test_a_workload_is_complete_with_all_methods_of_all_optimizers():
    methods = [("sgd", each) for each in checks.planning.BASIC]
    methods += [("adamw", each) for each in checks.planning.BASIC]
    methods += [("muon", each) for each in checks.planning.OF_MUON]
    records = [each for optimizer, of in methods for each in five(of, 0.8, optimizer=optimizer)]
    (progress, _) = checks.tables(records).values()
    complete = {row["workload"]: row["complete"] for row in progress}
    assert complete.pop("mlp") == "yes" and set(complete.values()) == {"no"}
    (progress, _) = checks.tables(records[:-1]).values()  # A seed is missing.
    (row,) = [row for row in progress if row["workload"] == "mlp"]
    assert (row["muon"], row["complete"]) == ("1 of 2", "no")
