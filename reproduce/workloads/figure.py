"""The figures of `reproduce.networks`: the answer, and the losses that it is of."""

import numpy as np

from reproduce.claims.comparison import TRAINING, VALIDATION, cost, measured, seconds_of
from reproduce.claims.networks import NAMES, OPTIMIZERS, is_compared
from reproduce.harness import curves
from reproduce.paper import plots
from reproduce.workloads import planning

COLUMNS = ("steps", "seconds", "learning rate")
ANSWERS = [(unit, kind) for kind in (VALIDATION, TRAINING) for unit in ("steps", "seconds")]
LABELS = {planning.PLAIN: "plain", **NAMES}
# Times sooner, where the axes end.
LIMITS = {"steps": (0.5, 5.0), "seconds": (0.04, 5.0)}
TICKS = {"steps": [0.5, 0.7, 1, 1.4, 2, 4], "seconds": [0.05, 0.1, 0.2, 0.5, 1, 2, 4]}
CHANCE, UNKNOWN = "by chance", "by chance, unknown"
IN_A_ROW = 5  # of the legend: no more are as wide as the figure
HIGHEST = 2.0  # times the last loss of the plain network, where the axes of losses end


def draw(title, records, folder):
    """`figure`: how many times sooner each method is; `losses`: by steps, seconds and rate."""
    found = measured(records)
    _draw_answer(title, found, folder)
    _draw_losses(title, found, folder)


def _draw_answer(title, found, folder):
    """For each optimizer, times sooner in steps and in seconds, and a performance profile."""
    from matplotlib import pyplot as plt

    kinds = {name: {TRAINING, found[name, of][planning.PLAIN].main_kind} for name, of in found}
    names = list(kinds)
    height = 1.2 + 0.45 * len(names)
    heights = [height] * len(ANSWERS) + [3.0]
    figure, rows = plt.subplots(
        len(heights),
        len(planning.OPTIMIZERS),
        figsize=(12.0, sum(heights)),
        height_ratios=heights,
        layout="constrained",
        sharey="row",
    )
    figure.suptitle(f"{title}\n(at the left end: later than that, or never)")
    for column, optimizer in zip(rows.T, planning.OPTIMIZERS):
        of_optimizer = {
            workload: methods for (workload, of), methods in found.items() if of == optimizer
        }
        column[0].set_title(OPTIMIZERS[optimizer])
        for axes, (unit, kind) in zip(column, ANSWERS):
            shown = [name for name in names if kind in kinds[name]]
            places = {n: of_optimizer[name] for n, name in enumerate(shown) if name in of_optimizer}
            _times_sooner(axes, places, shown, unit, kind)
        counted = {name: of for name, of in of_optimizer.items() if is_compared(name, optimizer)}
        _profile(column[-1], counted)
    handles: dict = {}  # Lines, those of the profiles: a point's marker is of one network.
    for axes in rows[::-1].flat:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=IN_A_ROW)
    plots.save(figure, folder)


def _times_sooner(axes, of_optimizer, names, unit, kind):
    """For each workload, a point and a range for each method; at the left end if it is never.

    Gray is what comes by chance; hatched, all of the width, where that may be any number.
    """
    from matplotlib import ticker

    slowest, fastest = LIMITS[unit]

    for place, methods in of_optimizer.items():
        compared = {name: each for name, each in methods.items() if name != planning.PLAIN}
        for method, comparison in compared.items():
            factor = (1.0, 1.0) if unit == "steps" else cost(comparison.settings)
            if factor is None or not comparison.has_noise:
                continue
            span = factor[1] * comparison.chance(kind)
            y = place + 0.8 * ((list(compared).index(method) + 0.5) / len(compared) - 0.5)
            half = 0.4 / len(compared)
            known = {"color": "0.85", "label": CHANCE}
            unknown = {"facecolor": "none", "edgecolor": "0.8", "hatch": "///", "label": UNKNOWN}
            axes.fill_betweenx(
                [y - half, y + half],
                max(1 / span, slowest),
                min(span, fastest),
                linewidth=0,
                **(known if span < np.inf else unknown),
            )
            ratios = np.clip(factor[0] * comparison.sooner(kind), slowest, fastest)
            middle = np.median(ratios)
            style = {"color": _color(method), "label": LABELS[method], "markersize": 5}
            axes.plot(middle, y, "<" if middle == slowest else "o", **style, clip_on=False)
            axes.hlines(y, ratios.min(), ratios.max(), color=style["color"], linewidth=1.4)
    axes.axvline(1, color="black", linewidth=0.8)
    loss = kind.replace("_", " ")
    axes.set(xscale="log", xlim=LIMITS[unit], xlabel=f"times sooner at the {loss}, in {unit}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(ticker.FixedLocator(TICKS[unit]))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(True, axis="x", alpha=0.3)


def _profile(axes, of_optimizer):
    """Performance profile: the part of its workloads on which a method is within a factor."""
    sooner: dict = {}
    best: dict = {}
    for workload, methods in of_optimizer.items():
        for method, comparison in methods.items():
            ratio = np.median(comparison.sooner(comparison.main_kind))
            sooner.setdefault(method, {})[workload] = ratio
            best[workload] = max(ratio, best.get(workload, 0))
    factors = np.linspace(1, 2, 201)
    for method, ratios in sooner.items():
        part = [
            np.mean([ratio >= best[name] / factor > 0 for name, ratio in ratios.items()])
            for factor in factors
        ]
        axes.plot(factors, part, color=_color(method), label=LABELS[method])
    axes.set(
        xlabel="steps, as a multiple of the best method's",
        ylabel="part of the workloads measured",
        ylim=(-0.05, 1.05),
    )
    axes.grid(True, alpha=0.3)


def _draw_losses(title, found, folder):
    """A row for each workload and optimizer: loss by steps and by seconds; last loss by rate."""
    from matplotlib import pyplot as plt, ticker

    figure, rows = plt.subplots(
        max(1, len(found)),
        3,
        figsize=(12.0, 2.6 * max(1, len(found))),
        layout="constrained",
        squeeze=False,
    )
    figure.suptitle(f"{title}\n(right: one seed; in a ring: selected; x: diverged)")
    for axes, ((workload, optimizer), methods) in zip(rows, found.items()):
        for method, comparison in methods.items():
            _loss(axes[0], comparison, method)
            seconds = seconds_of(comparison.settings)
            if seconds:
                _loss(axes[1], comparison, method, seconds[1])
            _by_rate(axes[2], comparison, method)
        least, highest = _limits(methods)
        for each in axes:
            each.set_ylim(least, highest)
        axes[1].set_visible(bool(axes[1].lines))  # Seconds that are not measured are not drawn.
        for each, label in zip(axes, COLUMNS):
            each.set(xlabel=label, yscale="log")
            for axis in (each.yaxis.set_major_formatter, each.yaxis.set_minor_formatter):
                axis(ticker.FormatStrFormatter("%.2g"))
            each.yaxis.set_minor_locator(ticker.LogLocator(subs=(2, 3, 5)))
            each.grid(True, alpha=0.3)
        kind = methods[planning.PLAIN].main_kind.replace("_", " ")
        axes[0].set(ylabel=kind, title=f"{workload}, {OPTIMIZERS[optimizer]}")
        axes[0].legend(fontsize="x-small")
        axes[2].set(xscale="log", ylabel=f"last {kind}")
        axes[2].xaxis.set_minor_formatter(ticker.NullFormatter())
    plots.save(figure, folder, "losses")


def _loss(axes, comparison, method, seconds=1.0):
    """Median and range over the seeds that do not diverge."""
    kind = comparison.main_kind
    runs = [record for record in comparison.runs if record.results["diverged_at"] is None]
    if runs:
        t, low, middle, high = curves.median_curve([record.curves[kind] for record in runs])
        color = _color(method)
        axes.plot(seconds * t, middle, color=color, linewidth=1.4, label=LABELS[method])
        axes.fill_between(seconds * t, low, high, color=color, alpha=0.2, linewidth=0)


def _limits(methods):
    """From below the least last loss to some times the plain network's: the start is not shown."""
    least = min(float(np.min(comparison.ends())) for comparison in methods.values())
    return 0.9 * least, HIGHEST * float(np.median(methods[planning.PLAIN].ends()))


def _by_rate(axes, comparison, method):
    """Last losses; a rate that diverges breaks the line, and is marked at the upper end."""
    ends = {r.settings["learning_rate"]: planning.end(r) for r in comparison.selection}
    rates, color = sorted(ends), _color(method)
    losses = [ends[rate] if np.isfinite(ends[rate]) else np.nan for rate in rates]
    axes.plot(rates, losses, "o-", color=color, markersize=3, linewidth=1.2)
    selected = comparison.settings["learning_rate"]
    if selected in ends:
        axes.plot(selected, ends[selected], "o", color=color, markersize=8, fillstyle="none")
    lost = [rate for rate in rates if not np.isfinite(ends[rate])]
    if lost:  # An empty line that is not clipped has no extent, and the layout fails.
        place = axes.get_xaxis_transform()
        axes.plot(lost, [1.0] * len(lost), "x", color=color, transform=place, clip_on=False)


def _color(method):
    return plots.COLORS[planning.METHODS.index(method)]
