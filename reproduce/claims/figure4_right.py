"""Figure 4 (right): does depth speed up Adam too?"""

from reproduce.claims import judge, not_run, regression

PANEL = "fig4R_l4"
SOURCE = "Section 8, Figure 4 right"
COMMAND = "python -m reproduce.figure4_right --seeds 0 1 2 3 4"


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        _is_faster(runs, statement, faster, slower)
        for statement, faster, slower in (
            ("Adam is faster than gradient descent at depth 3", "Adam 1-layer", "GD 3-layer"),
            ("Adam with depth 2 is faster still", "Adam 2-layer", "Adam 1-layer"),
            ("Adam with depth 3 is faster still", "Adam 3-layer", "Adam 1-layer"),
        )
    ]


def _is_faster(runs, statement, faster, slower):
    found = [regression.as_stated(runs, name) for name in (faster, slower)]
    if not all(found):
        return not_run(statement, SOURCE, COMMAND)
    steps = found[0][0].settings["steps"]
    ours, theirs = (regression.final(group) for group in found)
    reached = regression.iterations_to(found[0], theirs)
    sooner = f", reached {steps / reached:.1f} times sooner" if reached else ""
    return judge(
        statement,
        SOURCE,
        "a lower loss at the end",
        f"{faster} {ours:.3g}, {slower} {theirs:.3g}{sooner} "
        f"(medians of {regression.seeds(found[0])})",
        ours < theirs,
    )
