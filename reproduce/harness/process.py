"""A command as a process: TensorFlow's import without its own words, and the end by Ctrl-C.

Ctrl-C ends a command at once, with a line that says how to go on. Whatever a command has written
is in order at every moment, even if it is killed: there is nothing to tidy up. A
`KeyboardInterrupt` amid the work of TensorFlow, or while something is imported or deleted, may show
tracebacks, get lost, or crash the program.
"""

import contextlib
import importlib
import logging
import os
import signal
import sys
import tempfile

from reproduce.harness.errors import UsageError

_how_to_go_on = ""
_stderr = 2


def end_on_ctrl_c(how_to_go_on):
    """From now on Ctrl-C ends the program, with this in its line; if it is not ignored."""
    global _how_to_go_on
    _how_to_go_on = how_to_go_on
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _say_to(descriptor):
    """From now on the line goes to this file descriptor; 2 is not always the user's."""
    global _stderr
    _stderr = descriptor


@contextlib.contextmanager
def ctrl_c_raised():
    """Within, Ctrl-C is a `KeyboardInterrupt`: for what does have something to tidy up."""
    ends = signal.getsignal(signal.SIGINT) is _end
    if ends:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ends:
            signal.signal(signal.SIGINT, _end)


def ignore_ctrl_c():
    """Ctrl-C does nothing to a command that is done, and ends with its own exit status."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(number, frame):
    # Python's own files may be in the middle of writing.
    with contextlib.suppress(RuntimeError, OSError):
        sys.stdout.flush()
    os.write(_stderr, f"\nInterrupted. {_how_to_go_on}\n".encode())
    os._exit(130)


def import_tensorflow():
    """Import TensorFlow and Keras for a command, which calls it once it knows what it is to do.

    Its libraries write to file descriptor 2 before any level counts, and again at the first
    operation. The level is for the latter, unless the user has set one; where it is 0, all is
    shown.

    Raises:
        UsageError: If $KERAS_BACKEND asks for another backend.
    """
    backend = os.environ["KERAS_BACKEND"]  # which the package has set, if nobody else
    if backend != "tensorflow":
        raise UsageError(
            "the experiments need TensorFlow (tfoverparam itself does not); unset KERAS_BACKEND, "
            f"which is {backend!r}"
        )
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.nullcontext() if level == "0" else _unsaid_unless_it_fails():
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    if level == "3":  # And what its Python code says, as of functions that are traced again.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _unsaid_unless_it_fails():
    """What the body writes to file descriptor 2 is given back only if it raises an `Exception`."""
    with contextlib.ExitStack() as stack:
        said = None
        with contextlib.suppress(OSError):  # It is closed, or there is no place for files.
            stderr = os.dup(2)
            stack.callback(os.close, stderr)
            said = stack.enter_context(tempfile.TemporaryFile())
        if said is None:
            yield
            return
        os.dup2(said.fileno(), 2)
        _say_to(stderr)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            os.dup2(stderr, 2)
            _say_to(2)
            if failed:
                said.seek(0)
                os.write(2, said.read())
