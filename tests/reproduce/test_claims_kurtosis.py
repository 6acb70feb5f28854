"""The speed-up of each task by the kurtosis of its residual, and the rank correlation of both."""

import numpy as np
import pytest
from scipy import stats

from reproduce import claims
from reproduce.claims import kurtosis, robustness as checks
from reproduce.harness.records import Record


def record(name, kurtosis, times, p=4, seeds=(0, 1, 2), steps=100_000):
    """Depths that are at 1 at the iteration `times`, of 100, and halve in as long."""

    def curve(time):
        t = [0, *np.geomspace(1, steps, 60).astype(int)]
        return [[int(n), 100.0 if n == 0 else min(100.0, time / n)] for n in t]

    return Record(
        series="all",
        seed=0,
        learning_rate=None,
        settings={"steps": steps, "problem": name, "p": p, "level": 1e-3},
        curves={checks.curve_name(d, s): curve(time) for d, time in times.items() for s in seeds},
        results={
            "at_zero": 100.0,
            "kurtosis": kurtosis,
            "rates": dict.fromkeys(map(str, times), 0.1),
            "seeds": list(seeds),
        },
        provenance={},
    )


def test_iterations_are_counted_to_a_share_of_the_loss_at_zero():
    found = record("a", 3.0, {1: 1000.0, 2: 500.0, 3: 250.0})
    assert kurtosis.goal(found) == pytest.approx(0.1)
    np.testing.assert_allclose(kurtosis.iterations(found, 1), 10_000, rtol=0.01)
    factor, depth = kurtosis.speedup(found)
    assert factor == pytest.approx(4, rel=0.01) and depth == 3


def test_or_to_where_a_single_layer_ends():
    found = record("a", 3.0, {1: 50_000.0, 2: 25_000.0, 3: 1e9})
    assert kurtosis.goal(found) == pytest.approx(0.5)
    factor, depth = kurtosis.speedup(found)
    assert factor == pytest.approx(2, rel=0.01) and depth == 2
    # Of depth 1, that which diverges does not count.
    found.curves[checks.curve_name(1, 0)] = [[0, 100.0]]
    assert kurtosis.speedup(found)[0] == pytest.approx(2, rel=0.01)


def tasks(factors, p=4):
    return [
        record(f"task{i}", float(3 + i), {1: 1000.0, 2: 1000.0 / f, 3: 1e9}, p)
        for i, f in enumerate(factors)
    ]


def verdict(records, words):
    (match,) = [v for v in kurtosis.verdicts(records) if words in v.statement]
    return match


def test_the_correlation_is_spearmans():
    factors = [1.0, 1.2, 1.1, 3.0, 2.0, 2.5, 4.0]
    found = tasks(factors)
    rho, low, high = kurtosis.correlation(found)
    assert rho == pytest.approx(stats.spearmanr(range(7), factors).statistic)
    assert low < rho < high <= 1


@pytest.mark.parametrize(
    "factors, expected",
    [
        ((1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0), claims.HOLDS),
        ((6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0), claims.FAILS),
        ((1.0, 6.0, 2.0, 5.0, 3.0, 1.5, 4.0, 2.5), claims.OPEN),
        ((2.0,) * 8, claims.OPEN),  # rho is 0, and so is that of what is resampled
    ],
)
def test_the_verdict_is_that_of_the_interval(factors, expected):
    found = verdict(tasks(factors), "rises with the kurtosis")
    assert found.verdict == expected
    assert f"of the largest speed-up, {max(factors):.2f} times" in found.measured


def test_tasks_on_which_depth_accelerates_are_counted():
    found = tasks((1.0, 1.05, 2.0, 3.0, 4.0))
    four = verdict(found, "for p = 4")
    assert four.verdict == claims.PARTLY and four.measured.startswith("on 3 of 5 tasks: task4 4.0")
    assert verdict(tasks((2.0,) * 5), "for p = 4").verdict == claims.HOLDS
    assert verdict(tasks((1.0,) * 5, p=2), "for p = 2").verdict == claims.HOLDS
    assert verdict(tasks((2.0,) * 5, p=2), "for p = 2").verdict == claims.FAILS
    assert verdict(found[:4], "for p = 4").verdict == claims.NOT_RUN
    assert verdict(found[:4], "rises with the kurtosis").verdict == claims.NOT_RUN


def test_tables():
    assert kurtosis.tables([]) == {}
    found = tasks((1.0, 1.05, 2.0, 3.0, 4.0)) + tasks((1.0,) * 5, p=2)
    rows, correlations = kurtosis.tables(found).values()
    assert [row["task"] for row in rows] == [f"task{i}" for i in range(5)]
    assert rows[4]["p = 4"].startswith("4.00: depth 2 2500 at 0.1, depth 1 10000 at 0.1, to 0.001")
    assert [row["p"] for row in correlations] == [2, 4]
    assert correlations[1]["to 0.001 of the loss at zero"].startswith("1.00 (")
