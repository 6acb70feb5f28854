"""Figure 4 (right): does depth speed up Adam too?"""

from reproduce.claims import regression

PANEL = "fig4R_l4"
SOURCE = "Section 8, Figure 4 right"
COMMAND = "python -m reproduce.figure4_right --everything"
PAPERS = {"GD 3-layer": ("fig3R_l4", "3-layer")}


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        *regression.curves_met(records, PANEL, SOURCE, COMMAND),
        *(
            regression.is_faster(runs, statement, SOURCE, *pair, COMMAND, elsewhere=PAPERS)
            for statement, pair in (
                (
                    "Adam is faster than gradient descent at depth 3",
                    ("Adam 1-layer", "GD 3-layer"),
                ),
                ("Adam with depth 2 is faster still", ("Adam 2-layer", "Adam 1-layer")),
                ("Adam with depth 3 is faster still", ("Adam 3-layer", "Adam 1-layer")),
            )
        ),
    ]
