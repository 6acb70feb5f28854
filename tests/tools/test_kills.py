"""What a Ctrl-C is allowed to end with, and when."""

import signal

import pytest

from tools.reliability.kills import is_too_early


def traceback(*frames):
    """What Python prints of a Ctrl-C in these functions, each of a file."""
    lines = [f'  File "{file}", line 1, in {function}' for file, function in frames]
    return "\n".join(["Traceback (most recent call last):", *lines, "KeyboardInterrupt"])


RUNPY = ("<frozen runpy>", "_run_module_as_main")
IMPORTED = (RUNPY, ("/reproduce/figure3.py", "<module>"), ("/lib/argparse.py", "<module>"))
STARTED = (RUNPY, ("/reproduce/figure3.py", "<module>"), ("/reproduce/figure3.py", "main"))


@pytest.mark.parametrize(
    "status, printed, expected",
    [
        (-signal.SIGINT, "", True),
        (1, "Could not import runpy module\n" + traceback(RUNPY), True),
        (1, "Fatal Python error: init_import_site\n" + traceback(("<frozen site>", "main")), True),
        (-signal.SIGINT, traceback(*IMPORTED), True),
        (130, "Interrupted. Start the same command again.", False),
        (0, "", False),
        (1, "", False),
        (-signal.SIGKILL, "", False),
        (-signal.SIGINT, traceback(*STARTED), False),
        (1, traceback(RUNPY) + "\nerror: x", False),
    ],
)
def test_only_before_a_command_has_started_may_python_answer(status, printed, expected):
    assert is_too_early(status, printed) == expected
