"""Figure 4 (right): Adam at its default learning rate on networks of depth 1, 2 and 3.

    python -m reproduce.figure4_right --seeds 0 1 2 3 4

Gradient descent at depth 3 runs at every rate of the paper's grid, for comparison.
"""

from reproduce import experiment
from reproduce.claims.figure4_right import verdicts
from reproduce.regression import RegressionFigure

TITLE = "Figure 4 (right): Adam at depth 1, 2, 3, p = 4"
PANELS = {"fig4R_l4": "l4 loss, Adam at its default rate"}
FIGURE = RegressionFigure("figure4_right", TITLE, __doc__, PANELS, verdicts)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
