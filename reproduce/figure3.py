"""Figure 3: linear networks of depth 1, 2 and 3 on the Ethanol task, for p = 2 and p = 4.

    python -m reproduce.figure3 --seeds 0 1 2 3 4
    python -m reproduce.figure3 --seeds 5 6 7 8 --arms plotted --resume

Runs every learning rate of the paper's grid. The paper's curve is laid over by the run at the rate
that its plot follows (`1-layer`; for p = 4, where no descent from the paper's start is stable at
its plot's pace, by gradient flow); `1-layer as_stated` is the rate with the least final loss. The
arm `plotted` is what is laid over the paper's curves alone: at depth 3, where the escape from zero
takes anything from 15,000 to 60,000 iterations, five seeds are too few.
"""

from reproduce import experiment
from reproduce.claims.figure3 import tables, verdicts
from reproduce.regression import RegressionFigure

TITLE = "Figure 3: depth 1, 2, 3 on the Ethanol task, p = 2 and p = 4"
PANELS = {"fig3L_l2": "l2 loss, one rate per depth", "fig3R_l4": "l4 loss, one rate per depth"}
FIGURE = RegressionFigure("figure3", TITLE, __doc__, PANELS, verdicts, tables)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
