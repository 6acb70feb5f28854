"""Targets, ratios and chance, on curves made by hand."""

import json
import math

import numpy as np
import pytest

from reproduce.claims import comparison, networks as checks
from reproduce.harness import cli
from tests.reproduce.networks.by_hand import five, plain, record


def test_the_target_is_the_plain_networks_at_three_quarters():
    runs = plain()[:5]
    assert comparison.target(runs, "validation_loss") == pytest.approx(1 / (0.8 * 75))
    assert comparison.target(runs, "training_loss") == pytest.approx(2 / (0.8 * 75))


def test_a_run_of_twice_the_pace_is_there_twice_as_soon():
    runs = plain()[:5]
    for pace, expected in ((1.6, 2.0), (0.8, 1.0), (0.7, 0.875), (0.1, 0.0), (0, 0.0)):
        found = comparison.sooner(five("factors", pace), runs, "validation_loss")
        np.testing.assert_allclose(found, [expected] * 5)


def of_validation(one, other):
    return comparison.sooner(one, other, "validation_loss")


def test_chance_is_what_halves_of_the_plain_runs_differ_by():
    assert comparison.chance(plain(), of_validation) == pytest.approx(1.0)
    # The halves of the slow and of the fast runs, which were set apart.
    runs = plain(spread=0.01)
    for one, other in ((2, 4), (5, 7)):  # Another way to halve them is not as far apart.
        runs[one], runs[other] = runs[other], runs[one]
    assert comparison.chance(runs, of_validation) == pytest.approx(0.825 / 0.775)
    # The two sets that were set apart count in any case.
    sets = [record("plain", seed, 0.8 if seed <= 5 else 1.0) for seed in range(1, 11)]
    assert comparison.chance(sets, of_validation) == pytest.approx(1.25)
    assert comparison.chance(sets, comparison.lower) == pytest.approx(1.25)
    # Some runs that are never there: more than any factor may come by chance.
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    assert comparison.chance(lost, of_validation) == math.inf


def effect(pace, spread=0.0):
    found = comparison.measured([*plain(spread=spread), *five("factors", pace)])
    return found["mlp", "sgd"]["factors"].is_effect("validation_loss")


def test_what_comes_by_chance_is_no_effect():
    assert [effect(pace) for pace in (0.9, 0.8, 0.7)] == [1, 0, -1]
    assert effect(0.79, spread=0.01) == 0 == effect(0.76, spread=0.01)
    assert effect(0.9, spread=0.01) == 1 and effect(0.7, spread=0.01) == -1
    # More than any factor comes by chance: it is not known.
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    found = comparison.measured([*lost, *five("factors", 1.6)])
    assert found["mlp", "sgd"]["factors"].is_effect("validation_loss") is None


def test_all_plain_runs_are_what_others_are_compared_with():
    sets = [record("plain", seed, 0.8 if seed <= 5 else 1.0) for seed in range(1, 11)]
    compared = comparison.measured([*sets, *five("factors", 0.9)])["mlp", "sgd"]["factors"]
    level = (1 / (0.8 * 75) + 1 / (1.0 * 75)) / 2
    reference = (1 / (0.8 * level) + 1 / (1.0 * level)) / 2
    expected = reference * 0.9 * level
    np.testing.assert_allclose(compared.sooner("validation_loss"), [expected] * 5)
    np.testing.assert_allclose(compared.lower(), [(1 / 0.8 + 1) / 2 * 0.9] * 5)


def test_last_losses_are_compared_as_well():
    def found(pace, spread=0.0):
        records = [*plain(spread=spread), *five("factors", pace)]
        return comparison.measured(records)["mlp", "sgd"]["factors"]

    assert found(1.6).lower() == pytest.approx([2.0] * 5)
    assert [found(pace).is_lower() for pace in (0.9, 0.8, 0.7, 0)] == [1, 0, -1, -1]
    assert found(0.81, spread=0.01).is_lower() == 0
    assert found(0.81, spread=0.01).chance_of_lower() > 1.02


def test_a_method_counts_with_all_its_seeds_at_the_rate_that_is_selected():
    selected = [record("factors", 0, pace, rate=rate) for rate, pace in ((0.1, 1.0), (0.2, 1.2))]
    at_best, before = five("factors", 1.6, rate=0.2), five("factors", 0.8, rate=0.1)
    found = comparison.measured([*plain(), *selected, *before, *at_best])["mlp", "sgd"]["factors"]
    assert {run.settings["learning_rate"] for run in found.runs} == {0.2} and len(found.runs) == 5
    assert "factors" not in comparison.measured([*plain(), *selected, *before])["mlp", "sgd"]
    assert "factors" not in comparison.measured([*plain(), *selected, *at_best[1:]])["mlp", "sgd"]


def test_without_a_second_set_of_plain_runs_nothing_is_called_an_effect():
    found = comparison.measured([*plain()[:5], *five("factors", 1.6)])
    assert found["mlp", "sgd"]["factors"].is_effect("validation_loss") is None
    assert not checks.verdicts([*plain()[:5], *five("factors", 1.6)])
    # Without any plain run nothing is measured; of another optimizer it is.
    alone = five("factors", 1.6, optimizer="adamw")
    assert set(comparison.measured([*alone, *plain()])) == {("mlp", "sgd")}


def test_seconds_are_those_of_a_file_if_there_is_one(monkeypatch, tmp_path):
    assert comparison.SECONDS == cli.ROOT / "results" / "networks" / "seconds.json"
    monkeypatch.setattr(comparison, "SECONDS", tmp_path / "seconds.json")
    assert comparison.seconds_a_step() == {} and comparison.machines() == []
    measured = {"mlp": "9 rounds, CPU, 2 cores", "gpt": "2 rounds, GPU", "ethanol": "3 rounds, GPU"}
    comparison.SECONDS.write_text(json.dumps({"seconds": {"mlp": {}}, "measured": measured}))
    assert comparison.seconds_a_step() == {"mlp": {}}
    assert comparison.machines() == ["CPU, 2 cores", "GPU"]
