"""Verdicts and tables, on curves made by hand."""

import math

import pytest

from reproduce import claims
from reproduce.claims import comparison, networks as checks
from reproduce.workloads import planning
from tests.reproduce.networks.by_hand import exactly, five, plain, record


def verdict_on(records, words):
    (found,) = [v for v in checks.verdicts(records) if words in v.statement]
    return found


def test_a_verdict_is_over_all_workloads_but_the_anchor(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    fast, slow = five("factors", 1.6), five("factors", 0.5, workload="gpt")
    both = [*plain(), *plain("gpt"), *plain("ethanol")]
    anchor = five("factors", 0.5, workload="ethanol")
    words = "factors reach the plain network's validation loss in fewer steps"
    assert verdict_on([*both, *fast, *anchor], words).verdict == claims.HOLDS
    partly = verdict_on([*both, *fast, *slow], words)
    assert partly.verdict == claims.PARTLY and partly.measured.startswith(
        "sooner on 1, later on 1: "
    )
    assert verdict_on([*both, *slow], words).verdict == claims.FAILS
    assert verdict_on([*both, *anchor], "On Ethanol").verdict == claims.FAILS
    # Each optimizer by itself.
    adam = {"workload": "gpt", "optimizer": "adamw"}
    records = [*plain(**adam), *five("factors", 0.5, **adam), *plain(), *fast]
    records += [*plain("ethanol"), *five("factors", 1.6, workload="ethanol")]
    assert {(v.statement.partition(",")[0], v.verdict) for v in checks.verdicts(records)} == {
        ("With SGD and momentum", claims.HOLDS),
        ("With Adam", claims.FAILS),
        ("On Ethanol with p = 4 depth 2 accelerates", claims.HOLDS),
        ("The plain network is well tuned: gpt", claims.FAILS),
    }
    assert not [v for v in checks.verdicts(both) if "in fewer seconds" in v.statement]


def test_seconds_are_steps_by_what_a_step_takes(monkeypatch):
    seconds = {"mlp": {"sgd": exactly(plain=1.0, factors=1.5, rule=4.0)}}
    monkeypatch.setattr(comparison, "seconds_a_step", lambda: seconds)
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
    assert comparison.cost(settings) == (0.25, 1.0)
    # What is not certain of the seconds is added to what comes by chance.
    seconds["mlp"]["sgd"] = {"plain": [0.9, 1.0, 1.2], "factors": [1.2, 1.5, 1.6]}
    factors = comparison.measured(records)["mlp", "sgd"]["factors"]
    factor, error = comparison.cost(factors.settings)
    assert (factor, error) == pytest.approx((1 / 1.5, max(1.2 * 1.5 / 1.2, 1.6 / 1.5 / 0.9)))
    assert factors.is_effect("validation_loss", (factor, 1.3)) == 1
    assert factors.is_effect("validation_loss", (factor, 1.4)) == 0
    seconds["mlp"]["sgd"] = exactly(rule=4.0)  # The plain network's were not measured.
    assert comparison.cost(settings) is None


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
    monkeypatch.setattr(comparison, "seconds_a_step", lambda: seconds)
    lost = record("factors", 0, 0, rate=1.0)
    # The loss at the end is within 10 % of the best at all rates but one.
    paces = ((0.02, 0.8), (0.05, 0.83), (0.1, 0.9))
    selection = [record("factors", 0, pace, rate=rate) for rate, pace in paces]
    slow = five("rule", 0.5)
    found = checks.tables([*plain(), *five("factors", 1.6), *slow, *selection, lost])
    answer, others, progress, targets, ends = found.values()
    assert answer == [
        dict(zip(answer[0], ["mlp", "factors", "2.00, sooner", "2.00, lower", "", "", "", ""])),
        dict(zip(answer[0], ["mlp", "rule", "never, later", "0.62, higher", "", "", "", ""])),
    ]
    assert others == []
    columns = list(answer[0])
    assert columns[2:4] == ["SGD and momentum", "SGD and momentum, test loss"]
    assert columns[4:6] == ["Adam", "Adam, test loss"] and len(columns) == 8
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
    assert row["test loss"] == "0.003125 (0.003125 to 0.003125)" and row["by chance, too"] == "1.00"
    assert (row["times lower, too"], row["effect, too"]) == ("2.00 (2.00 to 2.00)", "lower")
    assert (one["effect, too"], other["effect, too"]) == ("", "higher")


def test_the_anchor_has_no_test_set(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    anchor = [*plain("ethanol"), *five("factors", 1.6, workload="ethanol")]
    answer, *_, ends = checks.tables([*anchor, *plain(), *five("factors", 1.6)]).values()
    assert [row["workload"] for row in answer] == ["mlp"]
    tested = [row["test loss"] for row in ends]
    assert tested[:2] == ["", ""] and all(tested[2:])
    assert len({tuple(row) for row in ends}) == 1  # Tables have the same columns in all rows.


def test_other_methods_have_a_table_of_their_own(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    more = [*five("grafted_rule", 0.8), *five("identity_factors", 1.6)]
    answer, others, *_ = checks.tables([*plain(), *five("factors", 1.6), *more]).values()
    assert [row["method"] for row in answer] == ["factors"]
    assert [row["method"] for row in others] == ["grafted_rule", "identity_factors"]


def test_where_every_run_diverges(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    lost = [record("factors", 0, 0, rate=rate) for rate in (0.1, 0.2)]
    rows = list(checks.tables([*plain(), *five("factors", 0), *lost]).values())[4]
    assert (rows[1]["diverged"], rows[1]["rates that work"]) == ("7 of 7", "")
    assert rows[1]["last loss"].startswith("inf")


def test_where_plain_runs_never_get_there_chance_is_unknown(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    records = [*lost, *five("factors", 1.6)]
    (verdict,) = [v for v in checks.verdicts(records) if "factors reach" in v.statement]
    assert "undecided on 1: mlp 2.00 (2.00 to 2.00), by chance unknown (times" in verdict.measured
    assert verdict.verdict == claims.OPEN
    # What is decided elsewhere decides.
    for pace, outcome in ((1.6, claims.PARTLY), (0.4, claims.FAILS)):
        other = [*plain("gpt"), *five("factors", pace, workload="gpt")]
        both = verdict_on([*records, *other], "factors reach")
        assert both.verdict == outcome
    targets, ends = list(checks.tables(records).values())[3:]
    assert (targets[1]["by chance"], targets[1]["effect"]) == ("unknown", "undecided")
    assert ends[1]["by chance"] == "unknown"


def test_where_muon_is_adam_it_is_in_the_tables_only(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    records = []
    for name in ("mlp", "residual_convnet"):
        records += plain(name, "muon")
        records += five("factors", 1.6, workload=name, optimizer="muon")
    (verdict,) = [v for v in checks.verdicts(records) if "factors reach" in v.statement]
    assert verdict.measured.startswith("sooner on 1: mlp 2.00")
    assert verdict.verdict == claims.HOLDS
    answer, _, _, targets, _ = checks.tables(records).values()
    assert [row["workload"] for row in answer] == ["mlp"]
    assert [row["workload"] for row in targets] == ["mlp"] * 2 + ["residual_convnet"] * 2


def test_few_runs_at_the_target_are_counted():
    assert checks.band([0, 0, 0, 0.8, 0]) == "1 of 5 runs get there"
    assert checks.band([0, 0, 0]) == "never"
    assert checks.band([0, 1.5, 1.25]) == "1.25 (0.00 to 1.50)"
    assert checks.band([0, math.inf, math.inf]) == "sooner than most plain runs, which never are"


def test_a_workload_is_complete_with_all_methods_of_all_optimizers(monkeypatch):
    monkeypatch.setattr(comparison, "seconds_a_step", dict)
    methods = [("sgd", each) for each in planning.BASIC]
    methods += [("adamw", each) for each in planning.BASIC]
    methods += [("muon", each) for each in planning.OF_MUON]
    records = [each for optimizer, of in methods for each in five(of, 0.8, optimizer=optimizer)]
    _, _, progress, *_ = checks.tables(records).values()
    complete = {row["workload"]: row["complete"] for row in progress}
    assert complete.pop("mlp") == "yes" and set(complete.values()) == {"no"}
    _, _, progress, *_ = checks.tables(records[:-1]).values()  # A seed is missing.
    (row,) = [row for row in progress if row["workload"] == "mlp"]
    assert (row["muon"], row["complete"]) == ("1 of 2", "no")
