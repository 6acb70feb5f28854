"""The verdicts on Figure 3, each made to hold and to fail."""

import pytest

from reproduce import claims, paper
from reproduce.harness import records
from reproduce.claims import figure3


def record(panel, name, curve, rate=0.1, seed=0, **facts):
    settings = {"curve": name, "flow": False, "plotted": False, "stated": None, **facts}
    return records.Record(
        series=name,
        seed=seed,
        learning_rate=rate,
        settings={"steps": curve[-1][0], "learning_rate": rate, **settings},
        curves={panel: [list(point) for point in curve]},
        results={"diverged_at": None, "left_plateau_at": 5},
        provenance={},
        panel=panel,
    )


def on_the_paper(panel, series, factor=1.0, seed=0):
    curve = [(t, factor * value) for t, value in paper.points(panel, series)]
    return record(panel, series, curve, seed=seed, plotted=True)


@pytest.mark.parametrize("panel, series", [("fig3L_l2", "1-layer"), ("fig3R_l4", "3-layer")])
def test_the_paper_s_curve_holds_and_another_does_not(panel, series):
    statement = f"{series} of {paper.PLOTS[panel]}, as plotted"

    def verdict(*found):
        return {each.statement: each for each in figure3.verdicts(list(found))}[statement]

    assert verdict(on_the_paper(panel, series)).verdict == claims.HOLDS
    assert verdict(on_the_paper(panel, series, factor=1.3)).verdict == claims.FAILS
    assert verdict().verdict == claims.NOT_RUN
    # The median over seeds is what counts, and a run that ended before is counted.
    three = [on_the_paper(panel, series, factor, seed) for seed, factor in enumerate((1, 1, 1.3))]
    short = record(panel, series, [(0, 1.0), (10, 0.5)], seed=3, plotted=True)
    found = verdict(*three, short)
    assert found.verdict == claims.HOLDS
    assert "0.000, median of 3 seeds at 0.1" in found.measured
    assert found.measured.endswith("1 more diverged") and found.kind == claims.CURVE


def test_a_curve_that_is_met_later_on_holds_in_part():
    def found(until, since=0, factor=2):
        run = on_the_paper("fig3L_l2", "1-layer")
        points = run.curves["fig3L_l2"]
        points[:] = [[t, y * (factor if since <= t <= until else 1)] for t, y in points]
        return verdict_on([run], "1-layer of Figure 3 (left)")

    assert found(5_000).verdict == claims.HOLDS  # less than 1 % of the axis
    assert "from iteration 20000 on" in found(10_000).measured  # a little more
    late = found(100_000)
    assert late.verdict == claims.PARTLY and "0.000 from iteration 200000 on" in late.measured
    assert found(600_000).verdict == claims.FAILS  # more than half of it
    # 0.051 decades, and less if what comes before 1 % of the axis counted.
    assert found(10**6, since=10_000, factor=1.124).verdict == claims.FAILS


def as_stated(panel, ends, middles=(1.0, 1.0, 1.0)):
    return [
        record(panel, name, [(0, 2.0), (50, middle), (100, end)], seed=seed)
        for name, end, middle in zip(figure3.NAMES, ends, middles)
        for seed in (0, 1)
    ]


def verdict_on(found, words):
    (verdict,) = (v for v in figure3.verdicts(found) if words in v.statement)
    return verdict


def test_depth_hinders_where_every_deeper_network_ends_higher():
    slightly = verdict_on(as_stated("fig3L_l2", (1, 1.5, 2)), "slower")
    assert slightly.verdict == claims.HOLDS
    assert slightly.paper.startswith("1-layer 0.00275, 2-layer 0.00357, 3-layer 0.00415 at iter")
    ends = (1, 1.5, 3), (1, 3, 1.5), (0.1, 0.15, 0.3), (1, 0.9, 3), (1, 0.9, 1.5), (1, 1, 1.5)
    for each in ends:
        assert verdict_on(as_stated("fig3L_l2", each), "slower").verdict == claims.FAILS
    assert verdict_on([], "slower").verdict == claims.NOT_RUN


def test_depth_accelerates_where_every_deeper_network_gets_there_sooner():
    sooner = verdict_on(as_stated("fig3R_l4", (1, 0.5, 0.4), (1.5, 1, 0.9)), "accelerates")
    assert sooner.verdict == claims.HOLDS
    assert "which 2 of 2 starts survive, is reached 2.00 and 2.00 times sooner" in sooner.measured
    assert sooner.paper == "1.66 and 2.21 times sooner at iteration 995000"
    # Where depth 1 is after 100 iterations, these are after 95: hardly sooner.
    hardly = verdict_on(as_stated("fig3R_l4", (1, 0.968, 0.968), (1.5, 1.5, 1.5)), "accelerates")
    assert hardly.verdict == claims.FAILS and "1.05 and 1.05 times sooner" in hardly.measured
    never = verdict_on(as_stated("fig3R_l4", (1, 0.5, 1.1), (1.5, 1, 1.2)), "accelerates")
    assert never.verdict == claims.FAILS and "2.00 and never times" in never.measured
    one = as_stated("fig3R_l4", (1,))
    assert verdict_on(one, "accelerates").verdict == claims.NOT_RUN


def test_one_seed_is_enough():
    found = as_stated("fig3L_l2", (1, 1.5, 2)) + as_stated("fig3R_l4", (1, 0.5, 0.4))
    found = [each for each in found if each.seed == 0]
    for words in ("slower", "accelerates"):
        assert verdict_on(found, words).verdict == claims.HOLDS


def test_depth_is_compared_with_the_best_rate_of_all_starts_and_of_those_that_survive():
    found = as_stated("fig3R_l4", (1, 0.5, 0.4), (1.5, 1, 0.9))
    fast = [(0, 2.0), (50, 0.45), (100, 0.4)]  # of depth 1, at a rate that two of five survive
    found += [record("fig3R_l4", "1-layer", fast, rate=0.5, seed=seed) for seed in (0, 1)]
    for seed in (2, 3, 4):
        lost = record("fig3R_l4", "1-layer", [(0, 2.0), (3, 9.0)], rate=0.5, seed=seed)
        lost.settings["steps"] = 100
        lost.results["diverged_at"] = 4
        found.append(lost)
    verdict = verdict_on(found, "accelerates")
    assert "depth 1's 0.4 at 0.5, which 2 of 5 starts survive" in verdict.measured
    assert verdict.verdict == claims.FAILS
    ((title, rows),) = figure3.tables(found).items()
    assert [row["iterations"] for row in rows] == list(figure3.HORIZONS)
    assert rows[-1]["the paper's curves"] == "1.66, 2.21"
    assert figure3.tables([]) == {}


def flow(name, step, unstable):
    result = record("fig3R_l4", name, [(0, 1.0), (100, 0.5)], flow=True, plotted=True)
    first, last = unstable
    result.results.update(longest_step=step, unstable_from=first, unstable_until=last)
    return result


def test_flow_is_laid_over_the_curves_that_descent_cannot_follow():
    too_long = [flow(name, 1.5, (10, 20)) for name in figure3.NAMES]
    found = verdict_on(too_long, "No gradient descent")
    assert found.verdict == claims.HOLDS
    assert "1-layer up to 1.5 times as long, between iterations 10 and 20" in found.measured
    for step in (0.9, 1.0):
        stable = [*too_long[:2], flow("3-layer", step, (None, None))]
        assert verdict_on(stable, "No gradient descent").verdict == claims.FAILS
    assert verdict_on(too_long[:2], "No gradient descent").verdict == claims.NOT_RUN
