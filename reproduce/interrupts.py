"""Ctrl-C in the seconds that a command takes to import what it needs.

There is nothing to tidy up then, and much that would show a traceback, or swallow it.
"""

import os
import signal
import sys


def end_while_importing():
    """From now on Ctrl-C ends the program at once, until `raise_from_now_on`; if not ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def raise_from_now_on():
    """Ctrl-C is a `KeyboardInterrupt` again."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once(number, frame):
    print("\nInterrupted. Start the same command again.", file=sys.stderr, flush=True)
    os._exit(130)
