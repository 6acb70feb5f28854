

import sys

from reproduce.harness import interrupts

if sys.argv[0] == "-m":  # Python is looking for the module of a `python -m reproduce.COMMAND`.
    interrupts.end_at_once()
