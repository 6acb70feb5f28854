"""Verdicts over records whose outcome is known."""

import numpy as np
import pytest

from reproduce import claims, paper
from reproduce.harness import records
from reproduce.claims import convnets, figure5_right


def record(
    arm, seed=0, scale=1.0, steps=8593, panel_values=None, depth=None, settings=None, **results
):
    """A finished run that follows the paper's curve of that arm, `scale` times as high."""
    depth = depth or (1 if arm == "original" else 2)
    points = [[t, value * scale] for t, value in paper.points(figure5_right.PANEL, arm)]
    points = points or [[0, scale], [100, scale], [steps - 1, scale]]
    deep = depth == 2
    defaults = {
        "parameters": 1925614 if deep else 1663370,
        "validation_error": 0.9,
        "test_error": 0.9,
        "minibatch_loss_log": [],
        "cross_entropy_per_epoch": [0.2, 0.02] if deep else [0.1, 0.01],
        "diverged_at": None,
    }
    rates = {"learning_rate": 0.01, "stddev": 0.1, "factor_stddev": 0.1, "l2": 5e-4}
    rates |= {"decay_rate": 0.95, "decay_examples": 55000, "batch_size": 64, "momentum": 0.9}
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
    for words in ("original of Figure 5 (right), as", "overparameterized of Figure 5 (right), as"):
        assert verdict(found, words).verdict == claims.HOLDS
        assert "0.000" in verdict(found, words).measured
        assert verdict(found, words).kind == claims.CURVE
    for words in ("15 %", "crosses", "ends near 1.59", "test error", "accelerated considerably"):
        assert verdict(found, words).verdict == claims.HOLDS, words
    assert verdict(found, "considerably").paper == "10.0 times sooner, at iteration 8500"
    assert verdict(found, "crosses").paper == "at iteration 527"
    assert verdict(found, "price").measured.startswith("2.1% more")
    magnitudes = verdict(found, "orders of magnitude")
    # Neither in iterations nor in loss, but never: its L2 term cannot fall so far.
    assert magnitudes.verdict == claims.PARTLY
    assert magnitudes.paper == "10.0 times fewer iterations, a loss 26 times lower"
    assert verdict(found, "cross-entropy").verdict == claims.FAILS
    assert verdict(found, "L2 term").verdict == claims.HOLDS


@pytest.mark.parametrize("decay, momentum, l2", [(0.95, 0.9, 5e-4), (0.4, 0.4, 50)])
def test_weight_decay_alone_brings_the_l2_term_down_by_what_is_left_of_the_rates(
    decay, momentum, l2
):
    run = record("original", settings={"decay_rate": decay, "momentum": momentum, "l2": l2})
    # Simulated: a single weight, for a hundred epochs more, from the last whole epoch on.
    weight, velocity = 1.0, 0.0
    for step in range(9 * 860, 100 * 860):
        rate = 0.01 * decay ** (step // 860)
        velocity = momentum * velocity + l2 * weight
        weight -= rate * velocity
    assert convnets.least_l2_term([run]) == pytest.approx(1.5 * weight**2, rel=0.01)


@pytest.mark.parametrize("l2_at_the_end, verdict_", [(1.5, claims.PARTLY), (0.1, claims.FAILS)])
def test_the_original_gets_there_only_if_its_l2_term_can(l2_at_the_end, verdict_):
    runs = [record("original"), record("overparameterized")]
    runs[0].curves["l2_term"][-1][1] = l2_at_the_end
    assert verdict(figure5_right.verdicts(runs), "orders of magnitude").verdict == verdict_


T = (0, 50, 85, 4250, 8500)


def measured(deep, t=T, original=(9, 5, 4, 3, 2.0), l2_term=0.01, **results):
    """The verdicts on two networks with these losses, given the original's last L2 term."""
    curves = [list(map(list, zip(t, losses))) for losses in (original, deep)]
    runs = [record("original", panel_values=curves[0], **results)]
    runs[0].curves["l2_term"][-1][1] = l2_term
    return figure5_right.verdicts([*runs, record("overparameterized", panel_values=curves[1])])


@pytest.mark.parametrize(
    "deep, l2_term, considerably, magnitudes, words",
    [
        ((9, 9, 2, 2, 1.9), 0.01, claims.HOLDS, claims.PARTLY, "100.0 times fewer"),
        ((9, 9, 9, 9, 0.02), 0.01, claims.FAILS, claims.PARTLY, "a loss 100 times lower"),
        ((9, 9, 9, 9, 0.4), 1.5, claims.FAILS, claims.PARTLY, "never gets"),
        ((9, 1, 1, 1, 0.01), 1.5, claims.HOLDS, claims.HOLDS, "170.0 times fewer"),
        ((9, 9, 2.5, 2, 1.3), 0.01, claims.HOLDS, claims.FAILS, "a loss 2 times lower"),
        ((9, 9, 2.5, 2.4, 1.9), 0.01, claims.FAILS, claims.FAILS, "1.0 times fewer"),
        ((9, 9, 2.5, 2.4, 2.1), 0.01, claims.FAILS, claims.FAILS, "0.0 times fewer"),
    ],
)
def test_orders_of_magnitude_in_any_of_three_readings(
    deep, l2_term, considerably, magnitudes, words
):
    found = measured(deep, l2_term=l2_term)
    assert verdict(found, "accelerated considerably").verdict == considerably
    assert verdict(found, "orders of magnitude").verdict == magnitudes
    assert words in verdict(found, "orders of magnitude").measured


@pytest.mark.parametrize(
    "words, inside, outside",
    [
        ("crosses the original", (450, 650), (449, 651)),
        ("ends near 1.59", (1.55, 1.65), (1.54, 1.66)),
        ("test error is 0.8", (0.7, 1.1), (0.69, 1.11)),
        ("at step 0,", (8.3335, 8.3344), (8.333, 8.3345)),
        ("at step 100,", (3.22, 3.25), (3.21, 3.26)),
    ],
)
def test_a_bound_is_one_from_either_side(words, inside, outside):
    def judged(value):
        if words.startswith("crosses"):
            found = measured((3, 2, 1, 1), (0, value, value + 1, 8500), (2, 2, 2, 2))
        elif words.startswith("ends"):
            found = measured((9, 4, 3, 2, 1), original=(9, 4, 3, 2, value))
        elif words.startswith("test error"):
            found = measured((9, 4, 3, 2, 1), test_error=value)
        else:
            log = [[0 if "step 0" in words else 100, value]]
            run = record("original", settings={"tutorial_seeds": True}, minibatch_loss_log=log)
            found = figure5_right.verdicts([run])
        return verdict(found, words).verdict

    assert [judged(value) for value in inside] == [claims.HOLDS] * 2
    assert [judged(value) for value in outside] == [claims.FAILS] * 2


@pytest.mark.parametrize(
    "before, after, as_stated, cheap",
    [
        (1_663_370, 1_925_614, claims.HOLDS, claims.HOLDS),
        (1_663_369, 1_925_614, claims.FAILS, claims.HOLDS),
        (1_663_371, 1_925_614, claims.FAILS, claims.HOLDS),
        (1_663_370, 4_990_110, claims.FAILS, claims.FAILS),
    ],
)
def test_the_parameters_that_are_added_and_their_price(before, after, as_stated, cheap):
    runs = [
        record("original", parameters=before),
        record("overparameterized", parameters=after),
    ]
    found = figure5_right.verdicts(runs)
    assert verdict(found, "roughly 15 %").verdict == as_stated
    assert verdict(found, "computational price").verdict == cheap


@pytest.mark.parametrize(
    "l2_term, verdict_", [(0.7, claims.HOLDS), (0.75, claims.FAILS), (2.0, claims.FAILS)]
)
def test_the_l2_term_ends_below_half_of_the_original_s(l2_term, verdict_):
    runs = [record("original"), record("overparameterized")]
    runs[1].curves["l2_term"][-1][1] = l2_term  # The original's is 1.5.
    assert verdict(figure5_right.verdicts(runs), "is the L2 term").verdict == verdict_


def test_a_factor_of_two_is_one():
    runs = [record("original"), record("overparameterized", cross_entropy_per_epoch=[0.01, 0.01])]
    assert verdict(figure5_right.verdicts(runs), "fit to the data").verdict == claims.HOLDS


@pytest.mark.parametrize("steps, is_full", [(8592, False), (8593, True), (9000, True)])
def test_a_run_is_of_full_length_where_it_is_as_long_as_the_paper_s(steps, is_full):
    assert convnets.at_full_length([record("original", steps=steps)]) == is_full


@pytest.mark.parametrize("steps, value", [(15, 2), (20, 2), (40, 3), (41, np.inf)])
def test_the_value_after_so_many_steps_is_that_before_them(steps, value):
    run = record("original", panel_values=[[0, 1], [10, 2], [20, 3]], diverged_at=40)
    assert convnets.value_after(run, steps) == value


@pytest.mark.parametrize(
    "epochs, verdict_, words",
    [
        ([0.2, 0.01, 0.02, 0.02], claims.HOLDS, "in epoch 2 of 4; in the last it is 0.02"),
        ([0.2, 0.02, 0.01, 0.01], claims.HOLDS, "in epoch 3 of 4"),
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
    "series, scale, holds", [("original", 1.11, True), ("original", 1.13, False)]
)
def test_the_distance_to_the_paper_has_a_bound(series, scale, holds):
    # 0.05 decades are a factor of 1.122.
    found = figure5_right.verdicts([record(series, scale=scale)])
    expected = claims.HOLDS if holds else claims.FAILS
    assert verdict(found, f"{series} of Figure 5 (right), as").verdict == expected


def test_the_distance_is_the_median_over_seeds():
    runs = [record("original", seed, scale) for seed, scale in enumerate((1, 1.01, 2))]
    found = verdict(figure5_right.verdicts(runs), "original of Figure 5 (right), as")
    assert f"{np.log10(1.01):.3f}, median of 3 seeds" in found.measured


def test_one_network_is_judged_without_the_other():
    found = figure5_right.verdicts([record("overparameterized")])
    assert verdict(found, "overparameterized of Figure 5").verdict == claims.HOLDS
    assert verdict(found, "original of Figure 5").verdict == claims.NOT_RUN


def test_a_short_run_is_no_evidence():
    runs = [
        record(series, steps=30, panel_values=[[0, 3.0], [20, 2.0]])
        for series in ("original", "overparameterized")
    ]
    assert {v.verdict for v in figure5_right.verdicts(runs)} == {claims.NOT_RUN}


def test_a_diverged_run_is_no_success():
    runs = [record("original"), record("overparameterized", diverged_at=40)]
    found = figure5_right.verdicts(runs)
    assert verdict(found, "accelerated considerably").verdict == claims.NOT_RUN
    rows = {row["series"]: row for row in convnets.runs_table(runs)}
    assert rows["overparameterized"]["loss"] == "diverged"
    assert rows["original"]["loss"] == pytest.approx(1.59, abs=0.05)


def test_a_curve_that_does_not_cross_fails():
    runs = [record("original"), record("overparameterized", scale=100.0)]
    found = figure5_right.verdicts(runs)
    assert verdict(found, "crosses").verdict == claims.FAILS
    assert verdict(found, "accelerated considerably").verdict == claims.FAILS


@pytest.mark.parametrize(
    "last, verdict_",
    [(1.4, claims.HOLDS), (0.9 * 1.592, claims.FAILS), (1.5, claims.FAILS)],
)
def test_where_the_penalty_acts(last, verdict_):
    # The original ends at 1.592.
    other = record("l2_on_every_factor", panel_values=[[0, 9.0], [100, 9.0], [8500, last]])
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


@pytest.mark.parametrize(
    "loss, verdict_, count",
    [(1.0, claims.HOLDS, 1), (1.5, claims.FAILS, 1), (1.6, claims.FAILS, 1), (2, claims.FAILS, 0)],
)
def test_alternative_settings(loss, verdict_, count):
    runs = [
        alternative("original", 0.01, 0.1, 2.0),
        alternative("overparameterized", 0.01, 0.1, loss),
        alternative("original", 0.02, 0.1, 1.5),
        alternative("overparameterized", 0.02, 0.1, 9.0, diverged_at=100),
        alternative("original", 0.005, 0.1, 2.5),  # its counterpart is missing
        alternative("original", 0.01, 0.5, 0.1),  # from another std
        alternative("overparameterized", 0.01, 0.5, 0.1),
    ]
    found = figure5_right.verdicts(runs)
    similar = verdict(found, "alternative learning rates")
    assert similar.verdict == claims.OPEN
    assert f"in {count} of 3 of our settings" in similar.measured
    assert "in 1 the overparameterized network diverges" in similar.measured
    best = verdict(found, "its own best learning rate")
    assert best.verdict == verdict_
    assert best.measured == f"original 1.5 at 0.02, overparameterized {loss:g} at 0.01"
    rows = convnets.alternative_table(runs)
    assert [row["overparameterized"] for row in rows] == [loss, 0.1, "diverged"]


@pytest.mark.parametrize("loss, count", [(3, 0), (2, 0), (1, 1)])
def test_the_std_of_the_factors_alone(loss, count):
    settings = {"factor_stddev": 0.5}
    deep = record("alternative_stddevs", steps=3000, scale=loss, settings=settings)
    found = figure5_right.verdicts([alternative("original", 0.01, 0.1, 2.0), deep])
    similar = verdict(found, "factorized layers alone")
    assert similar.verdict == claims.OPEN
    assert f"in {count} of 1 of our settings" in similar.measured
    assert f"original 2; std 0.5: {loss}" in similar.measured


def test_a_second_network_of_ours_does_not_tell_of_the_authors():
    runs = [
        record("second_network", depth=1, cross_entropy_per_epoch=[0.3, 0.04]),
        record("second_network", depth=2, cross_entropy_per_epoch=[0.2, 0.02]),
    ]
    found = verdict(figure5_right.verdicts(runs), "Other convolutional")
    assert found.verdict == claims.OPEN and found.kind == claims.REMARK
    assert "1.50 times lower in the first epoch, 2.00 times in the last" in found.measured


def test_of_the_tutorials_log_what_is_missing_is_not_judged():
    settings = {"tutorial_seeds": True}
    run = record("original", settings=settings, minibatch_loss_log=[[0, 8.334]])
    found = figure5_right.verdicts([run])
    assert verdict(found, "at step 0,").expected == "8.334"
    assert verdict(found, "at step 100,").verdict == claims.NOT_RUN


def test_of_shorter_runs_nothing_is_said_but_why():
    found = figure5_right.verdicts([record("original"), record("overparameterized")])
    struck = claims.of_shorter_runs(found)
    why = "the runs are shorter than those of the results"
    assert {(v.verdict, v.measured, v.expected, v.paper) for v in struck} == {
        (claims.NOT_COMPARABLE, why, "", "")
    }
    assert [(v.statement, v.kind) for v in struck] == [(v.statement, v.kind) for v in found]


def test_verdicts_print_one_statement_and_one_measurement_each():
    found = figure5_right.verdicts([record("original")])
    lines = claims.format_table(found).splitlines()
    assert len(lines) == 2 * len(found)
    assert lines[0].startswith("  HOLDS") and "expected: at most 0.05" in lines[1]
    both = figure5_right.verdicts([record("original"), record("overparameterized")])
    text = claims.format_table([verdict(both, "considerably")])
    assert text.splitlines()[-1].strip() == (
        "the paper's own curves: 10.0 times sooner, at iteration 8500"
    )
