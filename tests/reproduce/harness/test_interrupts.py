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


def command(body, *after):
    """A program that does this as a command does, and then that."""
    imports = "from reproduce.harness import cli, process"
    work = f"with cli.reported_errors(arguments=None):\n{textwrap.indent(body, '    ')}"
    return "\n".join([imports, work, *after])


def test_a_command_s_main_without_arguments_takes_over_ctrl_c():
    main = "from reproduce import report\n"
    program = f"{main}report.write = lambda: {KILL}\nsys.argv[1:] = []\nreport.main()"
    assert run(program) == (130, "", f"\nInterrupted. {cli.REPEATABLE}\n")


def test_in_a_program_that_imports_or_calls_it_ctrl_c_is_left_alone():
    program = f"""
from reproduce import report
report.write = lambda: print('called')
report.main([])
try: {KILL}
except KeyboardInterrupt: print('caught')
"""
    assert run(program) == (0, "called\ncaught\n", "")


def test_when_its_work_is_done_a_command_ends_as_it_would():
    program = command("print('done', flush=True)", KILL, "sys.exit(3)")
    assert run(program) == (3, "done\n", "")


ENDED = (130, "printed before\n", f"\nInterrupted. {cli.RESUMABLE}\n")


@pytest.mark.parametrize(
    "where",
    [
        f"{KILL}",
        f"try: {KILL}\nexcept BaseException: time.sleep(60)",
        f"type('Deleted', (), {{'__del__': lambda self: {KILL}}})()\ntime.sleep(60)",
    ],
    ids=["anywhere", "where all is caught", "while something is deleted"],
)
def test_a_command_ends_at_once_and_what_it_printed_is_there(where):
    body = f"print('printed before')\n{where}"
    assert run(command(body)) == ENDED


def test_what_has_something_to_tidy_up_does_so():
    body = f"""
try:
    with process.ctrl_c_raised(): {KILL}
finally:
    print('printed before')
"""
    assert run(command(body)) == ENDED


def test_after_tidying_up_it_ends_at_once_again():
    body = f"""
with process.ctrl_c_raised(): print('printed before')
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
    with pytest.raises(SystemExit) as end, cli.reported_errors([], how):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_BLOCK, ())  # delivers it
    assert end.value.code == 130
    assert capsys.readouterr().err == f"\nInterrupted. {how}\n"
