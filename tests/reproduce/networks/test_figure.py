"""The figure of the answer, of curves made by hand."""

import numpy as np
import pytest

from reproduce.claims import comparison
from reproduce.workloads import figure
from tests.reproduce.networks.by_hand import five, plain, record, trained


@pytest.fixture
def axes():
    from matplotlib import pyplot as plt

    drawing, axes = plt.subplots()
    yield axes
    plt.close(drawing)


def methods_by_place(*groups):
    """From a place to the methods of a workload: the first of two groups of runs is at 0."""
    found = comparison.measured([each for group in groups for each in group])
    return dict(enumerate(found.values()))


def profiles(axes, *groups):
    """From method to the parts of its workloads on which it is within 1, ..., 3 times the best."""
    axes.clear()
    figure._profile(axes, methods_by_place(*groups))
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_the_part_of_its_own_workloads_that_a_method_is_fast_on(axes):
    # Twice as soon on one workload, and not yet measured on the other.
    found = profiles(axes, plain(), five("factors", 1.6), plain("gpt"))
    assert set(found["factors"]) == {1.0}
    assert found["plain"][0] == 0.5 and found["plain"][-1] == 1.0
    # Never at the target is within no factor, also where it is said of one workload alone.
    found = profiles(axes, plain(), five("factors", 0.1))
    assert set(found["factors"]) == {0.0}
    assert set(found["plain"]) == {1.0}


def points(axes):
    """From a method's label to its point: x, y, marker."""
    return {
        line.get_label(): (float(*line.get_xdata()), float(*line.get_ydata()), line.get_marker())
        for line in axes.lines
        if line.get_marker() != "None"
    }


def test_times_sooner_are_points_beside_what_comes_by_chance(axes):
    by_place = methods_by_place(plain(spread=0.01), five("factors", 1.6), five("rule", 0.1))
    figure._times_sooner(axes, by_place, ["mlp"], "steps", "validation_loss")
    found = points(axes)
    x, y, marker = found["factors"]
    assert x == np.median(by_place[0]["factors"].sooner("validation_loss")) > 1.5
    assert marker == "o" and -0.5 < y < 0
    x, y, marker = found["the rule"]
    assert (x, marker) == (figure.LIMITS["steps"][0], "<") and 0 < y < 0.5
    floor = by_place[0]["factors"].chance("validation_loss")
    assert floor > 1
    for gray in axes.collections[::2]:
        extents = gray.get_paths()[0].get_extents()
        assert (extents.x0, extents.x1) == pytest.approx((1 / floor, floor))


def test_in_seconds_a_step_has_its_cost(axes, monkeypatch):
    monkeypatch.setattr(figure, "cost", lambda settings: (0.5, 1.2))
    by_place = methods_by_place(plain(), five("factors", 1.6))
    figure._times_sooner(axes, by_place, ["mlp"], "seconds", "validation_loss")
    assert points(axes)["factors"][0] == pytest.approx(1.0)
    extents = axes.collections[0].get_paths()[0].get_extents()
    assert (extents.x0, extents.x1) == pytest.approx((1 / 1.2, 1.2))


def test_the_training_loss_is_another_target(axes):
    by_place = methods_by_place(plain(), trained("factors", 1.6))
    for kind, x in (("training_loss", 2.0), ("validation_loss", 1.0)):
        axes.clear()
        figure._times_sooner(axes, by_place, ["mlp"], "steps", kind)
        assert points(axes)["factors"][0] == pytest.approx(x)


def test_a_network_is_in_the_panels_of_the_losses_that_it_has(monkeypatch):
    from matplotlib import pyplot as plt

    drawn = []
    monkeypatch.setattr(figure.plots, "save", lambda drawing, folder: drawn.append(drawing))
    anchor = [*plain("ethanol"), *five("factors", 0.1, workload="ethanol")]
    found = comparison.measured([*anchor, *plain(), *five("factors", 1.6)])
    figure._draw_answer("title", found, None)
    (drawing,) = drawn
    of_sgd = drawing.axes[:: len(figure.planning.OPTIMIZERS)]
    shown = [[label.get_text() for label in axes.get_yticklabels()] for axes in of_sgd[:-1]]
    assert shown == [["mlp"]] * 2 + [["ethanol", "mlp"]] * 2  # validation loss, training loss
    drawn_at = [
        [(line.get_marker(), *line.get_ydata()) for line in axes.lines[:count]]
        for axes, count in ((of_sgd[0], 1), (of_sgd[2], 2))
    ]
    assert drawn_at == [[("o", 0)], [("<", 0), ("o", 1)]]  # sooner; never
    (legend,) = drawing.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["plain", "factors", figure.CHANCE]
    assert {line.get_marker() for line in legend.get_lines()} == {"None"}
    plt.close(drawing)


def test_what_is_not_known_is_not_drawn(axes, monkeypatch):
    monkeypatch.setattr(figure, "cost", lambda settings: None)
    whole, half = plain(), plain()[:5]  # Without a second set nothing is known of chance.
    anchor = [*plain("ethanol"), *five("factors", 1.6, workload="ethanol")]
    for groups, unit, kind, count in (
        ([whole, five("factors", 1.6)], "seconds", "validation_loss", 0),
        ([half, five("factors", 1.6)], "steps", "validation_loss", 0),
        ([anchor], "steps", "training_loss", 1),
    ):
        figure._times_sooner(axes, methods_by_place(*groups), ["network"], unit, kind)
        assert len(points(axes)) == count


def test_chance_that_is_not_known_is_hatched_all_over(axes):
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    figure._times_sooner(
        axes, methods_by_place(lost, five("factors", 1.6)), ["mlp"], "steps", "validation_loss"
    )
    hatched, *_ = axes.collections
    extents = hatched.get_paths()[0].get_extents()
    assert (extents.x0, extents.x1) == figure.LIMITS["steps"]
    assert (hatched.get_hatch(), hatched.get_label()) == ("///", figure.UNKNOWN)


def test_only_what_is_compared_is_in_the_profiles(monkeypatch):
    drawn = []
    monkeypatch.setattr(figure.plots, "save", lambda *_: None)
    monkeypatch.setattr(figure, "_profile", lambda axes, shown: drawn.append(list(shown)))
    networks = ("ethanol", "mlp", "residual_convnet")
    records = [
        each for optimizer in ("sgd", "muon") for w in networks for each in plain(w, optimizer)
    ]
    figure._draw_answer("title", comparison.measured(records), None)
    # The anchor is not, nor where Muon moves nothing.
    assert drawn == [["mlp", "residual_convnet"], [], ["mlp"]]


def test_rates_that_diverge_break_the_line_and_are_marked(axes):
    selected = {0.02: 0.5, 0.05: 0, 0.1: 0.8, 0.2: 0}
    tuned = [record("factors", 0, pace, rate=rate) for rate, pace in selected.items()]
    found = comparison.measured([*plain(), *five("factors", 0.8), *tuned])["mlp", "sgd"]
    figure._by_rate(axes, found["factors"], "factors")
    line, ring, lost = axes.lines
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False, True]
    assert (ring.get_xdata(), ring.get_ydata()) == ([0.1], [1 / 80])
    assert lost.get_marker() == "x" and list(lost.get_xdata()) == [0.05, 0.2]
    axes.clear()
    figure._by_rate(axes, found["plain"], "plain")  # Its selection is not there.
    assert len(axes.lines) == 1


def test_losses_are_drawn_near_their_ends():
    found = comparison.measured([*plain(), *five("factors", 1.6)])["mlp", "sgd"]
    assert figure._limits(found) == pytest.approx((0.9 / 160, figure.HIGHEST / 80))


def test_the_legend_of_all_methods_is_within_the_figure(monkeypatch):
    from matplotlib import pyplot as plt

    drawn = []
    monkeypatch.setattr(figure.plots, "save", lambda drawing, folder: drawn.append(drawing))
    lost = [record("plain", seed, 0.8 if seed < 7 else 0, "gpt") for seed in range(1, 11)]
    methods = [five(name, 1.6) for name in figure.planning.METHODS[1:]]
    records = [*plain(), *lost, *five("factors", 1.6, workload="gpt"), *sum(methods, [])]
    figure._draw_answer("title", comparison.measured(records), None)
    (drawing,) = drawn
    (legend,) = drawing.legends
    assert len(legend.get_texts()) == len(figure.planning.METHODS) + 2
    drawing.canvas.draw()
    extent = legend.get_window_extent()
    assert extent.x0 > 0 and extent.x1 < drawing.bbox.width
    plt.close(drawing)
