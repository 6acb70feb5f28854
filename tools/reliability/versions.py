"""The oldest and the newest versions that setup.cfg admits: both pass the tests.

    python -m tools.reliability.versions             the library's fast tests in both environments
    python -m tools.reliability.versions --all       all tests
    python -m tools.reliability.versions oldest --python oldest=/opt/python3.11/bin/python

Each environment is made afresh, from the package index, in a temporary folder. The oldest has the
oldest Python, and every requirement with a bound in setup.cfg at that bound; the newest has the
newest Python, and the newest of everything. One takes five minutes on two cores, and --all twenty.
"""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENTS = ("oldest", "newest")
LIBRARY = ("-m", "not slow", "tests/tfoverparam", "tfoverparam")
NAMED = ("keras", "tensorflow", "numpy")  # in the table, with their versions


def setup_cfg():
    """The project's metadata, as sections of keys."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def pythons(range_):
    """The names of the oldest and the newest Python of a range.

    >>> pythons(">=3.11,<3.14")
    ('python3.11', 'python3.13')
    """
    first, end = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", range_).groups())
    return f"python3.{first}", f"python3.{end - 1}"


def lower_bounds(parser):
    """Every requirement of setup.cfg with a lower bound, at that bound, as pip's constraints.

    >>> parser = configparser.ConfigParser()
    >>> parser.read_string('''
    ... [options]
    ... install_requires =
    ...     keras>=3.12
    ... [options.extras_require]
    ... test =
    ...     # said why
    ...     dill
    ...     pytest[dev]>=8.0
    ... all =
    ...     tfoverparam[test]
    ... ''')
    >>> lower_bounds(parser)
    ['keras==3.12', 'pytest==8.0']
    """
    lists = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    lines = [line.strip() for text in lists for line in text.splitlines()]
    pinned = [line.replace(">=", "==") for line in lines if ">=" in line]
    return [re.sub(r"\[.*\]", "", line) for line in pinned]  # a constraint has no extras


def make(folder, python, constraints):
    """A fresh virtual environment with the checkout and its extras; the path of its Python."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    (folder / "constraints.txt").write_text("\n".join(constraints) + "\n", encoding="utf-8")
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "-q", "-c", folder / "constraints.txt", "-e", f"{ROOT}[all]"]
    subprocess.run(install, check=True, cwd=folder)
    return pip[0]


def versions(python):
    """What an environment has: "Python 3.11.7, keras 3.12.0, ..."."""
    code = (
        "import platform; from importlib import metadata;"
        "print('Python ' + platform.python_version(),"
        f"*(f'{{name}} {{metadata.version(name)}}' for name in {NAMED}), sep=', ')"
    )
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout


def tested(name, python, folder, paths, processes):
    """Run pytest in an environment: a row of the table."""
    results = folder / "results.xml"
    command = [python, "-m", "pytest", "-q", "-n", str(processes), "--dist", "loadfile"]
    command += ["-p", "no:cacheprovider", f"--junitxml={results}", *paths]
    # The environment's own, whatever surrounds this script; and polite to what else runs.
    surroundings = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    subprocess.run(command, cwd=ROOT, env=surroundings, preexec_fn=lambda: os.nice(10))
    suite = ElementTree.parse(results).getroot().find("testsuite")
    count, skipped, *bad = (
        int(suite.get(key)) for key in ("tests", "skipped", "failures", "errors")
    )
    tests = "the library's fast tests" if paths else "all tests"
    what = f"{name} versions ({versions(python).strip()}): {tests}"
    tried = count - skipped
    return table.Row(what, tried, tried - sum(bad), f"{skipped} skipped" if skipped else "")


def main():
    """The script."""
    parser = table.parser("versions", __doc__)
    parser.add_argument(
        "environments",
        nargs="*",
        metavar="ENVIRONMENT",
        default=ENVIRONMENTS,
        help="oldest or newest (default: both)",
    )
    parser.add_argument(
        "--all", action="store_true", help="all tests, not just the library's fast ones"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help="its Python (default: the oldest and newest supported, on the PATH)",
    )
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="(default: 2)")
    arguments = parser.parse_args()
    metadata = setup_cfg()
    interpreters = dict(zip(ENVIRONMENTS, pythons(metadata["options"]["python_requires"])))
    interpreters.update(option.split("=", 1) for option in arguments.python)
    constraints = {"oldest": lower_bounds(metadata), "newest": []}
    rows = []
    for name in arguments.environments:
        if name not in ENVIRONMENTS or not shutil.which(interpreters[name]):
            parser.error(f"no such environment, or no {interpreters.get(name)}: {name}")
        with tempfile.TemporaryDirectory(prefix="tfoverparam-") as folder:
            folder = pathlib.Path(folder)
            python = make(folder, interpreters[name], constraints[name])
            paths = () if arguments.all else LIBRARY
            rows.append(tested(name, python, folder, paths, arguments.processes))
    options = "--all" if arguments.all else ""
    table.report("versions", rows, arguments.write, options, r"(?:oldest|newest) versions")


if __name__ == "__main__":
    sys.exit(main())
