"""Backends and precisions: every computation of the library against float64, and its tests.

    python -m tools.reliability.precision [--seeds 3] [--suites] [--write]

Each backend is measured in a process of its own. A row says how many random cases were tried, how
many had an error within the bound that `precision_cases` derives from the format, and the largest
error, relative to the sum of the sizes of the terms. With --suites, the library's own tests run on
each backend too, which takes some twenty minutes on two cores.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "jax", "torch")
SUITE = ("-n", "2", "--dist", "loadfile", "tests/tfoverparam", "tfoverparam")


def measure(seeds):
    """The rows of this process's backend, as values that JSON has."""
    from tools.reliability import precision_cases

    rows = []
    for policy in precision_cases.POLICIES:
        for quantity in precision_cases.QUANTITIES:
            cases = precision_cases.measure(quantity, policy, range(seeds))
            held = sum(bool(error <= bound) for error, bound in cases)
            rows.append((quantity, policy, len(cases), held, max(error for error, _ in cases)))
    return rows


def _run(backend, *command):
    """The output of a Python command under a Keras backend."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_ENABLE_X64": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout


def precisions(backend, seeds):
    """One `Row` per computation and precision."""
    out = _run(backend, "-m", "tools.reliability.precision", "--seeds", str(seeds), "--measure")
    return [
        table.Row(f"{backend}, {policy}: {quantity}", tried, held, error)
        for quantity, policy, tried, held, error in json.loads(out.splitlines()[-1])
    ]


def suite(backend):
    """One `Row` for the library's tests."""
    out = _run(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE)
    last = out.splitlines()[-1]
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)
    counts = {what: int(count) for count, what in found}
    skipped, passed = counts.pop("skipped", 0), counts["passed"]
    tried = sum(counts.values())
    return table.Row(f"{backend}: the library's tests", tried, passed, f"{skipped} skipped")


def main():
    """Measure, print, and write if asked for."""
    parser = table.parser("precision", __doc__)
    parser.add_argument("--seeds", type=int, default=3, help="cases of each shape (default: 3)")
    parser.add_argument("--suites", action="store_true", help="run the library's tests, too")
    parser.add_argument("--measure", action="store_true", help="this backend only, as JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.seeds)))
        return
    rows = [row for backend in BACKENDS for row in precisions(backend, options.seeds)]
    rows += [suite(backend) for backend in BACKENDS if options.suites]
    table.report("precision", rows, options.write, "--suites" if options.suites else "")


if __name__ == "__main__":
    main()
