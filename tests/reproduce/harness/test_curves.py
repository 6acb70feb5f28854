"""Numbers that a reader can redo by hand."""

import numpy as np
import pytest

from reproduce.harness import curves


def test_smoothed_is_a_running_median():
    values = np.array([5.0, 1.0, 9.0, 2.0, 2.0])
    points = dict(map(tuple, curves.smoothed(values, half_window=1, points=50)))
    # At either end the window is cut off.
    assert points == {0: 3.0, 1: 5.0, 2: 2.0, 3: 2.0, 4: 2.0}


def test_smoothed_keeps_the_iterations_asked_for():
    points = curves.smoothed(np.ones(1000), half_window=12, iterations=(777, 778), points=5)
    assert [t for t, _ in points] == [0, 4, 30, 176, 777, 778, 999]


def test_smoothed_ends_with_the_last_finite_value():
    values = np.array([1.0, 2.0, 4.0, np.nan, 3.0])
    assert curves.smoothed(values, half_window=1, points=50)[-1] == [2, 3.0]


def test_epoch_means_follow_fractional_epochs():
    # 2.5 iterations an epoch: iterations 0-2, 3-4, 5.
    assert curves.epoch_means(np.arange(6.0), 2.5) == [1.0, 3.5, 5.0]
    assert curves.epoch_means(np.array([1.0, np.inf]), 1) == [1.0, None]


def test_first_not_finite():
    assert curves.first_not_finite(np.array([1.0, np.inf, np.nan])) == 1
    assert curves.first_not_finite(np.array([1.0])) is None


def test_median_curve_where_all_have_a_point():
    t, low, median, high = curves.median_curve(
        [[[0, 1.0], [1, 5.0], [2, 7.0]], [[0, 3.0], [2, 6.0]], [[0, 2.0], [2, 9.0]]]
    )
    assert (list(t), list(low), list(median), list(high)) == ([0, 2], [1, 6], [2, 7], [3, 9])


def test_rms_log10():
    # One decade off at one of two points.
    reference = [[1, 1.0], [2, 1.0], [3, 1.0]]
    distance = curves.rms_log10([[1, 10.0], [2, 10.0], [3, 1.0]], reference, first=2)
    assert distance == 0.707107  # the root of 1/2, to six digits
    assert curves.rms_log10([[1, 1.0]], reference, first=1) is None


# The line value = 100 / iteration, from 10 to 1000.
LINE = [[0, 50.0], [10, 10.0], [1000, 0.1]]


def test_between_two_points_a_curve_is_straight_in_both_logarithms():
    assert curves.value_at(LINE, 100) == pytest.approx(1.0)
    assert curves.value_at(LINE, 1000) == 0.1 and curves.value_at(LINE, 0) == 50.0
    assert curves.value_at(LINE, 5) == 10.0  # From iteration 0 there is no such line.
    assert curves.value_at(LINE, 1001) == np.inf
    assert curves.iterations_to(LINE, 1.0) == pytest.approx(100.0)
    assert curves.iterations_to(LINE, 0.01) == np.inf
    assert curves.iterations_to(LINE, 60.0) == 1.0


def test_times_sooner_is_a_ratio_of_iterations_to_where_the_other_is():
    half = [[t, value / 2] for t, value in LINE]  # half of 100 / t: there in half of the time
    assert curves.times_sooner(half, LINE, 500) == pytest.approx(2.0)
    assert curves.times_sooner(LINE, half, 500) == pytest.approx(0.5)
    assert curves.times_sooner(LINE, half, 1000) == 0.0  # never


def test_the_largest_gap_is_in_decades_and_where_both_have_a_point():
    other = [[0, 5.0], [10, 5.0], [500, 1.0]]
    assert curves.largest_gap(LINE, other) == pytest.approx(1)
    assert curves.largest_gap(LINE, other, first=5) == pytest.approx(np.log10(2))
    assert np.isnan(curves.largest_gap(LINE, other, first=11))


@pytest.mark.parametrize(
    "values, expected",
    [
        ([3.0, 3.0, 1.0], 15.0),  # straight from +1 to -1 between iterations 10 and 20
        ([1.0, 1.0, 1.0], None),  # never above
        ([3.0, 3.0, 3.0], None),  # never below
        ([3.0, 1.0, 3.0], None),  # above again
        ([1.0, 5.0, 1.0], 17.5),
    ],
)
def test_crossing(values, expected):
    found = curves.crossing(np.array([0, 10, 20]), np.array(values), np.full(3, 2.0))
    assert found == expected


def test_first_at_most():
    t, values = np.array([0, 5, 9]), np.array([3.0, 2.0, 1.0])
    assert curves.first_at_most(t, values, 2.0) == 5
    assert curves.first_at_most(t, values, 0.5) is None
