"""TensorFlow's import by a command: silent, unless it fails."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from reproduce import __main__
from tests.helpers.commands import answers

ROOT = pathlib.Path(__file__).parents[3]
START = """
import os, signal, sys
from reproduce.harness import process
"""
IMPORT = "process.import_tensorflow()"
NOISE = "import os; os.write(2, b'noise\\n')"
LATER = f"""{START}{IMPORT}
os.write(2, b'later\\n')
import logging; logging.getLogger('tensorflow').warning('warning')
print('level', os.environ['TF_CPP_MIN_LOG_LEVEL'])
"""


@pytest.fixture
def run(tmp_path):
    """Runs a program for which TensorFlow is the given text; returns status, output, errors."""

    def run(program, tensorflow=NOISE, **environment):
        (tmp_path / "tensorflow.py").write_text(tensorflow)
        (tmp_path / "keras.py").write_text("import tensorflow\nprint('keras')")
        ours = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
        inherited = {name: value for name, value in os.environ.items() if name not in ours}
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**inherited, "PYTHONPATH": str(tmp_path), **environment},
            capture_output=True,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        return result.returncode, result.stdout, result.stderr

    return run


def test_nothing_is_seen_of_the_import_and_all_of_what_follows(run):
    assert run(LATER) == (0, "keras\nlevel 3\n", "later\n")


@pytest.mark.parametrize(
    "level, seen", [("0", "noise\nlater\nwarning\n"), ("1", "later\nwarning\n")]
)
def test_a_level_that_the_user_has_set_stays(level, seen, run):
    found = run(LATER, TF_CPP_MIN_LOG_LEVEL=level)
    assert found == (0, f"keras\nlevel {level}\n", seen)


def test_what_was_said_before_the_import_failed_is_given_back(run):
    status, _, seen = run(LATER, tensorflow=f"{NOISE}\nraise ImportError('no such library')")
    assert status == 1
    assert seen.startswith("noise\nTraceback")
    assert seen.endswith("ImportError: no such library\n")


INTERRUPTED = f"{NOISE}\nimport signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"


def test_ctrl_c_ends_a_command_with_its_line_alone(run):
    command = f"{START}process.end_on_ctrl_c('Go on.')\n{IMPORT}"
    assert run(command, INTERRUPTED) == (130, "", "\nInterrupted. Go on.\n")


def test_ctrl_c_in_another_program_is_its_own_and_gives_nothing_back(run):
    program = f"{START}try: {IMPORT}\nexcept KeyboardInterrupt: print('caught', file=sys.stderr)"
    assert run(program, INTERRUPTED) == (0, "", "caught\n")


def test_a_closed_descriptor_stays_closed(run):
    program = f"""{START}
os.close(2)
{IMPORT}
try: os.fstat(2)
except OSError: print('closed')
"""
    assert run(program, tensorflow="") == (0, "keras\nclosed\n", "")


def test_where_no_file_can_be_made_it_is_seen(run):
    program = f"{START}process.tempfile.tempdir = '/nowhere'\n{IMPORT}"
    assert run(program) == (0, "keras\n", "noise\n")


def test_another_backend_is_refused_before_anything_is_imported(run):
    program = f"{START}try: {IMPORT}\nexcept process.UsageError as error: print(error)"
    status, printed, seen = run(program, KERAS_BACKEND="jax")
    assert (status, seen) == (0, "")
    assert printed == (
        "the experiments need TensorFlow (tfoverparam itself does not); unset KERAS_BACKEND, "
        "which is 'jax'\n"
    )


@pytest.mark.parametrize("given", [{}, {"KERAS_BACKEND": ""}])
def test_the_package_sets_the_backend_and_imports_nothing(given, run):
    program = """
import os, signal, sys
before = set(sys.modules)
import reproduce
print(os.environ["KERAS_BACKEND"], sorted(set(sys.modules) - before))
print(os.environ.get("TF_CPP_MIN_LOG_LEVEL"))
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    assert run(program, **given) == (0, "tensorflow ['reproduce']\nNone\nTrue\n", "")


@pytest.mark.slow
def test_tensorflow_itself_is_silent_up_to_its_first_operation():
    environment = {n: os.environ[n] for n in os.environ if n[:3] != "TF_" and n[:5] != "KERAS"}
    program = f"{START}{IMPORT}\nimport tensorflow as tf; print(tf.zeros(2) + 1)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "[1. 1.]" in result.stdout


HEAVY = {"keras", "matplotlib", "pandas", "scipy", "sklearn", "tensorflow", "tensorflow_datasets"}
COMMANDS = [name for name in __main__.COMMANDS if name != "reproduce.verify"]
CONFIGURED = [f"reproduce.{path.stem}" for path in sorted((ROOT / "configs").glob("*.yaml"))]


def test_a_command_answers_before_it_imports_what_takes_long():
    commands = [[module, "--help"] for module in COMMANDS] + [[COMMANDS[0], "--typo"]]
    found = answers(commands)
    assert [(each.status, each.err) for each in found[:-1]] == [(0, "")] * len(COMMANDS)
    for module, each in zip(COMMANDS, found):
        assert each.out.startswith(f"usage: python -m {module} ")
        assert HEAVY.isdisjoint(each.imported), module
    assert found[-1].status == 2
    assert found[-1].err.endswith("error: unrecognized arguments: --typo\n")


def test_a_configuration_is_refused_before_anything_is_imported_that_takes_long():
    commands = [[module, "--set", "smoke_steps=0"] for module in CONFIGURED]
    *found, typo = answers([*commands, [CONFIGURED[0], "--set", "typo=1"]])
    assert len(found) == len(CONFIGURED) > 5
    for module, each in zip(CONFIGURED, found):
        assert (each.status, each.err.count("\n")) == (2, 1), module
        assert each.err.startswith("error: ") and "`smoke_steps` must be positive." in each.err
        assert HEAVY.isdisjoint(each.imported), module
    assert typo.status == 2 and "error: " in typo.err and "unknown key `typo`." in typo.err
    assert HEAVY.isdisjoint(typo.imported)
