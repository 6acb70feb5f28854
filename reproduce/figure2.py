"""Figure 2: the end-to-end rule on a single layer, next to the networks that it stands for.

    python -m reproduce.figure2 --seeds 0 1 2 3 4

The networks are of depth 2 and 3 and of width 1 and 100. The rule starts from a draw of its own, as
in the paper, and again from the product of each network: only then does a difference tell how well
it emulates.
"""

from reproduce import experiment
from reproduce.claims.figure2 import verdicts
from reproduce.regression import RegressionFigure

TITLE = "Figure 2: the end-to-end rule on one layer, and the networks that it emulates"
PANELS = {
    "fig2L_l2": "l2 loss: networks and the rule",
    "fig2R_l4": "l4 loss: networks and the rule",
}
FIGURE = RegressionFigure("figure2", TITLE, __doc__, PANELS, verdicts)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
