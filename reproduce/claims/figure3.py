"""Figure 3: does depth speed up the regression for p = 2, and for p = 4?"""

import numpy as np

from reproduce.claims import judge, not_run, regression, select

L2, L4 = "fig3L_l2", "fig3R_l4"
COMMAND = "python -m reproduce.figure3"
NAMES = ("1-layer", "2-layer", "3-layer")


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    result = []
    left, right = (regression.of_panel(records, panel) for panel in (L2, L4))
    for curve, first, bound in zip(NAMES, (10_000, 50_000, 200_000), (0.02, 0.05, 0.05)):
        result.append(
            regression.close_to_the_paper(
                records, L2, curve, first, bound, "Section 8, Figure 3 left", COMMAND
            )
        )
    for curve in NAMES:
        result.append(
            regression.close_to_the_paper(
                records, L4, curve, 100_000, 0.05, "Figure 3 right, as gradient flow", COMMAND
            )
        )
    return [*result, _hinders(left), _accelerates(right), _too_fast(right)]


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
        "at each depth's best rate, a larger loss at the end than depth 1's",
        ", ".join(
            f"{name} {end:.3g} at {rate:g}" for name, end, rate in zip(NAMES, ends, rates)
        )
        + f" (medians of at least {regression.seeds(min(as_stated, key=len))})",
        ends[0] < min(ends[1:]),
    )


def _accelerates(runs):
    statement = "For l4 loss depth accelerates optimization"
    source = "Section 8, Figure 3 right"
    as_stated = [regression.as_stated(runs, name) for name in NAMES]
    if not all(as_stated):
        return not_run(statement, source, COMMAND)
    steps = as_stated[0][0].settings["steps"]
    level = regression.final(as_stated[0])
    reached = [regression.iterations_to(group, level) for group in as_stated[1:]]
    ratios = [steps / t if t else np.nan for t in reached]
    return judge(
        statement,
        source,
        "fewer iterations to the loss at the end of depth 1's run, each at its best rate",
        f"depth 1's {level:.3g} at {as_stated[0][0].learning_rate:g} is reached "
        + " and ".join(
            f"{ratio:.1f} times sooner by depth {depth} at {group[0].learning_rate:g}"
            if np.isfinite(ratio)
            else f"never by depth {depth}"
            for depth, ratio, group in zip((2, 3), ratios, as_stated[1:])
        ),
        all(ratio > 1 for ratio in ratios),
    )


def _too_fast(runs):
    statement = "No gradient descent follows Figure 3 (right): at its pace steps are unstable"
    source = "our explanation of why flow is laid over them"
    flows = [[r.results for r in select(runs, curve=name, flow=True)] for name in NAMES]
    if not all(flows):
        return not_run(statement, source, COMMAND)
    longest = [np.median([results["longest_step"] for results in flow]) for flow in flows]

    def when(flow, name, of):
        times = [results[name] for results in flow if results[name] is not None]
        return f"{of(times)}" if times else "never"

    return judge(
        statement,
        source,
        "on the flow, steps of that pace longer than 2 by the Hessian's largest eigenvalue",
        ", ".join(
            f"{name} up to {step:.1f} times as long, between iterations "
            f"{when(flow, 'unstable_from', min)} and {when(flow, 'unstable_until', max)}"
            for name, step, flow in zip(NAMES, longest, flows)
        )
        + f" (medians of {regression.seeds(flows[0])})",
        all(step > 1 for step in longest),
    )
