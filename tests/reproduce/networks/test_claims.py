"""Targets, ratios, chance and verdicts on curves made by hand."""

import json
import math

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


def plain(workload="mlp", optimizer="sgd", spread=0.0, rate=0.1):
    """Ten runs, whose paces are apart by `spread` from one to the next."""
    return [
        record("plain", seed, 0.8 + spread * (seed - 5.5), workload, optimizer, rate=rate)
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


def of_validation(one, other):
    return checks.sooner(one, other, "validation_loss")


def test_chance_is_what_halves_of_the_plain_runs_differ_by():
    assert checks.chance(plain(), of_validation) == pytest.approx(1.0)
    # The halves of the slow and of the fast runs, which were set apart.
    runs = plain(spread=0.01)
    for one, other in ((2, 4), (5, 7)):  # Another way to halve them is not as far apart.
        runs[one], runs[other] = runs[other], runs[one]
    assert checks.chance(runs, of_validation) == pytest.approx(0.825 / 0.775)
    # The two sets that were set apart count in any case.
    sets = [record("plain", seed, 0.8 if seed <= 5 else 1.0) for seed in range(1, 11)]
    assert checks.chance(sets, of_validation) == pytest.approx(1.25)
    assert checks.chance(sets, checks.lower) == pytest.approx(1.25)
    # Some runs that are never there: more than any factor may come by chance.
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    assert checks.chance(lost, of_validation) == math.inf


def effect(pace, spread=0.0):
    found = checks.measured([*plain(spread=spread), *five("factors", pace)])
    return found["mlp", "sgd"]["factors"].is_effect("validation_loss")


def test_what_comes_by_chance_is_no_effect():
    assert [effect(pace) for pace in (0.9, 0.8, 0.7)] == [1, 0, -1]
    assert effect(0.79, spread=0.01) == 0 == effect(0.76, spread=0.01)
    assert effect(0.9, spread=0.01) == 1 and effect(0.7, spread=0.01) == -1
    # More than any factor comes by chance: it is not known.
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    found = checks.measured([*lost, *five("factors", 1.6)])
    assert found["mlp", "sgd"]["factors"].is_effect("validation_loss") is None


def test_all_plain_runs_are_what_others_are_compared_with():
    sets = [record("plain", seed, 0.8 if seed <= 5 else 1.0) for seed in range(1, 11)]
    comparison = checks.measured([*sets, *five("factors", 0.9)])["mlp", "sgd"]["factors"]
    level = (1 / (0.8 * 75) + 1 / (1.0 * 75)) / 2
    reference = (1 / (0.8 * level) + 1 / (1.0 * level)) / 2
    expected = reference * 0.9 * level
    np.testing.assert_allclose(comparison.sooner("validation_loss"), [expected] * 5)
    np.testing.assert_allclose(comparison.lower(), [(1 / 0.8 + 1) / 2 * 0.9] * 5)


def test_last_losses_are_compared_as_well():
    def found(pace, spread=0.0):
        records = [*plain(spread=spread), *five("factors", pace)]
        return checks.measured(records)["mlp", "sgd"]["factors"]

    assert found(1.6).lower() == pytest.approx([2.0] * 5)
    assert [found(pace).is_lower() for pace in (0.9, 0.8, 0.7, 0)] == [1, 0, -1, -1]
    assert found(0.81, spread=0.01).is_lower() == 0
    assert found(0.81, spread=0.01).chance_of_lower() > 1.02


def test_a_method_counts_with_all_its_seeds_at_the_rate_that_is_selected():
    selected = [record("factors", 0, pace, rate=rate) for rate, pace in ((0.1, 1.0), (0.2, 1.2))]
    at_best, before = five("factors", 1.6, rate=0.2), five("factors", 0.8, rate=0.1)
    found = checks.measured([*plain(), *selected, *before, *at_best])["mlp", "sgd"]["factors"]
    assert {run.settings["learning_rate"] for run in found.runs} == {0.2} and len(found.runs) == 5
    assert "factors" not in checks.measured([*plain(), *selected, *before])["mlp", "sgd"]
    assert "factors" not in checks.measured([*plain(), *selected, *at_best[1:]])["mlp", "sgd"]


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


def exactly(**seconds):
    """Quartiles and median that are all the same."""
    return {method: [value] * 3 for method, value in seconds.items()}


def test_seconds_are_steps_by_what_a_step_takes(monkeypatch):
    seconds = {"mlp": {"sgd": exactly(plain=1.0, factors=1.5, rule=4.0)}}
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
    assert checks.cost(settings) == (0.25, 1.0)
    # What is not certain of the seconds is added to what comes by chance.
    seconds["mlp"]["sgd"] = {"plain": [0.9, 1.0, 1.2], "factors": [1.2, 1.5, 1.6]}
    factors = checks.measured(records)["mlp", "sgd"]["factors"]
    factor, error = checks.cost(factors.settings)
    assert (factor, error) == pytest.approx((1 / 1.5, max(1.2 * 1.5 / 1.2, 1.6 / 1.5 / 0.9)))
    assert factors.is_effect("validation_loss", (factor, 1.3)) == 1
    assert factors.is_effect("validation_loss", (factor, 1.4)) == 0
    seconds["mlp"]["sgd"] = exactly(rule=4.0)  # The plain network's were not measured.
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
    seconds = {"mlp": {"sgd": exactly(plain=1.0, factors=1.6)}}
    monkeypatch.setattr(checks, "seconds_a_step", lambda: seconds)
    lost = record("factors", 0, 0, rate=1.0)
    # The loss at the end is within 10 % of the best at all rates but one.
    paces = ((0.02, 0.8), (0.05, 0.83), (0.1, 0.9))
    selection = [record("factors", 0, pace, rate=rate) for rate, pace in paces]
    slow = five("rule", 0.5)
    found = checks.tables([*plain(), *five("factors", 1.6), *slow, *selection, lost])
    progress, targets, ends = found.values()
    (mlp,) = [row for row in progress if row["workload"] == "mlp"]
    assert (mlp["sgd"], mlp["adamw"], mlp["muon"]) == ("3 of 4", "0 of 4", "0 of 2")
    assert mlp["complete"] == "no"
    for rows in (targets, ends):
        assert [each["method"] for each in rows] == ["plain", "factors", "rule"]
        assert rows[1]["rate"] == "0.1" and rows[0]["effect"] == ""
    one, row, other = targets
    assert (one["target"], one["steps"], one["seconds"]) == (f"{1 / 60:.4g}", "75", "75")
    assert row["times sooner"] == "2.00 (2.00 to 2.00)" and row["effect"] == "sooner"
    assert (row["steps"], row["seconds"]) == ("38", "60")
    assert row["times sooner in seconds"] == "1.25 (1.25 to 1.25)"
    assert row["effect in seconds"] == "sooner" and one["effect in seconds"] == ""
    assert (other["steps"], other["times sooner"], other["effect"]) == ("never", "never", "later")
    assert other["seconds"] == other["effect in seconds"] == ""
    assert row["to training loss"] == "2.00 (2.00 to 2.00)" and row["by chance, too"] == "1.00"
    one, row, other = ends
    assert row["times lower"] == "2.00 (2.00 to 2.00)" and other["times lower"].startswith("0.62")
    assert (one["effect"], row["effect"], other["effect"]) == ("", "lower", "higher")
    assert row["diverged"] == "1 of 9" and row["rates that work"] == "0.05 to 0.1"
    assert row["test error, %"] == "2.00"


def test_where_every_run_diverges(monkeypatch):
    monkeypatch.setattr(checks, "seconds_a_step", dict)
    lost = [record("factors", 0, 0, rate=rate) for rate in (0.1, 0.2)]
    rows = list(checks.tables([*plain(), *five("factors", 0), *lost]).values())[2]
    assert (rows[1]["diverged"], rows[1]["rates that work"]) == ("7 of 7", "")
    assert rows[1]["last loss"].startswith("inf")


def test_few_runs_at_the_target_are_counted():
    assert checks.band([0, 0, 0, 0.8, 0]) == "1 of 5 runs get there"
    assert checks.band([0, 0, 0]) == "never"
    assert checks.band([0, 1.5, 1.25]) == "1.25 (0.00 to 1.50)"
    assert checks.band([0, math.inf, math.inf]) == "sooner than most plain runs, which never are"


def test_a_workload_is_complete_with_all_methods_of_all_optimizers(monkeypatch):
    monkeypatch.setattr(checks, "seconds_a_step", dict)
    methods = [("sgd", each) for each in checks.planning.BASIC]
    methods += [("adamw", each) for each in checks.planning.BASIC]
    methods += [("muon", each) for each in checks.planning.OF_MUON]
    records = [each for optimizer, of in methods for each in five(of, 0.8, optimizer=optimizer)]
    progress, *_ = checks.tables(records).values()
    complete = {row["workload"]: row["complete"] for row in progress}
    assert complete.pop("mlp") == "yes" and set(complete.values()) == {"no"}
    progress, *_ = checks.tables(records[:-1]).values()  # A seed is missing.
    (row,) = [row for row in progress if row["workload"] == "mlp"]
    assert (row["muon"], row["complete"]) == ("1 of 2", "no")
