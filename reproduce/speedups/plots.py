"""How many times sooner depth gets there: of each variant, and of each task by its kurtosis."""

import numpy as np

from reproduce.claims import robustness as checks
from reproduce.paper.plots import COLOURS, new_figure, save

NEVER = 0.001  # where in the figure the runs are that do not get there


def draw(title, finished, folder):
    """A row for each problem: how many times sooner each depth gets there than one layer."""

    plot, (axes,) = new_figure(1, title, height=1.5 + 0.4 * len(finished))
    for row, record in enumerate(finished):
        for depth, colour in zip((2, 3, 4), COLOURS):
            if str(depth) not in record.results["rates"]:
                continue
            found = np.clip(checks.speedups(record, depth), NEVER, 1 / NEVER)
            low, median, high = np.quantile(found, (0.1, 0.5, 0.9), method="nearest")
            height = row + 0.2 * (depth - 3)
            axes.plot([low, high], [height] * 2, color=colour, linewidth=1.6)
            marker, suffix = ("x", ": never") if median == NEVER else ("o", "")
            axes.plot(median, height, marker, color=colour, label=f"depth {depth}{suffix}")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(finished)), [record.panel for record in finished])
    label = "times sooner than depth 1 (median, and 10 % to 90 % of the seeds)"
    axes.set(xscale="log", xlabel=label)
    axes.invert_yaxis()
    axes.grid(True, axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    handles = dict(sorted(zip(labels, handles), key=lambda item: item[0]))
    axes.legend(handles.values(), handles.keys(), fontsize="small", loc="center left")
    save(plot, folder)
