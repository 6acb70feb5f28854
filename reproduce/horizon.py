"""The horizon: Figures 3 (right) and 4 (left) at four million iterations.

    python -m reproduce.horizon --seeds 0 1 2 3 4

The paper's curves for p = 4 fall faster than any descent from its start that is stable. These runs
go on until ours are where the paper's end: they show by how much its iterations would have to be
stretched, and where the curves of the networks cross.
"""

from reproduce import experiment
from reproduce.claims.horizon import tables, verdicts
from reproduce.regression import RegressionFigure

TITLE = "The horizon: Figures 3 (right) and 4 (left) at four million iterations"
PANELS = {"fig3R_l4": "l4 loss, depth 1, 2, 3", "fig4L_l4": "l4 loss, depth 3 and algorithms"}
FIGURE = RegressionFigure("horizon", TITLE, __doc__, PANELS, verdicts, tables)


def main(arguments=None):
    """The command."""
    experiment.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
