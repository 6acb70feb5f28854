"""An input that should be refused, and whether it was: by which error, in which words, in time."""

import contextlib
import dataclasses
import importlib
import io
import os
import pathlib
import re
import signal
import tempfile
import typing
import urllib.error
import warnings
from unittest import mock

SECONDS = 60  # within which an answer must come
PROCESS_SECONDS = 300  # of a process, whose start is most of it on a machine with much to do
RAN = "ran"  # a file in the current folder that code within an input would make
ERROR_LINE = re.compile(r"(python -m [\w.]+: )?error: ")


class Hang(BaseException):
    """No answer in time. No `except Exception` takes it for one."""


@dataclasses.dataclass(frozen=True)
class BadInput:
    """An input that should be refused.

    Attributes:
        kind: The row of the table that it is counted in.
        what: The input, in words.
        give: Function that gives it, of an empty folder that is the current one.
        says: Parts of the message: what names the input, and what to do about it.
        raises: Types of the error. `SystemExit` for a command: status 2, and a line of stderr.
        slow: Whether it takes a process of its own, and is left to the script.
    """

    kind: str
    what: str
    give: typing.Callable
    says: tuple
    raises: tuple = (ValueError, TypeError)
    slow: bool = False


def refusal(bad):
    """Whether a `BadInput` was refused as it should be, and the message.

    It was if an error of the right type came in time, with all that it should say in its message,
    and no code that the input carried was run.
    """
    messages = io.StringIO()
    with tempfile.TemporaryDirectory() as name, _alone(name):
        folder = pathlib.Path(name)
        try:
            with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(io.StringIO()):
                with _time_limit(PROCESS_SECONDS if bad.slow else SECONDS):
                    bad.give(folder)
            return False, "accepted"
        except bad.raises as error:
            message, is_right = str(error), True
            if isinstance(error, SystemExit):
                *_, message = messages.getvalue().strip().split("\n")
                is_right = error.code == 2 and bool(ERROR_LINE.match(message))
        except BaseException as error:
            message, is_right = f"{type(error).__name__}: {error}", False
        is_right = is_right and "Traceback" not in messages.getvalue()
        said = all(each in message for each in bad.says)
        return is_right and said and not (folder / RAN).exists(), message


def command(module, *arguments):
    """Run `python -m MODULE ARGUMENTS` in this process."""
    status = importlib.import_module(module).main([str(argument) for argument in arguments])
    raise SystemExit(status)


def written(path, content):
    """`path`, with this text or these bytes in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@contextlib.contextmanager
def _alone(folder):
    """In a folder, with no other data on the machine, and no network."""
    from reproduce.data import store

    no_network = mock.Mock(side_effect=urllib.error.URLError("no network"))
    variables = {"HOME": os.path.join(folder, "home"), "TFDS_DATA_DIR": ""}
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, variables),
        mock.patch.object(store.urllib.request, "urlopen", no_network),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _time_limit(seconds):
    def end(number, frame):
        raise Hang(f"no answer within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
