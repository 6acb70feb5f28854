"""The figure of `reproduce.networks`."""

import numpy as np

from reproduce.claims.comparison import measured, seconds_of
from reproduce.harness import curves
from reproduce.paper import plots
from reproduce.workloads import planning

COLUMNS = ("steps", "seconds", "learning rate")


def draw(title, records, folder):
    """A row for each workload and optimizer: loss by steps and by seconds; last loss by rate."""
    from matplotlib import pyplot as plt, ticker

    found = measured(records)
    figure, rows = plt.subplots(
        max(1, len(found)) + 1,
        3,
        figsize=(12.0, 2.6 * (len(found) + 1)),
        layout="constrained",
        squeeze=False,
    )
    figure.suptitle(title)
    for axes, ((workload, optimizer), methods) in zip(rows, found.items()):
        for method, comparison in methods.items():
            color = plots.COLORS[planning.METHODS.index(method)]
            _loss(axes[0], comparison, method, color)
            seconds = seconds_of(comparison.settings)
            if seconds:
                _loss(axes[1], comparison, method, color, seconds[1])
            _by_rate(axes[2], comparison, method, color)
        axes[1].set_visible(bool(axes[1].lines))  # Seconds that are not measured are not drawn.
        for each, label in zip(axes, COLUMNS):
            each.set(xlabel=label, yscale="log")
            each.grid(True, alpha=0.3)
        kind = methods[planning.PLAIN].main_kind.replace("_", " ")
        axes[0].set(ylabel=kind, title=f"{workload}, {optimizer}")
        axes[0].legend(fontsize="x-small")
        axes[2].set(xscale="log")
        axes[2].xaxis.set_minor_formatter(ticker.NullFormatter())
    for axes, optimizer in zip(rows[-1], planning.OPTIMIZERS):
        _profile(axes, found, optimizer)
    plots.save(figure, folder)


def _loss(axes, comparison, method, color, seconds=1.0):
    """Median and range over the seeds that do not diverge."""
    kind = comparison.main_kind
    runs = [record for record in comparison.runs if record.results["diverged_at"] is None]
    if runs:
        t, low, middle, high = curves.median_curve([record.curves[kind] for record in runs])
        axes.plot(seconds * t, middle, color=color, linewidth=1.4, label=method)
        axes.fill_between(seconds * t, low, high, color=color, alpha=0.2, linewidth=0)


def _by_rate(axes, comparison, method, color):
    ends = {r.settings["learning_rate"]: planning.end(r) for r in comparison.selection}
    points = sorted((rate, value) for rate, value in ends.items() if np.isfinite(value))
    if points:
        axes.plot(*zip(*points), "o-", color=color, markersize=3, linewidth=1.2, label=method)


def _profile(axes, found, optimizer):
    """Performance profile: the part of its workloads on which a method is within a factor."""
    sooner: dict = {}
    for (workload, of), methods in found.items():
        if of == optimizer:
            for method, comparison in methods.items():
                kind = comparison.main_kind
                sooner.setdefault(method, {})[workload] = np.median(comparison.sooner(kind))
    best: dict = {}
    for ratios in sooner.values():
        for name, ratio in ratios.items():
            best[name] = max(ratio, best.get(name, 0))
    factors = np.linspace(1, 3, 201)
    for method, ratios in sooner.items():
        part = [
            np.mean([ratio >= best[name] / factor > 0 for name, ratio in ratios.items()])
            for factor in factors
        ]
        color = plots.COLORS[planning.METHODS.index(method)]
        axes.plot(factors, part, color=color, label=method)
    axes.set(
        title=f"Performance profile, {optimizer}",
        xlabel="steps, as a multiple of the best method's",
        ylabel="part of the workloads measured",
        ylim=(-0.05, 1.05),
    )
    axes.grid(True, alpha=0.3)
