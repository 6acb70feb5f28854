"""Ctrl-C in the seconds that a command takes to import what it needs, and while Python ends.

There is nothing to tidy up then, and much that would show a traceback, or swallow it.
"""

import os
import signal
import sys

_is_command = False  # not a program that imports the package


def end_while_importing():
    """From now on Ctrl-C ends the program at once, until `raise_from_now_on`; if not ignored."""
    global _is_command
    _is_command = True
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def raise_from_now_on():
    """Ctrl-C is a `KeyboardInterrupt` again."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_from_now_on():
    """Ctrl-C does nothing to a command that is done, and ends with its own exit status."""
    if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_at_once(number, frame):
    print("\nInterrupted. Start the same command again.", file=sys.stderr, flush=True)
    os._exit(130)
