"""Figure 2: does the end-to-end rule emulate deep networks, whatever their width?"""

import numpy as np

from reproduce.harness import curves
from reproduce.claims import judge, not_run, regression, select

PANELS = {"fig2L_l2": "l2", "fig2R_l4": "l4"}
SOURCE = "Section 8, Figure 2"
COMMAND = "python -m reproduce.figure2 --seeds 0 1 2 3 4"
COMPARED_FROM = 10_000
BOUND = 0.05  # decades


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    result = []
    for panel, loss in PANELS.items():
        runs = select(regression.of_panel(records, panel), plotted=True)
        for curve in ("2-layer w1", "2-layer emulation"):
            result.append(
                regression.close_to_the_paper(
                    records, panel, curve, COMPARED_FROM, BOUND, SOURCE, COMMAND
                )
            )
        for depth in (2, 3):
            result += [_emulates(runs, loss, depth, width) for width in (1, 100)]
            result.append(_widths_alike(runs, loss, depth))
    return [*result, _stated_rate(regression.of_panel(records, "fig2R_l4"))]


def _emulates(runs, loss, depth, width):
    statement = f"{loss}: the rule emulates the network of depth {depth} and width {width}"
    network = select(runs, depth=depth, width=width, rule=None)
    emulation = select(runs, depth=depth, width=width, rule="product")
    if not network or not emulation:
        return not_run(statement, SOURCE, COMMAND)
    gap = regression.largest_gap(network, emulation)
    late = regression.largest_gap(network, emulation, COMPARED_FROM)
    return judge(
        statement,
        SOURCE,
        f"at most {BOUND} decades apart in every plotted iteration, from the same product",
        f"largest log10 deviation {gap:.3f}, from iteration {COMPARED_FROM} on {late:.3f} "
        f"({regression.seeds(network)})",
        gap <= BOUND,
    )


def _widths_alike(runs, loss, depth):
    statement = f"{loss}: depth {depth} converges alike with width 1 and width 100"
    found = [select(runs, depth=depth, width=width, rule=None) for width in (1, 100)]
    if not all(found):
        return not_run(statement, SOURCE, COMMAND)
    (t, *_, narrow, _), (_, *_, wide, _) = (
        curves.median_curve([record.curves[record.panel] for record in group]) for group in found
    )
    # Both have the same points, if neither diverges.
    gaps = np.abs(np.log10(narrow / wide))[t >= COMPARED_FROM]
    return judge(
        statement,
        SOURCE,
        f"medians at most {BOUND} decades apart from iteration {COMPARED_FROM} on",
        f"largest log10 deviation {gaps.max():.3f}, at the end {gaps[-1]:.3f} "
        f"(medians of {regression.seeds(found[0])})",
        bool(gaps.max() <= BOUND),
    )


def _stated_rate(runs):
    statement = "l4: the networks converge at the learning rate 1e-3"
    networks = {
        f"{depth}-layer w{width}": select(runs, depth=depth, width=width, rule=None, stated=True)
        for depth in (2, 3)
        for width in (1, 100)
    }
    if not all(networks.values()):
        return not_run(statement, SOURCE, COMMAND)
    diverged = {
        name: [
            record.results["diverged_at"]
            for record in group
            if record.results["diverged_at"] is not None
        ]
        for name, group in networks.items()
    }
    return judge(
        statement,
        SOURCE,
        "no run diverges",
        "; ".join(
            f"{name}: {len(when)} of {len(networks[name])} diverge"
            + (f", by iteration {max(when)}" if when else "")
            for name, when in diverged.items()
        ),
        not any(diverged.values()),
    )
