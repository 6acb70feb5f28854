"""TensorFlow's import, without what TensorFlow says of itself while it starts."""

import contextlib
import importlib
import os
import tempfile

from reproduce.harness import interrupts
from reproduce.harness.errors import UsageError


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
        interrupts.say_to(stderr)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            os.dup2(stderr, 2)
            interrupts.say_to(2)
            if failed:
                said.seek(0)
                os.write(2, said.read())
