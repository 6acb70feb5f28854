"""Mutation testing: is a wrong sign, number or comparison in the mathematics noticed by a test?

    python -m tools.reliability.mutants                           all of them: half a day
    python -m tools.reliability.mutants --sample 60 --seed 1      of each package, drawn at random
    python -m tools.reliability.mutants --only claims             files with this in their path

Cosmic Ray's operators change one thing at a time in the files with the library's mathematics, and
with that of the experiments. For each such mutant those tests run that execute the changed lines,
and the others of their files, until one fails. What no test notices must have a reason in
survivors.yaml, of its own or of its kind. From a sample the share that is noticed is estimated,
with Wilson's 95% interval.
"""

import concurrent.futures
import dataclasses
import difflib
import gc
import json
import math
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import sys
import tempfile
import threading
from typing import NamedTuple

import pytest
from tqdm import tqdm
import yaml

from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
SURVIVORS = pathlib.Path(__file__).with_name("survivors.yaml")


@dataclasses.dataclass(frozen=True)
class Suite:
    """Files that are mutated, as patterns of paths; the tests that are to notice; and how often."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]  # patterns, too
    needed: float  # of the mutants


class Mutant(NamedTuple):
    """A changed file: its path, the first changed line, and its source."""

    file: str
    line: int
    source: str


SUITES = (
    Suite(
        "tfoverparam",
        (
            "tfoverparam/matrix_functions/*.py",
            "tfoverparam/layers/factorized_dense.py",
            "tfoverparam/optimizers/end_to_end.py",
        ),
        (
            "tests/tfoverparam/test_matrix_functions.py",
            "tests/tfoverparam/test_tracked_basis.py",
            "tests/tfoverparam/test_end_to_end_direction.py",
            "tests/tfoverparam/test_chain_product.py",
            "tests/tfoverparam/test_regularizers.py",
            "tests/tfoverparam/layers",
            "tests/tfoverparam/optimizers",
        ),
        0.85,
    ),
    Suite(
        "reproduce/claims",
        ("reproduce/claims/*.py",),
        (
            "tests/reproduce/test_claims_*.py",
            "tests/reproduce/networks/test_claims.py",
            "tests/reproduce/test_medians.py",
            "tests/reproduce/test_robustness.py",
            "tests/reproduce/test_report.py",
            "tests/reproduce/test_committed_results.py",
        ),
        0.80,
    ),
    Suite(
        "reproduce/linear_networks",
        ("reproduce/linear_networks/*.py",),
        ("tests/reproduce/linear_networks", "tests/reproduce/test_verify.py"),
        0.80,
    ),
    Suite(
        "reproduce/regression",
        ("reproduce/regression/*.py", "reproduce/speedups/measurement.py"),
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
        "reproduce/mnist_convnet",
        ("reproduce/mnist_convnet/[!r]*.py",),  # all but replicas.py, whose tests are slow
        (
            "tests/reproduce/mnist_convnet",
            "tests/reproduce/test_figure5_right.py",
            "tests/reproduce/test_numbers.py",
            "tests/reproduce/test_verify.py",
        ),
        0.80,
    ),
)
# Of numbers with a fraction these are errors whatever the tests: nothing would be learned.
LEFT_OUT = ("BitOr", "BitAnd", "BitXor", "RShift", "LShift", "Invert", "USub_Not")
# A mutant is noticed, too, if its tests take so many times as long as without it, in seconds of the
# processor and beyond what the start takes: on a busy machine nothing else takes longer.
TIMES, START = 3, 60
WAITING = 20  # times as many by the clock: a process that waits uses none of the processor
KNOWN = ROOT / "runs" / "mutants.json"


def places(file):
    """Where Cosmic Ray's operators change a file: triples of it, the operator, and a number."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast((ROOT / file).read_text(encoding="utf-8"))))
    found = []
    for name in cosmic_ray.plugins.operator_names():
        operator = cosmic_ray.plugins.get_operator(name)
        if not name.endswith(LEFT_OUT) and not operator.arguments():
            count = sum(len(list(operator().mutation_positions(node))) for node in nodes)
            found += [(file, operator(), number) for number in range(count)]
    return found


def mutants(places, count=None):
    """Every mutant of these places, or the first so many: a dict from its name to a `Mutant`.

    The name is the same as long as the changed lines are, and their order in the file.
    """
    from cosmic_ray.mutating import mutate_code

    found: dict[str, Mutant] = {}
    for file, operator, number in places:
        if len(found) == count:
            break
        source = (ROOT / file).read_text(encoding="utf-8")
        mutated = mutate_code(source, operator, number)
        if mutated in (None, source) or not is_python(mutated):
            continue
        lines = [line.strip() for line in source.splitlines()]
        line = next(
            at
            for at, (old, new) in enumerate(zip(lines, mutated.splitlines()))
            if old != new.strip() and old  # blank lines go with a decorator
        )
        elsewhere = ["(at another place)"] * lines[:line].count(lines[line])
        name = "\n".join([file, *change(source, mutated), *elsewhere])
        found[name] = Mutant(file, line + 1, mutated)
    return found


def is_python(source):
    """Whether a file can be compiled at all: `{**a}` with another operator cannot."""
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def matching(patterns):
    """The paths of the repository's files that fit one of the patterns, `__init__`s apart."""
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py"]


def wilson(held, tried):
    """The 95% interval of a share, of so many drawn at random (Wilson 1927).

    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    z = 1.959964
    middle, half = held + z**2 / 2, z * math.sqrt(held * (tried - held) / tried + z**2 / 4)
    return (middle - half) / (tried + z**2), (middle + half) / (tried + z**2)


def change(source, mutated):
    """The changed lines, `- old` and `+ new`."""
    lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=0, lineterm="")
    marked = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return [f"{line[0]} {line[1:].strip()}" for line in marked]


def in_a_fork(function, *arguments, seconds=None):
    """Calls the function in a process of its own: its exit status; not 0 if it took too long.

    That is, so many seconds of the processor. TensorFlow, which takes seconds to import, is
    imported already, and has not been used.
    """

    def limited():
        gc.freeze()  # What is imported is no garbage, and takes a second to look through.
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds),) * 2)
        function(*arguments)

    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    try:
        process.join(None if seconds is None else WAITING * seconds)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def run_pytest(folder, options, output, plugins=()):
    """Ends the process with pytest's exit status; its output goes to a file."""
    os.chdir(folder)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # They take longer than many a test.
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
    """Runs tests once: a dict from file and line to those that may notice what is changed there.

    And how many seconds each took. First those that execute the line, the shortest first; then the
    others of their files, which may share what a fixture made or what was traced for one of them.
    Lines that are executed when the file is imported have the tests of all of its lines.
    """
    os.environ["COVERAGE_FILE"] = str(folder / "coverage")
    packages = [f"--cov={package}" for package in sorted({file.split("/")[0] for file in files})]
    tests = [str(path) for each in tests for path in sorted(folder.glob(each))]
    options = [
        "-m",
        "not slow",
        *tests,
        *packages,
        "-p",
        "pytest_cov",
        "--cov-context=test",
        "--cov-report=",
    ]
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
            seen = {each.partition("|")[0] for each in set(tests) - {""} or of_file}
            paths = {test.partition("::")[0] for test in seen}
            beside = {test for test in seconds if test.partition("::")[0] in paths} - seen
            found[file, line] = [*sorted(seen, key=seconds.get), *sorted(beside, key=seconds.get)]
    return found, seconds


def copy_of_checkout(folder):
    """The checkout, in a folder of its own, without what git ignores."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "dist", "*.egg-info")
    return shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)


def is_noticed(work, mutant, tests, seconds):
    """Whether one of these tests fails, or takes forever, with the mutated file.

    In the process's own copy of the checkout.
    """
    folder = work / str(os.getpid())
    if not folder.exists():
        copy_of_checkout(folder)
    (folder / mutant.file).write_text(mutant.source, encoding="utf-8")
    try:
        return in_a_fork(run_pytest, folder, tests, folder / "output.txt", seconds=seconds) != 0
    finally:
        shutil.copy(ROOT / mutant.file, folder / mutant.file)


def noticed(found, by_line, seconds, work, processes, left_out):
    """The names of the mutants that a test notices; `seconds` of each without them.

    Those of `KNOWN` are not tested again, and those `left_out` not at all.
    """
    known = set(json.loads(KNOWN.read_text(encoding="utf-8"))) if KNOWN.exists() else set()
    # Processes, not threads: a fork waits forever for a lock that another thread holds, such as
    # that of the bar.
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=fork) as pool:
        names = {}
        for name, mutant in found.items():
            # A statement that goes on over several lines is executed at its first.
            lines = [line for file, line in by_line if file == mutant.file and line <= mutant.line]
            tests = by_line[mutant.file, max(lines)] if lines else []
            if tests and name not in known | left_out:
                limit = START + TIMES * sum(seconds[test] for test in tests)
                names[pool.submit(is_noticed, work, mutant, tests, limit)] = name
        try:
            for each in tqdm(concurrent.futures.as_completed(names), total=len(names)):
                if not each.result():
                    print(f"\nSurvives:\n{names[each]}\n", flush=True)
                    continue
                known.add(names[each])
                KNOWN.parent.mkdir(exist_ok=True)
                KNOWN.write_text(json.dumps(sorted(known)), encoding="utf-8")
        finally:
            pool.shutdown(cancel_futures=True)
    return known & set(found)


def explained(names, reasons):
    """Those of the mutants' names for which there is a reason, of their own or of a pattern."""
    patterns = [re.compile(pattern) for pattern in reasons["patterns"]]
    return {
        name
        for name in names
        if name in reasons["mutants"] or any(pattern.search(name) for pattern in patterns)
    }


def main(arguments=None):
    """The command."""
    # tqdm has a lock that forks share, and a thread: see `noticed`.
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0
    # Once for all: see `in_a_fork`.
    import keras  # noqa: F401  # with TensorFlow
    import tensorflow_datasets  # noqa: F401

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
    parser.add_argument("--sample", type=int, metavar="N", help="mutants of a package, at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    arguments = parser.parse_args(arguments)
    reasons = yaml.safe_load(SURVIVORS.read_text(encoding="utf-8"))
    if not arguments.resume:
        KNOWN.unlink(missing_ok=True)
    rows, unexplained = [], []
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for suite in SUITES:
            files = [file for file in matching(suite.files) if arguments.only in file]
            if not files:
                continue
            baseline = copy_of_checkout(pathlib.Path(tempfile.mkdtemp(dir=work)))
            by_line, seconds = tests_by_line(baseline, suite.tests, files)
            everywhere = [place for file in files for place in places(file)]
            if arguments.sample is not None:
                random.Random(arguments.seed).shuffle(everywhere)
            found = mutants(everywhere, arguments.sample)
            left_out = explained(found, reasons) if arguments.resume else set()
            survivors = set(found) - noticed(
                found, by_line, seconds, work, arguments.processes, left_out
            )
            unexplained += sorted(survivors - explained(survivors, reasons))
            rows.append(row(suite, found, survivors, everywhere, arguments.sample))
    options = " ".join(
        f"--{name} {value}"
        for name, value in (
            ("only", arguments.only),
            ("sample", arguments.sample),
            ("seed", arguments.seed),
        )
        if value
    )
    table.report("mutants", rows, arguments.write, options, r"mutants of (\S+)")
    if unexplained:
        names = "\n\n".join(unexplained)
        sys.exit(f"{names}\n\nThese survive, and have no reason in {SURVIVORS.name}.")


def row(suite, found, survivors, everywhere, sample):
    """The line of a package; of a sample, with what it says of all."""
    tried = len(found)
    held = tried - len(survivors)
    what, share = f"mutants of {suite.name}", f"{held / tried:.0%}"
    if sample is not None:
        what = f"{tried} {what}, at random places of {len(everywhere)}"
        share += " (95% interval of all: {:.0%} to {:.0%})".format(*wilson(held, tried))
    return table.Row(
        f"{what} (held: noticed by a fast test)",
        tried,
        held,
        f"{share}; why not, see `tools/reliability/survivors.yaml`",
        math.ceil(suite.needed * tried),
    )


if __name__ == "__main__":
    main()
