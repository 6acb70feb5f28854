"""Figure 3: linear networks of depth 1, 2 and 3 on the Ethanol task, for p = 2 and p = 4.

    python -m reproduce.figure3 --seeds 0 1 2 3 4 5 6 7 8

Runs every learning rate of the paper's grid. The paper's curve is laid over by the run at the rate
that its plot follows (`1-layer`; for p = 4, where no descent from the paper's start is stable at
its plot's pace, by gradient flow); `1-layer as_stated` is the rate with the least final loss.
"""

from reproduce import cli

cli.quiet_tensorflow()

from reproduce import regression  # noqa: E402
from reproduce.claims import figure3 as claims  # noqa: E402

FIGURE = regression.Figure(
    name="figure3",
    title="Figure 3: depth 1, 2, 3 on the Ethanol task, p = 2 and p = 4",
    description=__doc__,
    verdicts=claims.verdicts,
)


def main(arguments=None):
    """Run what is missing; then judge, draw and print."""
    regression.main(FIGURE, arguments)


if __name__ == "__main__":
    main()
