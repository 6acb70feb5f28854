"""The horizon: curves that are the paper's on a stretched axis, and where they cross."""

from reproduce import claims, paper
from reproduce.claims import horizon
from reproduce.harness.records import Record


def run(panel, curve, points, seed=0, rate=0.1, diverged_at=None):
    settings = {"curve": curve, "flow": False, "learning_rate": rate, "steps": 4_000_000}
    results = {"diverged_at": diverged_at}
    return Record(curve, seed, rate, settings, {panel: points}, results, {}, panel)


def stretched(panel, curve, factor, later=1.0):
    """The paper's curve, its iterations times a factor, which changes along it."""
    points = [t for t in paper.points(panel, curve) if t[0] > 0]
    end = points[-1][0]
    return [[round(t * factor * later ** (t / end)), value] for t, value in points]


def records(factors, later=1.0):
    return [
        run(panel, curve, stretched(panel, curve, factor, later), seed)
        for (panel, curve), factor in zip(horizon.CURVES, factors)
        for seed in range(2)
    ]


def verdict(found, words):
    (match,) = [v for v in horizon.verdicts(found) if words in v.statement]
    return match


def test_a_stretched_axis_is_found_and_its_factor():
    found = records([3.0] * 6)
    assert verdict(found, "curves of gradient").verdict == claims.HOLDS
    assert "1-layer 3.00 to 3.00" in verdict(found, "curves of gradient").measured
    assert verdict(found, "One factor").verdict == claims.HOLDS
    (rows,) = (t for title, t in horizon.tables(found).items() if title.startswith("Our iter"))
    assert [row["at the paper's 995000"] for row in rows] == ["3.00"] * 6
    assert {row["curve"] for row in rows} == {f"{curve} at 0.1" for _, curve in horizon.CURVES}


def test_other_factors_for_other_curves():
    found = records([3.0, 3.5, 3.0, 3.0, 2.0, 3.0])
    assert verdict(found, "curves of gradient").verdict == claims.HOLDS
    assert verdict(found, "One factor").verdict == claims.FAILS


def test_a_factor_that_changes_along_the_curve_is_none():
    assert verdict(records([3.0] * 6, later=0.5), "AdaGrad and AdaDelta").verdict == claims.FAILS


def test_crossings():
    t = [0, 100_000, 1_000_000, 2_000_000, 4_000_000]
    one = [run(horizon.L4, "1-layer", [[n, 1.0] for n in t])]
    two = [run(horizon.L4, "2-layer", list(map(list, zip(t, (2, 2, 1.5, 0.5, 0.1)))))]
    found = verdict(one + two, "2-layer gets below 1-layer")
    assert found.verdict == claims.HOLDS and "iteration 1500000 (" in found.measured
    assert "from iteration" in found.paper
    assert verdict(two + one, "3-layer gets below 2").verdict == claims.NOT_RUN
    at_first = [run(horizon.L4, "3-layer", [[n, 1.5 if n == 0 else 0.5] for n in t])]
    (row,) = horizon.tables(one + at_first)["From which iteration on one curve is below another"]
    assert (row["curve"], row["ours"]) == ("3-layer at 0.1", "50000")
    two.append(run(horizon.L4, "2-layer", two[0].curves[horizon.L4][:4], 1, diverged_at=2_500_000))
    found = verdict(one + two, "2-layer gets below 1-layer")
    assert found.verdict == claims.PARTLY
    assert "up to 2000000, runs that diverge: 1, from iteration 2500000" in found.measured
    rising = [run(horizon.L4, "2-layer", [[n, 2.0] for n in t])]
    found = verdict(one + rising, "2-layer gets below 1-layer")
    assert found.verdict == claims.FAILS and "from iteration never (" in found.measured


def test_runs_that_do_not_survive_their_start_are_left_out():
    points = [[0, 1.0], [4_000_000, 0.5]]
    one = run(horizon.L4, "1-layer", points)
    for diverged_at, seeds, diverge in ((3, 1, "0"), (999, 1, "0"), (1000, 2, "1, from it")):
        two = run(horizon.L4, "1-layer", points, 1, diverged_at=diverged_at)
        (row,) = horizon.tables([one, two])["Where ours stand, and where the paper's curves end"]
        assert row["seeds"] == seeds and row["diverge"].startswith(diverge)
        assert row["after 4000000"] == "0.5"


def test_of_what_was_not_run_nothing_is_said():
    assert [each.verdict for each in horizon.verdicts([])] == [claims.NOT_RUN] * 8
    assert verdict(records([3.0] * 2), "One factor").verdict == claims.NOT_RUN
    # A panel that was not run at all is left out.
    assert len(horizon.verdicts(records([3.0] * 3))) == 5
    assert len(horizon.verdicts(records([3.0] * 6))) == 8
