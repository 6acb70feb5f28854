"""What a Ctrl-C is allowed to end with, and when."""

import signal

import pytest

from tools.reliability.kills import FIRST, ROOT, is_too_early


def traceback(*files):
    """What Python prints of a Ctrl-C in these files."""
    lines = [f'  File "{file}", line 1, in <module>' for file in files]
    return "\n".join(["Traceback (most recent call last):", *lines, "KeyboardInterrupt"])


@pytest.mark.parametrize(
    "status, printed, expected",
    [
        (-signal.SIGINT, "", True),
        (1, "Could not import runpy module\n" + traceback("<frozen runpy>"), True),
        (1, "Fatal Python error: init_import_site\n" + traceback("<frozen site>"), True),
        (-signal.SIGINT, traceback("<frozen runpy>", *FIRST, "/lib/python3/signal.py"), True),
        (130, "Interrupted. Start the same command again.", False),
        (0, "", False),
        (1, "", False),
        (-signal.SIGKILL, "", False),
        (-signal.SIGINT, traceback(ROOT / "reproduce" / "figure3.py"), False),
        (1, traceback("/lib/python3/site-packages/tensorflow/__init__.py"), False),
        (1, traceback("<frozen runpy>") + "\nerror: x", False),
    ],
)
def test_only_before_a_command_has_started_may_python_answer(status, printed, expected):
    assert is_too_early(status, printed) == expected
