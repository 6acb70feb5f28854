"""The verdicts on Figures 2, 4 and 5 (left), each made to hold and to fail."""

import pytest

from reproduce import claims
from reproduce.harness import records
from reproduce.claims import figure2, figure4_left, figure4_right, figure5_left, regression


def record(panel, name, curve, rate=0.1, seed=0, diverged=None, left=5, steps=None, **facts):
    settings = {"curve": name, "flow": False, "plotted": False, "stated": None, **facts}
    return records.Record(
        series=name,
        seed=seed,
        learning_rate=rate,
        settings={"steps": steps or curve[-1][0], "learning_rate": rate, **settings},
        curves={panel: [list(point) for point in curve]},
        results={"diverged_at": diverged, "left_plateau_at": left},
        provenance={},
        panel=panel,
    )


def verdict_on(module, found, words):
    matches = [verdict for verdict in module.verdicts(found) if words in verdict.statement]
    assert len(matches) == 1
    return matches[0]


# Figure 2


L2, L4 = figure2.PANELS


def networks(factor=1.0, late=1.0):
    networks_ = ((1, None, 1.0), (100, None, late), (1, "product", factor), (100, "product", late))
    return [
        record(
            L2,
            f"depth 2, width {width}, rule {rule}",
            [(0, 1.0), (100, 0.5 * each), (20_000, 0.1 * each)],
            depth=2,
            width=width,
            rule=rule,
            plotted=True,
        )
        for width, rule, each in networks_
    ]


def test_the_rule_emulates_a_network_that_it_stays_close_to():
    words = "l2: the rule emulates the network of depth 2 and width 1"
    for factor, expected in ((1.1, claims.HOLDS), (1.2, claims.FAILS)):
        (found, _) = [
            v for v in figure2.verdicts(networks(factor)) if v.statement.startswith(words)
        ]
        assert found.verdict == expected
    assert "0.079" in found.measured  # log10 of 1.2
    words = "l4: the rule emulates the network of depth 3 and width 100"
    assert verdict_on(figure2, [], words).verdict == claims.NOT_RUN


def test_widths_are_alike_where_their_medians_are():
    words = "l2: depth 2 converges alike"
    assert verdict_on(figure2, networks(), words).verdict == claims.HOLDS
    assert verdict_on(figure2, networks(late=0.8), words).verdict == claims.FAILS
    assert verdict_on(figure2, [], words).verdict == claims.NOT_RUN


def test_a_run_that_diverges_speaks_against_the_stated_rate():
    kinds = [dict(depth=d, width=w, rule=None, stated=True) for d in (2, 3) for w in (1, 100)]
    fine = [record(L4, str(kind), [(0, 1.0), (9, 0.5)], **kind) for kind in kinds]
    assert verdict_on(figure2, fine, "1e-3").verdict == claims.HOLDS
    diverged = record(L4, "", [(0, 1.0), (3, 9.0)], seed=1, diverged=4, **kinds[0])
    found = verdict_on(figure2, [*fine, diverged], "1e-3")
    assert found.verdict == claims.FAILS
    assert "2-layer w1: 1 of 2 diverge, by iteration 4" in found.measured


def test_the_largest_gap_is_taken_seed_by_seed():
    ours = [record(L2, "a", [(0, 1.0), (10, 10.0)], seed=seed) for seed in (0, 1)]
    theirs = [record(L2, "b", [(0, 10.0), (10, 10.0)], seed=seed) for seed in (0, 2)]
    assert regression.largest_gap(ours, theirs) == pytest.approx(1)
    assert regression.largest_gap(ours, theirs, first=5) == 0


# Figure 4


@pytest.mark.parametrize(
    "module, words, faster, slower",
    [
        (figure4_left, "outperforms AdaGrad", "GD 3-layer", "AdaGrad 1-layer"),
        (figure4_left, "outperforms AdaDelta", "GD 3-layer", "AdaDelta 1-layer"),
        (figure4_left, "epsilon of TensorFlow 1", "GD 3-layer", "AdaDelta 1-layer eps=1e-8"),
        (figure4_left, "is slower than", "GD 1-layer", "AdaGrad 1-layer"),
        (figure4_right, "faster than gradient", "Adam 1-layer", "GD 3-layer"),
        (figure4_right, "depth 2 is faster", "Adam 2-layer", "Adam 1-layer"),
        (figure4_right, "depth 3 is faster", "Adam 3-layer", "Adam 1-layer"),
    ],
)
def test_the_faster_one_ends_lower(module, words, faster, slower):
    def verdict(*ends):
        found = [
            record(module.PANEL, name, [(0, 1.0), (50, end), (100, end)])
            for name, end in zip((faster, slower), ends)
        ]
        return verdict_on(module, found, words).verdict

    assert verdict(0.1, 0.2) == claims.HOLDS
    assert verdict(0.2, 0.1) == claims.FAILS
    assert verdict() == claims.NOT_RUN


# Figure 5 (left)


def run(name, left, diverged=None, seed=0, rate=0.1):
    curve = [(0, 5.0), (100_000, 1.0)]
    return record(figure5_left.PANEL, name, curve, rate, seed, diverged, left)


def test_depth_4_starts_late_at_the_largest_rate_that_most_seeds_survive():
    words = "Depth 4 from near zero"
    # At this one most seeds diverge, and at the next one some would leave later.
    others = [
        run("4-layer", 10, diverged=20, rate=1.0),
        run("4-layer", 60_000, rate=0.01),
    ]
    for left, expected in ((None, claims.HOLDS), (20_000, claims.HOLDS), (50, claims.FAILS)):
        found = [run("4-layer", left, seed=seed) for seed in range(3)]
        found.append(run("4-layer", left, diverged=30_000, seed=3))
        verdict = verdict_on(figure5_left, [*others, *found], words)
        assert verdict.verdict == expected
        assert "at rate 0.1 " in verdict.measured and "; 1 diverge" in verdict.measured
    assert verdict_on(figure5_left, others[:1], words).verdict == claims.NOT_RUN
    assert verdict_on(figure5_left, [], words).verdict == claims.NOT_RUN


def test_what_starts_at_once():
    for depth in (4, 8):
        words = f"Depth {depth} from near the identity"
        for left, expected in ((10, claims.HOLDS), (5000, claims.FAILS), (None, claims.FAILS)):
            found = [run(f"{depth}-layer id-init", left)]
            assert verdict_on(figure5_left, found, words).verdict == expected
        assert verdict_on(figure5_left, [], words).verdict == claims.NOT_RUN


def test_depth_8_never_starts_if_no_run_moves_without_diverging():
    words = "Depth 8 from near zero"
    still = [run("8-layer", None, rate=0.01), run("8-layer", 10, diverged=12, rate=0.5)]
    found = verdict_on(figure5_left, still, words)
    assert found.verdict == claims.HOLDS and "0 of 2 runs" in found.measured
    assert verdict_on(figure5_left, [*still, run("8-layer", 10)], words).verdict == (
        claims.FAILS
    )
    assert verdict_on(figure5_left, [], words).verdict == claims.NOT_RUN


def test_the_best_rate_depends_on_the_horizon():
    found = [
        record("fig3L_l2", "1-layer", [(0, 2.0), (10, 1.0), (100, 0.9)], rate=0.1),
        record("fig3L_l2", "1-layer", [(0, 2.0), (10, 1.5), (100, 0.5)], rate=0.01),
        record("fig3L_l2", "1-layer", [(0, 2.0), (10, 0.1)], rate=1.0, diverged=50),
    ]
    row = regression.best_rates(found, "fig3L_l2", "1-layer", [5, 20, 100])
    assert row["after 5"] == "0.1 (2)"  # All are equal: the first.
    assert row["after 20"] == "1 (0.1)"
    assert row["after 100"] == "0.01 (0.5)"
    assert regression.best_rates(found[:1], "fig3L_l2", "1-layer", [5]) is None
