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
    reference = paper.curve(panel, series)
    curve = [(int(t), factor * v) for t, v in zip(reference.iteration, reference["median"])]
    return record(panel, series, curve, seed=seed, plotted=True)


@pytest.mark.parametrize("panel, series", [("fig3L_l2", "1-layer"), ("fig3R_l4", "3-layer")])
def test_the_paper_s_curve_holds_and_another_does_not(panel, series):
    statement = f"{series} of {panel}, as plotted"

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
    assert "0.000, median of 3 seeds; 1 more diverged" in found.measured


def as_stated(panel, ends, middles=(1.0, 1.0, 1.0)):
    return [
        record(panel, name, [(0, 2.0), (50, middle), (100, end)])
        for name, end, middle in zip(figure3.NAMES, ends, middles)
    ]


def verdict_on(found, words):
    (verdict,) = (v for v in figure3.verdicts(found) if words in v.statement)
    return verdict


def test_depth_hinders_where_every_deeper_network_ends_higher():
    assert verdict_on(as_stated("fig3L_l2", (1, 2, 3)), "slower").verdict == claims.HOLDS
    assert verdict_on(as_stated("fig3L_l2", (1, 0.9, 3)), "slower").verdict == claims.FAILS
    assert verdict_on([], "slower").verdict == claims.NOT_RUN


def test_depth_accelerates_where_every_deeper_network_gets_there_sooner():
    sooner = verdict_on(as_stated("fig3R_l4", (1, 0.5, 0.4), (1.5, 1, 0.9)), "accelerates")
    assert sooner.verdict == claims.HOLDS
    assert "2.0 times sooner by depth 2 at 0.1 and 2.0 times sooner by depth 3" in sooner.measured
    never = verdict_on(as_stated("fig3R_l4", (1, 0.5, 1.1), (1.5, 1, 1.2)), "accelerates")
    assert never.verdict == claims.FAILS and "never by depth 3" in never.measured


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
    stable = [*too_long[:2], flow("3-layer", 0.9, (None, None))]
    assert verdict_on(stable, "No gradient descent").verdict == claims.FAILS
    assert verdict_on(too_long[:2], "No gradient descent").verdict == claims.NOT_RUN
