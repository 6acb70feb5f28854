"""Bad inputs over all that takes any: each must be refused, in words, in time, and run no code.

    python -m tools.reliability.bad_inputs --write

They are the tests of the files `test_bad_input*.py`, each beside the tests of what it probes.
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

from tools.reliability import table

NAME = "bad_inputs"
ROOT = pathlib.Path(__file__).parents[2]


def main(arguments=None):
    """The command."""
    options = table.parser(NAME, __doc__).parse_args(arguments)
    files = sorted((ROOT / "tests").rglob("test_bad_input*.py"))
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder, "results.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
        subprocess.run([*command, f"--junitxml={results}"], cwd=ROOT)
        cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    table.report(NAME, rows(cases), options.write)


def rows(cases):
    """A `table.Row` for each file of the tests, and their sum.

    Args:
        cases: JUnit's elements `testcase`, one for each input.
    """
    outcomes = collections.defaultdict(list)
    for case in cases:
        held = case.find("failure") is None and case.find("error") is None
        outcomes[f"`{case.get('classname').replace('.', '/')}.py`"].append(held)
    outcomes["all bad inputs"] = [held for each in outcomes.values() for held in each]
    return [table.Row(what, len(held), sum(held)) for what, held in outcomes.items()]


if __name__ == "__main__":
    main()
