"""Figure 2: the end-to-end rule on a single layer, next to the networks that it stands for.

    python -m reproduce.figure2 --seeds 0 1 2 3 4

The networks are of depth 2 and 3 and of width 1 and 100. The rule starts from a draw of its own, as
in the paper, and again from the product of each network: only then does a difference tell how well
it emulates.
"""

from reproduce.harness import cli, interrupts

cli.quiet_tensorflow()

import functools  # noqa: E402

from reproduce import regression  # noqa: E402
from reproduce.claims.figure2 import verdicts  # noqa: E402

TITLE = "Figure 2: the end-to-end rule on one layer, and the networks that it emulates"
FIGURE = regression.Figure("figure2", TITLE, __doc__, verdicts)
main = functools.partial(regression.main, FIGURE)

if __name__ == "__main__":
    interrupts.run(main)
