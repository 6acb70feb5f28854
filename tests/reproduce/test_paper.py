"""The digitized curves."""

from reproduce import paper


def test_every_curve_has_points_and_every_panel_a_plot():
    assert len(paper.names()) == len(set(paper.names())) == 31
    assert {panel for panel, _ in paper.names()} == set(paper.PLOTS)
    for panel, series in paper.names():
        points = paper.points(panel, series)
        assert points and points == sorted(points)
        assert {t for t, _ in points} <= set(paper.iterations(panel))
    assert paper.points("fig3L_l2", "4-layer") == []


def test_points_whose_pixel_column_spans_a_factor_of_two_are_left_out():
    assert paper.points("fig3L_l2", "1-layer")[:2] == [[5000, 0.03144], [10000, 0.02441]]
    # Another curve crosses its end: the column spans 0.1986 to 4.545.
    assert paper.points("fig5L_l4", "4-layer id-init")[-1] == [80000, 0.2226]
    # A factor of 1.96 is read.
    assert paper.points("fig5R_mnist", "overparameterized")[-1] == [8500, 0.06026]
