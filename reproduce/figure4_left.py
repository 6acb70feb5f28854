"""Figure 4 (left): gradient descent at depth 3 against AdaGrad and AdaDelta on a single layer.

    python -m reproduce.figure4_left --seeds 0 1 2 3 4

Runs every learning rate of the paper's grid, and gradient descent on a single layer for comparison;
each curve is the rate with the least final loss.
"""

from reproduce.harness import cli, interrupts

cli.quiet_tensorflow()

import functools  # noqa: E402

from reproduce import regression  # noqa: E402
from reproduce.claims.figure4_left import verdicts  # noqa: E402

TITLE = "Figure 4 (left): depth 3 against AdaGrad and AdaDelta, p = 4"
FIGURE = regression.Figure("figure4_left", TITLE, __doc__, verdicts)
main = functools.partial(regression.main, FIGURE)

if __name__ == "__main__":
    interrupts.run(main)
