"""Medians and quantiles of the claims, on records of which each seed ends elsewhere."""

import numpy as np
import pytest

from reproduce.claims import convnets, figure5_left, regression
from reproduce.claims import robustness as checks
from reproduce.harness.records import Record

ENDS = (0.1, 0.3, 0.5, 2.0, 9.0)  # the median is neither the least nor the largest nor the mean


def record(seed, end, left, series="4-layer id-init", **settings):
    return Record(
        series=series,
        seed=seed,
        learning_rate=0.1,
        settings={
            "steps": 1000,
            "flow": False,
            "curve": series,
            "stated": True,
            "plotted": True,
            "depth": 4,
            "learning_rate": 0.1,
            **settings,
        },
        curves={"fig5L_l4": [[0, 20.0], [500, 10.0], [1000, end]]},
        results={"diverged_at": None, "left_plateau_at": left, "at_zero": 20.0},
        provenance={},
        panel="fig5L_l4",
    )


def test_the_final_loss_is_the_median_over_the_seeds():
    group = [record(seed, end, 5) for seed, end in enumerate(ENDS)]
    assert regression.final(group) == 0.5
    assert regression.table(group, "fig5L_l4")[0]["at the end"] == "0.5"


def test_a_start_is_at_once_where_that_of_the_median_seed_is():
    at_once = figure5_left.AT_ONCE
    for middle, holds in ((at_once, True), (at_once + 1, False)):
        left = (1, 2, middle, 10**5, 10**5)
        group = [record(seed, end, at) for seed, (end, at) in enumerate(zip(ENDS, left))]
        verdicts = figure5_left.verdicts(group)
        statement = "Depth 4 from near the identity progresses at once"
        (verdict,) = [each for each in verdicts if each.statement == statement]
        assert (verdict.verdict == "holds") == holds
        assert f"iteration {middle}," in verdict.measured and " 0.5 " in verdict.measured


def test_the_convnet_s_numbers_are_medians_over_the_seeds():
    group = [
        Record(
            "original",
            seed,
            0.01,
            {},
            {"fig5R_mnist": [[0, 20.0], [9, end]]},
            {"test_error": end, "cross_entropy_per_epoch": [20 * end, end]},
            {},
        )
        for seed, end in enumerate(ENDS)
    ]
    assert convnets.last(group, "fig5R_mnist") == 0.5
    assert convnets.median_result(group, "test_error") == 0.5
    np.testing.assert_allclose(convnets.epochs(group), [10, 0.5])


def robustness_record(ends):
    """Depths 1 and 2 whose seeds end at these distances; both halve every 100 iterations before."""

    def curve(end):
        return [[t, max(100 * 2.0 ** (-t / 100), end)] for t in (0, *range(10, 1001, 10))]

    return Record(
        series="all",
        seed=0,
        learning_rate=None,
        settings={"steps": 1000},
        curves={
            checks.curve_name(depth, seed): curve(end)
            for depth in (1, 2)
            for seed, end in enumerate(ends)
        },
        results={"at_zero": 100.0, "rates": {"1": 0.1, "2": 0.1}, "seeds": list(range(len(ends)))},
        provenance={},
        panel="full l2",
    )


def test_the_common_loss_is_what_nine_in_ten_seeds_reach():
    ends = np.linspace(1, 11, 11)
    level, single, deep = checks.compare(robustness_record(ends), 2)
    assert level == 10  # the tenth of eleven: nine in ten of them are below
    assert np.sum(np.isfinite(deep)) == 10
    assert deep[0] == pytest.approx(100 * np.log2(10), rel=0.02)
    np.testing.assert_array_equal(single, deep)
