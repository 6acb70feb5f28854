"""Figure 2: does the end-to-end rule emulate deep networks, whatever their width?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import PARTLY, judge, not_run, regression, seeds, select

PANELS = {"fig2L_l2": "l2", "fig2R_l4": "l4"}
SOURCE = "Section 8, Figure 2"
COMMAND = "python -m reproduce.figure2 --everything"
COMPARED_FROM = 10_000
TOLD_APART = 0.01  # decades: digitizing tells a curve to 1 %, two of them to 2 %
STATED = 1e-3  # the learning rate of both panels, by the paper's text


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    result = []
    for panel, loss in PANELS.items():
        runs = select(regression.of_panel(records, panel), plotted=True)
        result += regression.curves_met(records, panel, SOURCE, COMMAND)
        for depth in (2, 3):
            result += [_emulates(runs, panel, depth, width) for width in (1, 100)]
            result.append(_widths_alike(runs, panel, depth))
        result.append(_deeper_is_faster(runs, panel, loss))
    return [*result, _stated_rate(regression.of_panel(records, "fig2R_l4"))]


def _bound(gap):
    why = "the gap between the paper's own curves" if gap > TOLD_APART else "what plots can tell"
    return f"at most {max(gap, TOLD_APART):.3f}, {why}"


def _emulates(runs, panel, depth, width):
    statement = f"{PANELS[panel]}: the rule emulates the network of depth {depth}, width {width}"
    network = select(runs, depth=depth, width=width, rule=None)
    emulation = select(runs, depth=depth, width=width, rule="product")
    if not network or not emulation:
        return not_run(statement, SOURCE, COMMAND)
    of_paper = curves.largest_gap(
        paper.points(panel, f"{depth}-layer w{width}"),
        paper.points(panel, f"{depth}-layer emulation"),
        COMPARED_FROM,
    )
    by_seed = {record.seed: record for record in emulation}
    pairs = [
        (regression.points(record), regression.points(by_seed[record.seed]))
        for record in network
        if record.seed in by_seed
    ]
    late = [curves.largest_gap(*pair, COMPARED_FROM) for pair in pairs]
    return judge(
        statement,
        SOURCE,
        f"from iteration {COMPARED_FROM} on log10 deviates by {_bound(of_paper)}",
        f"{np.max(late):.3f}, median over the seeds {np.median(late):.3f}; in all iterations "
        f"{max(curves.largest_gap(*pair) for pair in pairs):.3f}, in the last "
        f"{max(curves.largest_gap(*pair, pair[0][-1][0]) for pair in pairs):.3f} "
        f"({seeds(pairs)}, from the same product)",
        bool(np.max(late) <= max(of_paper, TOLD_APART)),
        paper=f"{of_paper:.3f}",
    )


def _widths_alike(runs, panel, depth):
    statement = f"{PANELS[panel]}: depth {depth} converges alike with width 1 and width 100"
    found = [select(runs, depth=depth, width=width, rule=None) for width in (1, 100)]
    if not all(found):
        return not_run(statement, SOURCE, COMMAND)
    narrow, wide = (paper.points(panel, f"{depth}-layer w{width}") for width in (1, 100))
    of_paper = curves.largest_gap(narrow, wide, COMPARED_FROM)
    narrow, wide = (regression.median(group) for group in found)
    gap = curves.largest_gap(narrow, wide, COMPARED_FROM)
    return judge(
        statement,
        SOURCE,
        f"from iteration {COMPARED_FROM} on log10 of the medians deviates by {_bound(of_paper)}",
        f"{gap:.3f}, in the last iteration {curves.largest_gap(narrow, wide, narrow[-1][0]):.3f} "
        f"(medians of {seeds(found[0])})",
        bool(gap <= max(of_paper, TOLD_APART)),
        paper=f"{of_paper:.3f}",
    )


def _deeper_is_faster(runs, panel, loss):
    statement = f"{loss}: at a common learning rate the deeper network converges faster"
    found = {
        (depth, width): select(runs, depth=depth, width=width, rule=None)
        for width in (1, 100)
        for depth in (2, 3)
    }
    if not all(found.values()):
        return not_run(statement, SOURCE, COMMAND)
    ends = {key: regression.final(group) for key, group in found.items()}
    return judge(
        statement,
        SOURCE,
        "depth 3 ends lower than depth 2, with width 1 and with width 100",
        ", ".join(f"depth {d}, width {w}: {end:.3g}" for (d, w), end in ends.items())
        + f" (medians of {seeds(found[2, 1])} at {found[2, 1][0].learning_rate:g})",
        all(ends[3, width] < ends[2, width] for width in (1, 100)),
        paper=regression.papers_ends([(panel, f"{depth}-layer w1") for depth in (2, 3)]),
    )


def _stated_rate(runs):
    statement = "l4: the networks converge at the learning rate 1e-3"
    readings = {
        rate: {
            f"{depth}-layer w{width}": select(
                runs, depth=depth, width=width, rule=None, learning_rate=rate
            )
            for depth in (2, 3)
            for width in (1, 100)
        }
        for rate in (STATED, STATED / 4)
    }
    if not all(group for networks in readings.values() for group in networks.values()):
        return not_run(statement, SOURCE, COMMAND)
    survive = [
        len(regression.surviving(group)) == len(group)
        for networks in readings.values()
        for group in networks.values()
    ]
    return judge(
        statement,
        SOURCE,
        "no run diverges, be it 1e-3 in units of the mean of r^4 or, as the text's loss has a "
        "factor 1/p, 2.5e-4 in these units",
        "; ".join(
            f"at {rate:g} " + ", ".join(f"{n} {_fate(group)}" for n, group in networks.items())
            for rate, networks in readings.items()
        ),
        all(survive) or (PARTLY if any(survive) else False),
    )


def _fate(group):
    when = [r.results["diverged_at"] for r in group if r.results["diverged_at"] is not None]
    if not when:
        return f"converges to {regression.final(group):.3g}"
    return f"{len(when)} of {len(group)} diverge, by iteration {max(when)}"
