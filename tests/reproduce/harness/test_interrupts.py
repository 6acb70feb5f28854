"""Ctrl-C while a command imports what it needs, and afterwards."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from reproduce.harness import cli

ROOT = pathlib.Path(__file__).parents[3]


def run(program):
    """A Python program in which Ctrl-C is not ignored: status, output and errors."""
    result = subprocess.run(
        [sys.executable, "-c", f"import os, signal, sys, time\n{program}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    return result.returncode, result.stdout, result.stderr


KILL = "os.kill(os.getpid(), signal.SIGINT)"


def test_while_it_imports_a_command_ends_with_a_line_and_no_traceback():
    # `python -m reproduce.figure3` starts like this.
    found = run(f"sys.argv[0] = '-m'\nimport reproduce\n{KILL}")
    assert found == (130, "", "\nInterrupted. Start the same command again.\n")


def test_in_a_program_that_imports_the_package_ctrl_c_is_left_alone():
    found = run(f"import reproduce\ntry: {KILL}\nexcept KeyboardInterrupt: print('caught')")
    assert found == (0, "caught\n", "")


def test_when_its_work_is_done_a_command_ends_as_it_would():
    work = (
        "from reproduce.harness import cli\n"
        "with cli.reported_errors(): print('done', flush=True)"
    )
    command = f"sys.argv[0] = '-m'\nimport reproduce\n{work}\n{KILL}\nsys.exit(3)"
    assert run(command) == (3, "done\n", "")
    assert run(f"{work}\ntry: {KILL}\nexcept KeyboardInterrupt: print('caught')")[1] == (
        "done\ncaught\n"
    )


COMMAND = "sys.argv[0] = '-m'\nfrom reproduce.harness import cli, interrupts\n"
ENDED = (130, "printed before\n", f"\nInterrupted. {cli.RESUMABLE}\n")


@pytest.mark.parametrize(
    "where",
    [
        f"{KILL}",
        f"try: {KILL}\n    except BaseException: time.sleep(60)",
        f"type('Deleted', (), {{'__del__': lambda self: {KILL}}})()\n    time.sleep(60)",
    ],
    ids=["anywhere", "where all is caught", "while something is deleted"],
)
def test_a_command_ends_at_once_and_what_it_printed_is_there(where):
    program = f"with cli.reported_errors():\n    print('printed before')\n    {where}"
    assert run(COMMAND + program) == ENDED


def test_what_has_something_to_tidy_up_does_so():
    program = f"""
with cli.reported_errors():
    try:
        with interrupts.raised(): {KILL}
    finally:
        print('printed before')
"""
    assert run(COMMAND + program) == ENDED


def test_after_tidying_up_it_ends_at_once_again():
    program = f"""
with cli.reported_errors():
    with interrupts.raised(): print('printed before')
    try: {KILL}
    except BaseException: time.sleep(60)
"""
    assert run(COMMAND + program) == ENDED


def test_where_ctrl_c_is_ignored_it_stays_so():
    ignored = "sys.argv[0] = '-m'\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert run(f"{ignored}\nimport reproduce\n{KILL}\nprint('on')") == (0, "on\n", "")


@pytest.fixture
def ctrl_c_is_not_ignored():
    """As it is for what a script starts in the background, these tests maybe among it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("how", [cli.RESUMABLE, cli.REPEATABLE])
@pytest.mark.usefixtures("ctrl_c_is_not_ignored")
def test_afterwards_it_says_how_to_go_on(how, capsys):
    with pytest.raises(SystemExit) as end, cli.reported_errors(how):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_BLOCK, ())  # delivers it
    assert end.value.code == 130
    assert capsys.readouterr().err == f"\nInterrupted. {how}\n"
