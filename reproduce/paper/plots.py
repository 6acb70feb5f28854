"""Records -> figures. Nothing here trains."""

import io

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.harness.files import write_atomically

# Okabe and Ito's palette: distinguishable to the color-blind.
LINE = 0.2  # inches, of a legend
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(panels, title, width=10.0, height=3.6):
    """A figure as wide as a page, at most two panels beside each other, and its axes, a list.

    Args:
        panels: How many. An odd one comes first, and takes the whole width.
        title: Of all.
        width: Of the figure. `height`: of a row. In inches.
    """
    import matplotlib  # Takes longer than all that a command does before it draws.

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: list = [["0"] * 2] if panels % 2 else []
    rest = range(panels % 2, panels)
    rows += [[str(left), str(left + 1)] for left in rest[::2]]
    figure, axes = pyplot.subplot_mosaic(
        rows, figsize=(width, height * len(rows)), layout="constrained"
    )
    figure.suptitle(title)
    return figure, [axes[str(panel)] for panel in range(panels)]


def draw_runs(axes, records, panel, series, label, color, style="-"):
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
    axes.plot(t, median, style, color=color, linewidth=1.6, label=label + count)
    if len(group) > 1:
        axes.fill_between(t, low, high, color=color, alpha=0.2, linewidth=0)


def draw_paper(axes, panel, series, color):
    """The paper's curve: its digitized points, joined, with the height of a pixel column."""
    reference = paper.curve(panel, series)
    axes.errorbar(
        reference.iteration,
        reference["median"],
        yerr=(reference["median"] - reference.low, reference.high - reference["median"]),
        color=color,
        linestyle=":",
        marker="o",
        markersize=4,
        markerfacecolor="white",
        linewidth=1,
        elinewidth=1,
        zorder=3,
        label=f"{series}, the paper's figure",
    )


def finish_axes(axes, title, xlabel, ylabel, top=None, last=None):
    """Labels, a logarithmic value axis up to `top`, and a legend below, over no curve.

    Args:
        last: The last iteration of our own runs, where the axis ends if they are short.
    """
    from matplotlib.transforms import ScaledTranslation

    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, yscale="log")
    if last:
        axes.set_xlim(-0.02 * last, 1.02 * last)
    if top is not None:
        values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        axes.set_ylim(0.7 * values[values > 0].min(), top)
    axes.xaxis.set_major_formatter(lambda t, _: f"{t / 1e6:g}M" if t >= 1e6 else f"{t:,.0f}")
    axes.grid(True, which="major", alpha=0.3)
    below = ScaledTranslation(0, -0.45, axes.figure.dpi_scale_trans)  # the axis' label
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0)}
    place["bbox_transform"] = axes.transAxes + below
    span = axes.get_subplotspec().colspan
    axes.legend(fontsize="small", ncols=span.stop - span.start, frameon=False, **place)


def save(figure, folder, name="figure", kinds=("png", "pdf")):
    """Write `figure.png` and `figure.pdf` into a `pathlib.Path`, whole, without a date."""
    from matplotlib import pyplot

    lines: dict = {}  # of the longest legend in each row
    for axes in figure.axes:
        if axes.get_legend() is not None:
            entries, row = len(axes.get_legend().get_texts()), axes.get_subplotspec().rowspan.start
            columns = axes.get_legend()._ncols
            lines[row] = max(lines.get(row, 0), -(-entries // columns))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + LINE * sum(lines.values()))
    for kind in kinds:
        metadata = {"CreationDate": None} if kind == "pdf" else {}
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=150, metadata=metadata)
        write_atomically(folder / f"{name}.{kind}", content.getvalue())
    pyplot.close(figure)
