"""What all records of Figure 5 (right) say: tables, distances, plot, and a picture of it."""

from reproduce.claims.convnets import PANEL, alternative_table, distances, runs_table
from reproduce.mnist_convnet.configuration import NETWORKS
from reproduce.paper import plots

STEP = "training step"


__all__ = ["distances", "draw", "tables"]


def tables(records):
    """For the report: from a title to its rows."""
    alternatives = "Alternative settings (loss after so many iterations)"
    return {
        "Runs (medians over the seeds)": runs_table(records),
        alternatives: alternative_table(records),
    }


def draw(title, records, settings, path):
    """The paper's figure, then what it is made of, then what the penalty acts on; a picture."""
    last = max((record.curves[PANEL][-1][0] for record in records), default=settings.steps)
    blue, red, *others = plots.COLOURS
    colours = dict(zip(NETWORKS, (blue, red)))

    def draw_loss(axes):
        for series, colour in colours.items():
            plots.draw_runs(axes, records, PANEL, series, series, colour)
            plots.draw_paper(axes, PANEL, series, colour)
        label = "batch loss (median of 25)"
        plots.finish_axes(axes, "Batch loss, ours and the paper's", STEP, label, last=last)

    figure, (top, left, right) = plots.new_figure(3, title)
    draw_loss(top)
    for series, colour in colours.items():
        for panel, style in (("cross_entropy", "-"), ("l2_term", "--")):
            label = f"{series}: {panel.replace('_', ' ').replace('l2', 'L2')}"
            plots.draw_runs(left, records, panel, series, label, colour, style)
        plots.draw_runs(right, records, PANEL, series, series, colour)
        no_l2 = f"no_l2 {series}"
        plots.draw_runs(right, records, PANEL, no_l2, f"no L2, {series}", colour, ":")
    for series, colour in zip(("l2_on_first_factor", "l2_on_every_factor"), others):
        label = series.replace("_", " ").replace("l2", "L2")
        plots.draw_runs(right, records, PANEL, series, label, colour)
    plots.finish_axes(left, "Its two parts", STEP, "cross-entropy, L2 term", last=last)
    plots.finish_axes(right, "Loss, by what the L2 term acts on", STEP, "loss", last=last)
    plots.save(figure, path)
    hero, (axes,) = plots.new_figure(1, "MNIST ConvNet: depth without expressiveness", 8.0)
    draw_loss(axes)
    plots.save(hero, path, "hero", ["png"])
