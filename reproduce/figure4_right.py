"""Figure 4 (right): Adam at its default learning rate on networks of depth 1, 2 and 3.

    python -m reproduce.figure4_right --seeds 0 1 2 3 4

Gradient descent at depth 3 runs at every rate of the paper's grid, for comparison.
"""

from reproduce.harness import cli, interrupts

cli.quiet_tensorflow()

import functools  # noqa: E402

from reproduce import regression  # noqa: E402
from reproduce.claims.figure4_right import verdicts  # noqa: E402

TITLE = "Figure 4 (right): Adam at depth 1, 2, 3, p = 4"
FIGURE = regression.Figure("figure4_right", TITLE, __doc__, verdicts)
main = functools.partial(regression.main, FIGURE)

if __name__ == "__main__":
    interrupts.run(main)
