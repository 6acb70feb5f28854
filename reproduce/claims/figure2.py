"""Figure 2: does the end-to-end rule emulate deep networks, whatever their width?"""

import numpy as np

from reproduce.harness import curves
from reproduce.claims import judge, not_run, regression

PANELS = {"fig2L_l2": "l2", "fig2R_l4": "l4"}
SOURCE = "Section 8, Figure 2"
COMMAND = "python -m reproduce.figure2 --seeds 0 1 2 3 4"
COMPARED_FROM = 10_000
BOUND = 0.05  # decades


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    result = []
    for panel, loss in PANELS.items():
        groups = regression.groups(records, panel)
        for series in ("2-layer w1", "2-layer emulation"):
            result.append(
                regression.close_to_the_paper(
                    groups, panel, series, COMPARED_FROM, BOUND, SOURCE, COMMAND
                )
            )
        for depth in (2, 3):
            result += [_emulates(groups, loss, depth, width) for width in (1, 100)]
            result.append(_widths_alike(groups, loss, depth))
    return [*result, _stated_rate(regression.groups(records, "fig2R_l4"))]


def _emulates(groups, loss, depth, width):
    statement = f"{loss}: the rule emulates the network of depth {depth} and width {width}"
    network = groups.get(f"{depth}-layer w{width}")
    emulation = groups.get(f"{depth}-layer emulation of w{width}")
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


def _widths_alike(groups, loss, depth):
    statement = f"{loss}: depth {depth} converges alike with width 1 and width 100"
    found = [groups.get(f"{depth}-layer w{width}") for width in (1, 100)]
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


def _stated_rate(groups):
    statement = "l4: the networks converge at the learning rate 1e-3"
    names = [f"{depth}-layer w{width} as_stated" for depth in (2, 3) for width in (1, 100)]
    if not all(name in groups for name in names):
        return not_run(statement, SOURCE, COMMAND)
    diverged = {
        name.removesuffix(" as_stated"): [
            record.results["diverged_at"]
            for record in groups[name]
            if record.results["diverged_at"] is not None
        ]
        for name in names
    }
    return judge(
        statement,
        SOURCE,
        "no run diverges",
        "; ".join(
            f"{name}: {len(when)} of {len(groups[f'{name} as_stated'])} diverge"
            + (f", by iteration {max(when)}" if when else "")
            for name, when in diverged.items()
        ),
        not any(diverged.values()),
    )
