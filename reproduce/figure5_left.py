"""Figure 5 (left): depth 4 and 8 from a start near zero, and from one near the identity.

    python -m reproduce.figure5_left --seeds 0 1 2 3 4 5 6 7 8 9 10 11

Runs every learning rate of the paper's grid. A single layer runs at the rate that the paper's curve
follows; of the deeper networks the rate with the least final loss is laid over the paper's curve.
"""

from reproduce import experiment
from reproduce.claims.figure5_left import verdicts
from reproduce.regression import RegressionFigure

TITLE = "Figure 5 (left): depth 4 and 8, near zero and near the identity, p = 4"
PANELS = {"fig5L_l4": "l4 loss, best rate per depth and start"}
FIGURE = RegressionFigure("figure5_left", TITLE, __doc__, PANELS, verdicts)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
