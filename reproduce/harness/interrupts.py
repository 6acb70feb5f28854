"""Ctrl-C ends a command at once, with a line that says how to go on.

Whatever a command has written is in order at every moment, even if it is killed: there is nothing
to tidy up. A `KeyboardInterrupt` amid the work of TensorFlow, or while something is imported or
deleted, may show tracebacks, get lost, or crash the program.
"""

import contextlib
import os
import signal
import sys

_how_to_go_on = ""
_stderr = 2


def end_at_once(how_to_go_on):
    """From now on Ctrl-C ends the program, with this in its line; if it is not ignored."""
    global _how_to_go_on
    _how_to_go_on = how_to_go_on
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def say_to(descriptor):
    """From now on the line goes to this file descriptor; 2 is not always the user's."""
    global _stderr
    _stderr = descriptor


@contextlib.contextmanager
def raised():
    """Within, Ctrl-C is a `KeyboardInterrupt`: for what does have something to tidy up."""
    ends = signal.getsignal(signal.SIGINT) is _end
    if ends:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ends:
            signal.signal(signal.SIGINT, _end)


def ignore_from_now_on():
    """Ctrl-C does nothing to a command that is done, and ends with its own exit status."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number, frame):
    # Python's own files may be in the middle of writing.
    with contextlib.suppress(RuntimeError, OSError):
        sys.stdout.flush()
    os.write(_stderr, f"\nInterrupted. {_how_to_go_on}\n".encode())
    os._exit(130)
