"""Figure 4 (left): does depth beat AdaGrad and AdaDelta?"""

from reproduce.claims import judge, not_run, regression

PANEL = "fig4L_l4"
SOURCE = "Section 8, Figure 4 left"
COMMAND = "python -m reproduce.figure4_left --seeds 0 1 2 3 4"


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        _is_faster(runs, statement, faster, slower)
        for statement, faster, slower in (
            ("Depth 3 outperforms AdaGrad", "GD 3-layer", "AdaGrad 1-layer"),
            ("Depth 3 outperforms AdaDelta", "GD 3-layer", "AdaDelta 1-layer"),
            (
                "With the epsilon of TensorFlow 1, too, depth 3 beats AdaDelta",
                "GD 3-layer",
                "AdaDelta 1-layer eps=1e-8",
            ),
            ("AdaGrad is slower than gradient descent", "GD 1-layer", "AdaGrad 1-layer"),
        )
    ]


def _is_faster(runs, statement, faster, slower):
    found = [regression.as_stated(runs, name) for name in (faster, slower)]
    if not all(found):
        return not_run(statement, SOURCE, COMMAND)
    ours, theirs = (regression.final(group) for group in found)
    return judge(
        statement,
        SOURCE,
        "a lower loss at the end, each at its best rate",
        f"{faster} {ours:.3g} at {found[0][0].learning_rate:g}, "
        f"{slower} {theirs:.3g} at {found[1][0].learning_rate:g} "
        f"(medians of {regression.seeds(found[0])})",
        ours < theirs,
    )
