"""Figure 3: does depth speed up the regression for p = 2, and for p = 4?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import QUESTION, judge, not_run, regression, seeds, select

L2, L4 = "fig3L_l2", "fig3R_l4"
COMMAND = "python -m reproduce.figure3 --everything"
SINGLE, *DEEP = NAMES = ("1-layer", "2-layer", "3-layer")
EXPLANATION = "our explanation of why flow is laid over them"
SLIGHTLY = 2  # times as high, at most
ENOUGH = 1.1  # times sooner: less is no acceleration
HORIZONS = (100_000, 200_000, 400_000, 600_000, 800_000, 995_000)  # of the paper's points


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    left, right = (regression.of_panel(records, panel) for panel in (L2, L4))
    flows = [
        regression.lies_on_the_paper(
            select(right, curve=name, flow=True),
            L4,
            name,
            f"{name} of {paper.PLOTS[L4]} is a gradient flow, at a pace chosen to fit",
            EXPLANATION,
            COMMAND,
            QUESTION,
        )
        for name in NAMES
    ]
    return [
        *regression.curves_met(records, L2, "Section 8, Figure 3 left", COMMAND),
        *regression.curves_met(records, L4, "Section 8, Figure 3 right", COMMAND),
        _hinders(left),
        _accelerates(right),
        *flows,
        _too_fast(right),
    ]


def tables(records):
    """How many times sooner each depth is where depth 1 is, by horizon, beside the paper's."""
    runs = regression.of_panel(records, L4)
    deep = {name: regression.as_stated(runs, name) for name in DEEP}
    if not all(deep.values()):
        return {}
    ours = {name: regression.median(group) for name, group in deep.items()}
    theirs = {name: paper.points(L4, name) for name in NAMES}
    rows = []
    for horizon in HORIZONS:
        row = {"iterations": horizon}
        for curve, _, words in regression.baselines(runs, SINGLE):
            row[f"ours, depth 1 {words}"] = _factors(ours, curve, horizon)
        row["the paper's curves"] = _factors(theirs, theirs[SINGLE], horizon)
        rows.append(row)
    title = f"Panel {L4}: times sooner than depth 1, had the runs been shorter (depth 2, depth 3)"
    return {title: rows}


def _factors(deep, single, horizon):
    return ", ".join(f"{curves.times_sooner(deep[n], single, horizon):.2f}" for n in DEEP)


def _hinders(runs):
    statement = "For l2 loss depth leads to (slightly) slower optimization"
    source = "Section 8, Figure 3 left"
    as_stated = [regression.as_stated(runs, name) for name in NAMES]
    if not all(as_stated):
        return not_run(statement, source, COMMAND)
    ends = [regression.final(group) for group in as_stated]
    rates = [group[0].learning_rate for group in as_stated]
    return judge(
        statement,
        source,
        f"at each depth's best rate, a larger loss at the end than depth 1's, at most {SLIGHTLY} "
        "times as large",
        ", ".join(f"{name} {end:.3g} at {rate:g}" for name, end, rate in zip(NAMES, ends, rates))
        + f" (medians of at least {seeds(min(as_stated, key=len))})",
        all(ends[0] < end <= SLIGHTLY * ends[0] for end in ends[1:]),
        paper=regression.papers_ends([(L2, name) for name in NAMES]),
    )


def _accelerates(runs):
    statement = "For l4 loss depth accelerates optimization significantly"
    source = "Section 8, Figure 3 right"
    deep = [regression.as_stated(runs, name) for name in DEEP]
    singles = regression.baselines(runs, SINGLE)
    if not all(deep) or not singles:
        return not_run(statement, source, COMMAND)
    steps = deep[0][0].settings["steps"]
    factors = [
        [curves.times_sooner(regression.median(group), curve, steps) for group in deep]
        for curve, *_ in singles
    ]
    theirs = [paper.points(L4, name) for name in NAMES]
    end = theirs[0][-1][0]
    return judge(
        statement,
        source,
        f"at least {ENOUGH} times fewer iterations to where depth 1 ends, each at its best rate",
        "; ".join(
            f"depth 1's {loss:.3g} {words}, is reached {_listed(row)} times sooner by depth 2 and 3"
            for row, (_, loss, words) in zip(factors, singles)
        )
        + f" (at {' and '.join(f'{group[0].learning_rate:g}' for group in deep)})",
        bool(np.min(factors) >= ENOUGH),
        paper=f"{_listed([curves.times_sooner(c, theirs[0], end) for c in theirs[1:]])} times "
        f"sooner at iteration {end}",
    )


def _listed(factors):
    return " and ".join(f"{factor:.2f}" if factor else "never" for factor in factors)


def _too_fast(runs):
    statement = "No gradient descent follows Figure 3 (right): at its pace steps are unstable"
    flows = [[r.results for r in select(runs, curve=name, flow=True)] for name in NAMES]
    if not all(flows):
        return not_run(statement, EXPLANATION, COMMAND, QUESTION)
    longest = [np.median([results["longest_step"] for results in flow]) for flow in flows]

    def when(flow, name, of):
        times = [results[name] for results in flow if results[name] is not None]
        return f"{of(times)}" if times else "never"

    return judge(
        statement,
        EXPLANATION,
        "on the flow, steps of that pace longer than 2 by the Hessian's largest eigenvalue",
        ", ".join(
            f"{name} up to {step:.1f} times as long, between iterations "
            f"{when(flow, 'unstable_from', min)} and {when(flow, 'unstable_until', max)}"
            for name, step, flow in zip(NAMES, longest, flows)
        )
        + f" (medians of {seeds(flows[0])})",
        all(step > 1 for step in longest),
        QUESTION,
    )
