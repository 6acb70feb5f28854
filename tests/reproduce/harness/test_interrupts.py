"""Ctrl-C while a command works, and afterwards."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

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


def command(body):
    """A program whose `main` has this body: a command."""
    imports = "import reproduce\nfrom reproduce.harness import cli, interrupts\n"
    return f"{imports}def main():\n{textwrap.indent(body, '    ')}\ninterrupts.run(main)"


def test_before_it_has_said_what_it_does_a_command_ends_with_a_line_and_no_traceback():
    assert run(command(KILL)) == (130, "", "\nInterrupted. Start the same command again.\n")


def test_in_a_program_that_imports_the_package_ctrl_c_is_left_alone():
    program = f"from reproduce.harness import cli\ntry: {KILL}\n"
    assert run(f"{program}except KeyboardInterrupt: print('caught')") == (0, "caught\n", "")


@pytest.mark.parametrize("status", [None, 0, 3])
def test_the_status_of_a_command_is_that_of_its_main(status):
    assert run(command(f"return {status}")) == (status or 0, "", "")


def test_when_its_work_is_done_a_command_ends_as_it_would():
    work = "with cli.reported_errors(): print('done', flush=True)"
    assert run(command(f"{work}\n{KILL}\nreturn 3")) == (3, "done\n", "")
    program = f"from reproduce.harness import cli\n{work}\ntry: {KILL}\n"
    assert run(f"{program}except KeyboardInterrupt: print('caught')")[1] == "done\ncaught\n"


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
    body = f"with cli.reported_errors():\n    print('printed before')\n    {where}"
    assert run(command(body)) == ENDED


def test_what_has_something_to_tidy_up_does_so():
    body = f"""
with cli.reported_errors():
    try:
        with interrupts.raised(): {KILL}
    finally:
        print('printed before')
"""
    assert run(command(body)) == ENDED


def test_after_tidying_up_it_ends_at_once_again():
    body = f"""
with cli.reported_errors():
    with interrupts.raised(): print('printed before')
    try: {KILL}
    except BaseException: time.sleep(60)
"""
    assert run(command(body)) == ENDED


def test_where_ctrl_c_is_ignored_it_stays_so():
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    assert run(ignored + command(f"{KILL}\nprint('on')")) == (0, "on\n", "")


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
