"""Coverage: which lines and branches do the tests execute?

python -m tools.reliability.coverage        runs all tests, and lists what they miss
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
# Of the lines, and of the branches.
NEEDED = {"tfoverparam": (0.97, 0.90), "reproduce": (0.90, 0.0)}


def measure(folder):
    """Runs all tests, also in processes that they start: coverage.py's report, as plain values."""
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "coverage")}
    tests = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    tests += ["--cov-branch", "--cov-report=term-missing:skip-covered", "-p", "no:cacheprovider"]
    tests += [f"--cov={package}" for package in NEEDED]
    if subprocess.run(tests, cwd=ROOT, env=environment).returncode:
        sys.exit("The tests do not pass.")
    path = folder / "coverage.json"
    report = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)]
    subprocess.run(report, cwd=ROOT, env=environment, check=True)
    return json.loads(path.read_text(encoding="utf-8"))


def main(arguments=None):
    """The command."""
    arguments = table.parser("coverage", __doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        files = measure(pathlib.Path(folder))["files"]
    rows = []
    for package, (lines, branches) in NEEDED.items():
        mine = [each["summary"] for name, each in files.items() if name.startswith(package + "/")]
        for what, needed, tried, held in (
            ("lines", lines, "num_statements", "covered_lines"),
            ("branches", branches, "num_branches", "covered_branches"),
        ):
            tried, held = (sum(summary[key] for summary in mine) for key in (tried, held))
            share = f"{held / tried:.1%}, needed {needed:.0%}"
            name = f"{what} of `{package}` (held: executed by a test)"
            rows.append(table.Row(name, tried, held, share, math.ceil(needed * tried)))
    table.report("coverage", rows, arguments.write)


if __name__ == "__main__":
    main()
