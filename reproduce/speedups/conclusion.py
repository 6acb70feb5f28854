"""What all records of `reproduce.robustness` say: verdicts, tables, and the plot.

How many times sooner depth gets there: of each variant, and of each task by its kurtosis.
"""

import numpy as np

from reproduce.claims import kurtosis, robustness as checks, select
from reproduce.paper.plots import COLORS, new_figure, save

NEVER = 0.001  # where in the figure the runs are that do not get there
SHORTEST, ROW = 4.0, 0.4  # inches
MARKERS = {2: "s", 4: "o", 6: "^"}


def row(record):
    """What the command prints of a run that it has done: from column to value."""
    if _is_task(record):
        factor, depth = kurtosis.speedup(record)
        medians = {f"depth {depth}": factor}
    else:
        medians = {
            f"depth {depth}": float(np.median(checks.speedups(record, depth)))
            for depth in (2, 3, 4)
            if str(depth) in record.results["rates"]
        }
    return {"depth 2": None, "depth 3": None, "depth 4": None, **medians}


def conclude(records):
    """The verdicts, a list, and the tables, a dict, from all records."""
    title = (
        "How many times sooner than depth 1, each at its best rate, and the iterations to "
        "the same loss; median over the seeds (10 % to 90 %)"
    )
    variants, tasks = _by_arm(records)
    tables = {title: checks.table(variants), **kurtosis.tables(tasks)}
    return [*checks.verdicts(variants), *kurtosis.verdicts(tasks)], tables


def _by_arm(records):
    """Those of the variants, and those of the tasks."""
    arms: tuple[list, list] = [], []
    for record in records:
        arms[_is_task(record)].append(record)
    return arms


def _is_task(record):
    return "level" in record.settings


def draw(title, records, folder):
    """The variants, a row each, and beside them the tasks by kurtosis; the latter if there are."""
    variants, tasks = _by_arm(records)
    height = max(SHORTEST, 1.5 + ROW * len(variants))
    plot, panels = new_figure(2 if tasks else 1, title, width=11.0, height=height)
    _rows(panels[0], variants)
    if tasks:
        _scatter(panels[1], tasks)
    save(plot, folder)


def _rows(axes, finished):
    """A row for each problem: how many times sooner each depth gets there than one layer."""
    for row, record in enumerate(finished):
        for depth, color in zip((2, 3, 4), COLORS):
            if str(depth) not in record.results["rates"]:
                continue
            found = np.clip(checks.speedups(record, depth), NEVER, 1 / NEVER)
            low, median, high = np.quantile(found, (0.1, 0.5, 0.9), method="nearest")
            height = row + 0.2 * (depth - 3)
            axes.plot([low, high], [height] * 2, color=color, linewidth=1.6)
            marker, suffix = ("x", ": never") if median == NEVER else ("o", "")
            axes.plot(median, height, marker, color=color, label=f"depth {depth}{suffix}")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(finished)), [record.panel for record in finished])
    label = "times sooner than depth 1 (median, and 10 % to 90 % of the seeds)"
    axes.set(xscale="log", xlabel=label)
    axes.invert_yaxis()
    axes.grid(True, axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    handles = dict(sorted(zip(labels, handles), key=lambda item: item[0]))
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06), "frameon": False}
    axes.legend(handles.values(), handles.keys(), fontsize="small", ncols=len(handles), **place)


def _scatter(axes, finished):
    """A point for each task and loss: how many times sooner, over the residual's kurtosis."""
    from matplotlib import ticker

    for (p, marker), color in zip(MARKERS.items(), COLORS):
        found = [
            (record.results["kurtosis"], kurtosis.speedup(record)[0], kurtosis.task(record))
            for record in select(finished, p=p)
        ]
        if not found:
            continue
        strong = p == kurtosis.PREDICTED
        x, y, names = zip(*found)
        size, alpha = (40, 1.0) if strong else (16, 0.6)
        y = np.clip(y, NEVER, 1 / NEVER)
        axes.scatter(x, y, s=size, marker=marker, color=color, alpha=alpha, label=f"p = {p}")
        points = np.log(np.column_stack([x, y]))
        for number, name in enumerate(names if strong else ()):
            # On the side on which the nearest point is not.
            gaps = np.linalg.norm(points - points[number], axis=1)
            gaps[number] = np.inf
            is_left = points[np.argmin(gaps), 0] > points[number, 0]
            axes.annotate(
                name,
                (x[number], y[number]),
                xytext=(-7 if is_left else 7, -4),
                textcoords="offset points",
                ha="right" if is_left else "left",
                fontsize="small",
            )
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        title="regression tasks",
        xlabel="kurtosis of the residual of least squares",
        ylabel="times sooner than depth 1 (the better of depth 2 and 3)",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=0.15, y=0.08)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize="small")
