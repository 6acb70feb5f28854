"""Figure 4 (left): gradient descent at depth 3 against AdaGrad and AdaDelta on a single layer.

    python -m reproduce.figure4_left --seeds 0 1 2 3 4

Runs every learning rate of the paper's grid, and gradient descent on a single layer for comparison;
each curve is the rate with the least final loss.
"""

from reproduce import cli

cli.quiet_tensorflow()

from reproduce import regression  # noqa: E402
from reproduce.claims import figure4_left as claims  # noqa: E402

FIGURE = regression.Figure(
    name="figure4_left",
    title="Figure 4 (left): depth 3 against AdaGrad and AdaDelta, p = 4",
    description=__doc__,
    verdicts=claims.verdicts,
)


def main(arguments=None):
    """Run what is missing; then judge, draw and print."""
    regression.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
