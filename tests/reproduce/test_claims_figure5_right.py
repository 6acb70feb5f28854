"""Verdicts over records whose outcome is known."""

import numpy as np
import pytest

from reproduce import claims, paper
from reproduce.harness import records
from reproduce.claims import figure5_right


def record(
    arm, seed=0, scale=1.0, steps=8593, panel_values=None, depth=None, settings=None, **results
):
    """A finished run that follows the paper's curve of that arm, `scale` times as high."""
    depth = depth or (1 if arm == "original" else 2)
    reference = paper.curve(figure5_right.PANEL, arm)
    points = [
        [int(t), float(value) * scale]
        for t, value in zip(reference.iteration, reference["median"])
    ] or [[0, scale], [100, scale], [steps - 1, scale]]
    deep = depth == 2
    defaults = {
        "parameters": 1925614 if deep else 1663370,
        "validation_error": 0.9,
        "test_error": 0.9,
        "minibatch_loss_log": [],
        "cross_entropy_per_epoch": [0.2, 0.02] if deep else [0.1, 0.01],
        "diverged_at": None,
    }
    rates = {"learning_rate": 0.01, "stddev": 0.1, "factor_stddev": 0.1}
    about = {"arm": arm, "depth": depth, "tutorial_seeds": False, "steps": steps}
    return records.Record(
        series=f"{arm} of depth {depth}" if arm not in figure5_right.DEPTHS else arm,
        seed=seed,
        learning_rate=0.01,
        settings={**rates, **about, **(settings or {})},
        curves={
            figure5_right.PANEL: panel_values or points,
            "cross_entropy": points,
            "l2_term": [[0, 3.0], [8592, 0.1 if deep else 1.5]],
        },
        results={**defaults, **results},
        provenance={"seconds": 60.0},
    )


def verdict(found, words):
    (match,) = [v for v in found if words in v.statement]
    return match


def test_nothing_run_is_said_of_every_claim_with_the_command_that_would():
    found = figure5_right.verdicts([])
    assert {v.verdict for v in found} == {claims.NOT_RUN}
    assert all("python -m reproduce.figure5_right" in v.measured for v in found)


def test_the_papers_own_curves_hold_against_themselves():
    found = figure5_right.verdicts([record("original"), record("overparameterized")])
    for words in ("original network, as plotted", "overparameterized network, as plotted"):
        assert verdict(found, words).verdict == claims.HOLDS
        assert "0.000" in verdict(found, words).measured
    for words in ("15 %", "crosses", "ends near 1.59", "test error", "accelerated considerably"):
        assert verdict(found, words).verdict == claims.HOLDS, words
    assert verdict(found, "orders of magnitude").verdict == claims.FAILS
    assert verdict(found, "cross-entropy").verdict == claims.FAILS
    assert verdict(found, "L2 term").verdict == claims.HOLDS


@pytest.mark.parametrize(
    "epochs, verdict_, words",
    [
        ([0.2, 0.01, 0.02, 0.02], claims.HOLDS, "in epoch 2 of 4; in the last it is 0.02"),
        ([0.2, 0.02, 0.02, 0.01], claims.FAILS, "in epoch 4 of 4"),
        ([0.2, 0.02, 0.02, 0.02], claims.FAILS, "never"),
        ([0.2, None, None, None], claims.FAILS, "never"),
    ],
)
def test_the_fit_is_compared_by_when_the_originals_last_epoch_is_reached(epochs, verdict_, words):
    runs = [
        record("no_l2", depth=1, cross_entropy_per_epoch=[0.2, 0.1, 0.05, 0.01]),
        record("no_l2", depth=2, cross_entropy_per_epoch=epochs),
    ]
    found = verdict(figure5_right.verdicts(runs), "Without L2")
    assert found.verdict == verdict_
    assert words in found.measured


@pytest.mark.parametrize(
    "series, scale, holds", [("original", 1.09, True), ("original", 1.11, False)]
)
def test_the_distance_to_the_paper_has_a_bound(series, scale, holds):
    # 0.04 decades are a factor of 1.096.
    found = figure5_right.verdicts([record(series, scale=scale)])
    expected = claims.HOLDS if holds else claims.FAILS
    assert verdict(found, f"{series} network, as plotted").verdict == expected


def test_the_distance_is_the_median_over_seeds():
    runs = [record("original", seed, scale) for seed, scale in enumerate((1, 1.01, 2))]
    found = verdict(figure5_right.verdicts(runs), "original network, as plotted")
    assert f"{np.log10(1.01):.3f}, median of 3 seeds" in found.measured


def test_a_short_run_is_no_evidence():
    runs = [
        record(series, steps=30, panel_values=[[0, 3.0], [20, 2.0]])
        for series in ("original", "overparameterized")
    ]
    assert {v.verdict for v in figure5_right.verdicts(runs)} == {claims.NOT_RUN}


def test_a_diverged_run_is_no_success():
    runs = [record("original"), record("overparameterized", diverged_at=40)]
    found = figure5_right.verdicts(runs)
    assert verdict(found, "Overparameterization accelerates").verdict == claims.NOT_RUN
    rows = {row["series"]: row for row in figure5_right.runs_table(runs)}
    assert rows["overparameterized"]["loss"] == "diverged"
    assert rows["original"]["loss"] == pytest.approx(1.59, abs=0.05)


def test_a_curve_that_does_not_cross_fails():
    runs = [record("original"), record("overparameterized", scale=100.0)]
    found = figure5_right.verdicts(runs)
    assert verdict(found, "crosses").verdict == claims.FAILS
    assert verdict(found, "accelerated considerably").verdict == claims.FAILS


@pytest.mark.parametrize("last, verdict_", [(0.5, claims.HOLDS), (1.6, claims.FAILS)])
def test_where_the_penalty_acts(last, verdict_):
    other = record("l2_on_every_factor", panel_values=[[0, last], [8500, last]])
    runs = [record("original"), other]
    found = verdict(figure5_right.verdicts(runs), "L2 on every factor")
    assert found.verdict == verdict_


def alternative(network, rate, stddev, loss, **results):
    return record(
        "alternative_rates",
        depth=figure5_right.DEPTHS[network],
        steps=3000,
        scale=loss,
        settings={"learning_rate": rate, "stddev": stddev},
        **results,
    )


def test_alternative_settings():
    runs = [
        alternative("original", 0.01, 0.1, 2.0),
        alternative("overparameterized", 0.01, 0.1, 1.0),
        alternative("original", 0.02, 0.1, 1.5),
        alternative("overparameterized", 0.02, 0.1, 9.0, diverged_at=100),
        alternative("original", 0.005, 0.1, 2.5),  # its counterpart is missing
    ]
    found = figure5_right.verdicts(runs)
    similar = verdict(found, "alternative learning rates")
    assert similar.verdict == claims.FAILS
    assert "lower in 1 of 2 settings" in similar.measured
    assert "in 1 the overparameterized network diverges" in similar.measured
    best = verdict(found, "its own best learning rate")
    assert best.verdict == claims.HOLDS
    assert best.measured == "original 1.5 at 0.02, overparameterized 1 at 0.01"
    rows = figure5_right.alternative_table(runs)
    assert [row["overparameterized"] for row in rows] == [1.0, "diverged"]


def test_the_std_of_the_factors_alone():
    settings = {"factor_stddev": 0.5}
    deep = record("alternative_stddevs", steps=3000, scale=3.0, settings=settings)
    found = figure5_right.verdicts([alternative("original", 0.01, 0.1, 2.0), deep])
    assert verdict(found, "factorised layers alone").verdict == claims.FAILS
    assert "original 2; std 0.5: 3" in verdict(found, "factorised layers alone").measured


@pytest.mark.parametrize(
    "original, verdict_",
    [([0.3, 0.03], claims.HOLDS), ([0.2, 0.02], claims.FAILS), ([2.0, 0.2], claims.FAILS)],
)
def test_the_second_network(original, verdict_):
    runs = [
        record("second_network", depth=1, cross_entropy_per_epoch=original),
        record("second_network", depth=2, cross_entropy_per_epoch=[0.2, 0.02]),
    ]
    assert verdict(figure5_right.verdicts(runs), "Other convolutional").verdict == verdict_


@pytest.mark.parametrize("loss, verdict_", [(8.3338, claims.HOLDS), (8.3347, claims.FAILS)])
def test_the_tutorials_log(loss, verdict_):
    settings = {"tutorial_seeds": True}
    run = record("original", settings=settings, minibatch_loss_log=[[0, loss]])
    found = figure5_right.verdicts([run])
    assert verdict(found, "at step 0,").verdict == verdict_
    assert verdict(found, "at step 100,").verdict == claims.NOT_RUN


def test_a_stand_in_says_nothing_of_the_papers_numbers():
    found = figure5_right.verdicts([record("original"), record("overparameterized")])
    assert claims.only_comparable(found, "real") == found
    struck = claims.only_comparable(found, "stand-in")
    assert {v.verdict for v in struck} == {claims.NOT_COMPARABLE}
    assert [v.statement for v in struck] == [v.statement for v in found]


def test_verdicts_print_one_statement_and_one_measurement_each():
    found = figure5_right.verdicts([record("original")])
    lines = claims.format_table(found).splitlines()
    assert len(lines) == 2 * len(found)
    assert lines[0].startswith("  HOLDS") and "expected: at most 0.04" in lines[1]
