"""Records -> figures. Nothing here trains."""

import io

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402

from reproduce import paper  # noqa: E402
from reproduce.harness import curves  # noqa: E402
from reproduce.harness.files import write_atomically  # noqa: E402

# Okabe and Ito's palette: distinguishable to the colour-blind.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(columns, title, width=6.0, height=4.8):
    """A row of panels (width and height of each in inches): the figure and its axes, an array."""
    figure, axes = plt.subplots(1, columns, figsize=(width * columns, height), squeeze=False)
    figure.suptitle(title)
    return figure, axes[0]


def draw_runs(axes, records, panel, series, label, colour, style="-"):
    """Median over seeds, with the band from the lowest to the highest; nothing if not run.

    Of the seeds that do not diverge, unless all of them do.
    """
    all_ = [record for record in records if record.series == series]
    if not all_:
        return
    group = [record for record in all_ if record.results["diverged_at"] is None] or all_
    t, low, median, high = curves.median_curve([record.curves[panel] for record in group])
    count = f" ({len(group)} seeds" if len(group) > 1 else " (1 seed"
    count += f", {len(all_) - len(group)} more diverge)" if len(all_) > len(group) else ")"
    axes.plot(t, median, style, color=colour, linewidth=1.6, label=label + count)
    if len(group) > 1:
        axes.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)


def draw_paper(axes, panel, series, colour):
    """The paper's curve: its digitised points, joined, with the height of a pixel column."""
    reference = paper.curve(panel, series)
    axes.errorbar(
        reference.iteration,
        reference["median"],
        yerr=(reference["median"] - reference.low, reference.high - reference["median"]),
        color=colour,
        linestyle=":",
        marker="o",
        markersize=4,
        markerfacecolor="white",
        linewidth=1,
        elinewidth=1,
        zorder=3,
        label=f"{series}, the paper's figure",
    )


def finish_axes(axes, title, xlabel, ylabel, top=None):
    """Labels, a logarithmic value axis up to `top`, a legend: below if there is much in it."""
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, yscale="log")
    if top is not None:
        values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        axes.set_ylim(0.7 * values[values > 0].min(), top)
    axes.grid(True, which="major", alpha=0.3)
    if len(axes.get_legend_handles_labels()[0]) <= 6:
        axes.legend(fontsize="small")
    else:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}
        axes.legend(fontsize="small", ncols=2, **place).set_in_layout(False)


def save(figure, folder):
    """Write `figure.png` and `figure.pdf` into a `pathlib.Path`, whole, without a date."""
    figure.tight_layout()
    for axes in figure.axes:
        if axes.get_legend() is not None:
            axes.get_legend().set_in_layout(True)  # Below the axes, it makes the page longer.
    for kind, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=150, metadata=metadata, bbox_inches="tight")
        write_atomically(folder / f"figure.{kind}", content.getvalue())
    plt.close(figure)
