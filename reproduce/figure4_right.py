"""Figure 4 (right): Adam at its default learning rate on networks of depth 1, 2 and 3.

    python -m reproduce.figure4_right --seeds 0 1 2 3 4

Gradient descent at depth 3 runs at every rate of the paper's grid, for comparison.
"""

from reproduce import cli

cli.quiet_tensorflow()

from reproduce import regression  # noqa: E402
from reproduce.claims import figure4_right as claims  # noqa: E402

FIGURE = regression.Figure(
    name="figure4_right",
    title="Figure 4 (right): Adam at depth 1, 2, 3, p = 4",
    description=__doc__,
    verdicts=claims.verdicts,
)


def main(arguments=None):
    """Run what is missing; then judge, draw and print."""
    regression.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
