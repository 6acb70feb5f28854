"""Mutation testing: is a wrong sign, number or comparison in the mathematics noticed by a test?

    python -m tools.reliability.mutants
    python -m tools.reliability.mutants --only claims --sample 200

Cosmic Ray's operators change one thing at a time in the files with the library's mathematics, and
with that of the experiments. For each such mutant those tests run that execute the changed lines,
the shortest first, until one fails. What no test notices must be listed in survivors.yaml, with the
reason.
"""

import concurrent.futures
import dataclasses
import difflib
import json
import math
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import sys
import tempfile

import pytest
from tqdm import tqdm
import yaml

from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
SURVIVORS = pathlib.Path(__file__).with_name("survivors.yaml")


@dataclasses.dataclass(frozen=True)
class Suite:
    """Files that are mutated, as patterns of paths; the tests that are to notice; and how often."""

    files: tuple[str, ...]
    tests: tuple[str, ...]  # patterns, too
    needed: float  # of the mutants of a file


SUITES = (
    Suite(
        (
            "tfoverparam/matrix_functions/*.py",
            "tfoverparam/layers/factorized_dense.py",
            "tfoverparam/optimizers/end_to_end.py",
        ),
        (
            "tests/tfoverparam/test_matrix_functions.py",
            "tests/tfoverparam/test_end_to_end_direction.py",
            "tests/tfoverparam/test_chain_product.py",
            "tests/tfoverparam/test_regularizers.py",
            "tests/tfoverparam/layers",
            "tests/tfoverparam/optimizers",
        ),
        0.85,
    ),
    Suite(
        ("reproduce/claims/*.py",),
        (
            "tests/reproduce/test_claims_*.py",
            "tests/reproduce/test_medians.py",
            "tests/reproduce/test_robustness.py",
            "tests/reproduce/test_report.py",
            "tests/reproduce/test_committed_results.py",
        ),
        0.80,
    ),
    Suite(
        ("reproduce/linear_networks/*.py",),
        ("tests/reproduce/linear_networks", "tests/reproduce/test_verify.py"),
        0.80,
    ),
    Suite(
        ("reproduce/regression/*.py", "reproduce/speedups/*.py"),
        (
            "tests/reproduce/test_regression.py",
            "tests/reproduce/test_numbers.py",
            "tests/reproduce/test_robustness.py",
            "tests/reproduce/speedups",
            "tests/reproduce/harness/test_bad_input.py",
        ),
        0.80,
    ),
    Suite(
        ("reproduce/mnist_convnet/[!r]*.py",),  # all but replicas.py, whose tests are slow
        (
            "tests/reproduce/mnist_convnet",
            "tests/reproduce/test_numbers.py",
            "tests/reproduce/test_verify.py",
        ),
        0.80,
    ),
)
# Of numbers with a fraction these are errors whatever the tests: nothing would be learned.
LEFT_OUT = ("BitOr", "BitAnd", "BitXor", "RShift", "LShift", "Invert", "USub_Not")
TIMES = 3  # what all tests take without a mutation: a mutant that takes longer is noticed
KNOWN = ROOT / "runs" / "mutants.json"


def mutants(file):
    """Every mutant of a file, once: a dict from its name to its first changed line and source.

    The name is the same as long as the changed lines are.
    """
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / file).read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(source)))
    found = {}
    for name in cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if name.endswith(LEFT_OUT) or operator_class.arguments():
            continue
        operator = operator_class()
        count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        for occurrence in range(count):
            mutated = mutate_code(source, operator, occurrence)
            if mutated not in (None, source):
                found[mutated] = next(
                    number
                    for number, (old, new) in enumerate(
                        zip(source.splitlines(), mutated.splitlines()), start=1
                    )
                    if old != new and old.strip()  # blank lines go with a decorator
                )
    result: dict[str, tuple] = {}
    for mutated, line in found.items():
        name = "\n".join([file, *change(source, mutated)])
        while name in result:
            name += "\n(at another place)"
        result[name] = line, mutated
    return result


def matching(patterns):
    """The paths of the repository's files that fit one of the patterns, `__init__`s apart."""
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py"]


def sampled(found, number):
    """Some of the mutants, the same each time; all of them where `number` is None or larger."""
    if number is None or number >= len(found):
        return found
    return {name: found[name] for name in random.Random(0).sample(sorted(found), number)}


def change(source, mutated):
    """The changed lines, `- old` and `+ new`."""
    lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=0, lineterm="")
    marked = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return [f"{line[0]} {line[1:].strip()}" for line in marked]


def in_a_fork(function, *arguments, seconds=None):
    """Calls the function in a process of its own: its exit status, None if it took too long.

    TensorFlow, which takes seconds to import, is imported already, and has not been used.
    """
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    try:
        process.join(seconds)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def run_pytest(folder, options, output, plugins=()):
    """Ends the process with pytest's exit status; its output goes to a file."""
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path not in ("", str(ROOT)))]
    with open(output, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *options], list(plugins)))


class Seconds:
    """A plugin for pytest that writes how long each test took."""

    def __init__(self, path):
        self.path, self.seconds = path, {}

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self):
        self.path.write_text(json.dumps(self.seconds), encoding="utf-8")


def tests_by_line(folder, tests, files):
    """Runs tests once: a dict from file and line to those that execute it, shortest first.

    And how many seconds they took, all together. Lines that are executed when the file is
    imported have the tests of all of its lines.
    """
    os.environ["COVERAGE_FILE"] = str(folder / "coverage")
    packages = [f"--cov={package}" for package in sorted({file.split("/")[0] for file in files})]
    tests = [str(path) for each in tests for path in sorted(folder.glob(each))]
    options = ["-m", "not slow", *tests, *packages, "--cov-context=test", "--cov-report="]
    output, path = folder / "output.txt", folder / "seconds.json"
    if in_a_fork(run_pytest, folder, options, output, [Seconds(path)]) != 0:
        sys.exit(f"{output.read_text('utf-8')}\nThe tests do not pass without a mutation.")
    seconds = json.loads(path.read_text(encoding="utf-8"))
    import coverage

    data = coverage.CoverageData(basename=os.environ["COVERAGE_FILE"])
    data.read()
    found = {}
    for file in files:
        lines = data.contexts_by_lineno(str(folder / file))
        of_file = {test for tests in lines.values() for test in tests} - {""}
        for line, tests in lines.items():
            chosen = {test.partition("|")[0] for test in (set(tests) - {""} or of_file)}
            found[file, line] = sorted(chosen, key=seconds.get)
    return found, sum(seconds.values())


def copy_of_checkout(folder):
    """The checkout, in a folder of its own, without what git ignores."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist", "*.egg-info")
    return shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)


def is_noticed(folder, file, mutated, tests, seconds):
    """Whether one of these tests fails, or takes forever, with the mutated file."""
    (folder / file).write_text(mutated, encoding="utf-8")
    try:
        return in_a_fork(run_pytest, folder, tests, folder / "output.txt", seconds=seconds) != 0
    finally:
        shutil.copy(ROOT / file, folder / file)


def noticed(file, found, by_line, seconds, folders, left_out):
    """The names of the mutants that a test notices, within so many seconds.

    Those of `KNOWN` are not tested again, and those `left_out` not at all.
    """

    def one(name):
        line, mutated = found[name]
        # A statement that goes on over several lines is executed at its first.
        before = [number for other, number in by_line if other == file and number <= line]
        tests = by_line[file, max(before)] if before else []
        if not tests:
            return None
        folder = folders.get()
        failed = is_noticed(folder, file, mutated, tests, seconds)
        folders.put(folder)
        return name if failed else None

    known = set(json.loads(KNOWN.read_text(encoding="utf-8"))) if KNOWN.exists() else set()
    missing = [name for name in found if name not in known | left_out]
    with concurrent.futures.ThreadPoolExecutor(folders.qsize()) as pool:
        running = [pool.submit(one, name) for name in missing]
        try:
            for each in tqdm(concurrent.futures.as_completed(running), file, len(missing)):
                known |= {each.result()} - {None}
                KNOWN.parent.mkdir(exist_ok=True)
                KNOWN.write_text(json.dumps(sorted(known)), encoding="utf-8")
        finally:
            pool.shutdown(cancel_futures=True)
    return known & set(found)


def main(arguments=None):
    """The command."""
    import keras  # noqa: F401  # with TensorFlow, once for all: see `in_a_fork`

    parser = table.parser("mutants", __doc__)
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="at a time (default: 2)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"keep what {KNOWN} says is noticed, and the listed survivors; test the rest",
    )
    parser.add_argument("--only", default="", help="files with this in their path")
    parser.add_argument("--sample", type=int, metavar="N", help="mutants of a file, at most")
    arguments = parser.parse_args(arguments)
    reasons = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8"))
    if not arguments.resume:
        KNOWN.unlink(missing_ok=True)
    rows, unexplained = [], []
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        folders = queue.SimpleQueue()
        for number in range(arguments.processes):
            folders.put(copy_of_checkout(work / str(number)))
        for suite in SUITES:
            files = [file for file in matching(suite.files) if arguments.only in file]
            if not files:
                continue
            baseline = copy_of_checkout(pathlib.Path(tempfile.mkdtemp(dir=work)))
            by_line, seconds = tests_by_line(baseline, suite.tests, files)
            for file in files:
                found = sampled(mutants(file), arguments.sample)
                left_out = set(reasons) if arguments.resume else set()
                killed = noticed(file, found, by_line, TIMES * seconds, folders, left_out)
                survivors = set(found) - killed
                unexplained += sorted(survivors - set(reasons))
                rows.append(
                    table.Row(
                        f"mutants of `{file}` (held: noticed by a test)",
                        len(found),
                        len(killed),
                        f"{len(survivors)} survive, see `tools/reliability/survivors.yaml`",
                        math.ceil(suite.needed * len(found)),
                    )
                )
    for name in unexplained:
        print(f"Survives, and is not in {SURVIVORS.name}:\n{name}\n")
    options = " ".join(
        f"--{name} {value}"
        for name, value in (("only", arguments.only), ("sample", arguments.sample))
        if value
    )
    table.report("mutants", rows, arguments.write, options)
    if unexplained:
        sys.exit(f"{len(unexplained)} survivors have no reason in {SURVIVORS.name}")


if __name__ == "__main__":
    main()
