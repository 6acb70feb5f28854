"""Ctrl-C in the seconds that a command takes to import what it needs, and while Python ends.

There is nothing to tidy up then, and much that would show a traceback, or swallow it.
"""

import os
import signal
import sys
import threading


def end_while_importing():
    """From now on Ctrl-C ends the program at once, until `raise_from_now_on`; if not ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def raise_from_now_on():
    """Ctrl-C is a `KeyboardInterrupt` again; nothing is told of what it leaves half made."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, _raise)


def ignore_from_now_on():
    """Ctrl-C does nothing to a command that is done, and ends with its own exit status."""
    if signal.getsignal(signal.SIGINT) is _raise:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_at_once(number, frame):
    print("\nInterrupted. Start the same command again.", file=sys.stderr, flush=True)
    os._exit(130)


def _raise(number, frame):
    sys.unraisablehook = _again
    raise KeyboardInterrupt


def _again(unraisable):
    # An object whose making was interrupted may fail in its `__del__`, which is no news; but an
    # interruption that came in a `__del__` itself would be lost: it comes again, a moment later.
    if unraisable.exc_type is KeyboardInterrupt:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
