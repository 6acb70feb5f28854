"""Figure 1: the curve whose line integral shows depth's update to be no gradient.

    python -m reproduce.figure1

Draws the curve Gamma with the field F that depth 3 makes of a constant gradient e, and beside it
the integral of F over Gamma, by quadrature and by Lemma 3's closed form.
"""

import numpy as np

from reproduce import experiment
from reproduce.claims import judge
from reproduce.paper import plots
from reproduce.theory.line_integral import (
    ARCS,
    INNER,
    OUTER,
    TOLERANCE,
    Curve,
    arc_integrals,
    closed_form,
    field,
)

DEPTH = 3
DEPTHS = (2, 2.5, 3, 4, 5, 6, 8)
E = np.array([1.0, 0.0])
GAMMA = Curve(E, np.array([0.0, 1.0]), INNER, OUTER)
TABLE = f"The integral over Gamma, r = {INNER:g}, R = {OUTER:g}"


class Figure(experiment.Experiment):
    """What this figure differs in from other experiments: an integral in place of runs."""

    name = "figure1"
    title = "Figure 1: the curve over which the line integral is not zero"
    description = __doc__

    def conclude(self, records, settings, work):
        table = [integrals(depth) for depth in DEPTHS]
        return experiment.Conclusion([verdict(table)], {TABLE: table})

    def draw(self, records, settings, path):
        draw(self.title, [integrals(depth) for depth in DEPTHS], path)


def integrals(depth):
    """The integrals of F_e over each arc and over Gamma, and Lemma 3's closed form."""
    arcs = arc_integrals(lambda w: E, GAMMA, depth)
    return {
        "N": depth,
        **{f"arc {arc}": float(value) for arc, value in zip(ARCS, arcs)},
        "quadrature": float(sum(arcs)),
        "closed form": closed_form(depth, INNER, OUTER),
    }


def verdict(table):
    """Whether the integral is what Lemma 3 says, and not zero where N > 2."""
    gap = np.max([abs(row["quadrature"] - row["closed form"]) for row in table])
    smallest = np.min([row["quadrature"] for row in table if row["N"] > 2])
    return judge(
        "the line integral of F over Gamma is not zero for N > 2",
        "Figure 1, Lemma 3",
        f"above 0, and within {TOLERANCE:.0e} of the closed form",
        f"at least {smallest:.4f}, within {gap:.1e} (constant gradient e, r = {INNER:g}, "
        f"R = {OUTER:g}, N = {', '.join(str(row['N']) for row in table)})",
        bool(smallest > TOLERANCE and gap <= TOLERANCE),
    )


def draw(title, table, folder):
    """The curve with the field, and the integral over the depth."""
    (row,) = (row for row in table if row["N"] == DEPTH)
    figure, (left, right) = plots.new_figure(2, title)
    draw_field(left)
    draw_curve(left)
    left.set(
        title=f"N = {DEPTH}: integral {row['quadrature']:.6f}, closed form "
        f"{row['closed form']:.6f}",
        xlabel=r"along $\mathbf{e}$",
        ylabel="across",
        xlim=(-1.4, 1.4),
        ylim=(-0.25, 1.35),
        aspect="equal",
    )
    depths = np.linspace(DEPTHS[0], DEPTHS[-1], 200)
    blue, red = plots.COLORS[:2]
    right.plot(
        depths, [closed_form(n, INNER, OUTER) for n in depths], color=blue, label="closed form"
    )
    right.plot(
        [row["N"] for row in table],
        [row["quadrature"] for row in table],
        "o",
        color=red,
        markerfacecolor="white",
        label="quadrature over the four arcs",
    )
    right.axhline(0, color="black", linewidth=0.8)
    right.set(
        title="The integral over the depth",
        xlabel="depth N",
        ylabel=r"$\oint_\Gamma F_\mathbf{e}$",
    )
    right.grid(True, alpha=0.3)
    right.legend(fontsize="small")
    plots.save(figure, folder)


def draw_field(axes):
    """F_e as gray arrows on a grid."""
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 13), np.linspace(0, 1.2, 7))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    values = np.array([field(point, E, DEPTH) for point in points])
    axes.quiver(
        *points.T, *values.T, color="0.65", angles="xy", scale_units="xy", scale=22, width=0.0035
    )


def draw_curve(axes):
    """The four arcs of Gamma, each with its name and an arrow in its direction."""
    for arc, color in zip(ARCS, plots.COLORS):
        points, _ = GAMMA.arc(arc, np.linspace(0, 1, 101))
        axes.plot(*points.T, color=color, linewidth=2.2)
        middle = points[50]
        arrow = {"arrowstyle": "-|>", "color": color, "mutation_scale": 20}
        axes.annotate("", xy=points[53], xytext=points[48], arrowprops=arrow)
        outwards = np.array([0.0, -0.13]) if arc in "13" else np.array([0.0, 0.12])
        axes.text(
            *(middle + outwards),
            rf"$\Gamma^{arc}$",
            color=color,
            fontsize=13,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    for position, name in (
        (-OUTER, r"$-R\,\mathbf{e}$"),
        (-INNER, r"$-r\,\mathbf{e}$"),
        (INNER, r"$r\,\mathbf{e}$"),
        (OUTER, r"$R\,\mathbf{e}$"),
    ):
        axes.plot(position, 0, "o", color="black", markersize=4, zorder=4)
        axes.text(position, -0.1, name, ha="center", va="center", backgroundcolor="white")


def main(arguments=None):
    """The command."""
    experiment.main(Figure(), arguments)


if __name__ == "__main__":
    main()
