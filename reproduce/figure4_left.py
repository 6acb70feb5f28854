"""Figure 4 (left): gradient descent at depth 3 against AdaGrad and AdaDelta on a single layer.

    python -m reproduce.figure4_left --seeds 0 1 2 3 4

Runs every learning rate of the paper's grid, and gradient descent on a single layer for comparison;
each curve is the rate with the least final loss.
"""

from reproduce import experiment
from reproduce.claims.figure4_left import verdicts
from reproduce.regression import RegressionFigure

TITLE = "Figure 4 (left): depth 3 against AdaGrad and AdaDelta, p = 4"
PANELS = {"fig4L_l4": "l4 loss, best rate of each algorithm"}
FIGURE = RegressionFigure("figure4_left", TITLE, __doc__, PANELS, verdicts)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
