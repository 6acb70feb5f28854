"""Sabotages of the experiments, one at a time: is each noticed by a fast test?

    python -m tools.reliability.sabotages            a few minutes
    python -m tools.reliability.sabotages median     those with this in their name

Each changes what is measured, not whether the program runs: dropout is off, the median is the
minimum, a number in the guide is another. In a copy of the checkout one place of the source is
replaced, and those tests run that are to notice it; without a sabotage they must all pass.
"""

import dataclasses
import pathlib
import re
import sys
import tempfile

from tools.reliability import table
from tools.reliability.mutants import ROOT, copy_of_checkout, in_a_fork, run_pytest

NAME = "sabotages"
STEPS = "tests/reproduce/mnist_convnet/test_steps.py"
NUMBERS, MEDIANS = "tests/reproduce/test_numbers.py", "tests/reproduce/test_medians.py"
DOCS = "tests/test_docs.py"
SECONDS = 600  # that the tests may take


@dataclasses.dataclass(frozen=True)
class Sabotage:
    """A change of one place.

    Attributes:
        what: In words.
        file: Path in the repository.
        old, new: The text that is replaced, which must be there exactly once, and its replacement.
        tests: The file whose tests are to notice it.
    """

    what: str
    file: str
    old: str
    new: str
    tests: str

    def source(self):
        """The file before and after."""
        before = (ROOT / self.file).read_text("utf-8")
        count = before.count(self.old)
        if count != 1:
            sys.exit(f"{self.what}: {self.file} has {self.old!r} {count} times; change this script")
        return before, before.replace(self.old, self.new)


TRAINING, NETWORK = "reproduce/mnist_convnet/training.py", "reproduce/mnist_convnet/network.py"
FIGURE, ROBUSTNESS = "reproduce/mnist_convnet/runs.py", "reproduce/speedups/measurement.py"
OPTIMUM = "    _, least = optimum(task.features, task.targets, p)\n"
OF_ANOTHER = """    from reproduce import data
    other = data.load_breast_cancer()
    _, least = optimum(other.features, other.targets, p)
"""
SABOTAGES = [
    Sabotage(
        "ConvNet: dropout off",
        NETWORK,
        "SplitDropout)(training.dropout, seed",
        "SplitDropout)(0.0, seed",
        STEPS,
    ),
    Sabotage(
        "ConvNet: the rate decays smoothly", TRAINING, "staircase=True", "staircase=False", STEPS
    ),
    Sabotage(
        "ConvNet: no decay of the rate",
        TRAINING,
        "            training.decay_rate,\n",
        "            1.0,\n",
        STEPS,
    ),
    Sabotage("ConvNet: no momentum", TRAINING, "momentum=training.momentum", "momentum=0.0", STEPS),
    Sabotage(
        "ConvNet: validation error on training images",
        TRAINING,
        "data.train_images[:held_out], data.train_labels[:held_out]",
        "data.train_images[held_out:], data.train_labels[held_out:]",
        STEPS,
    ),
    Sabotage(
        "Figure 5 (right): cross-entropy per epoch is that of the total loss",
        FIGURE,
        "            trained.cross_entropy, training.decay_examples",
        "            trained.loss, training.decay_examples",
        NUMBERS,
    ),
    Sabotage(
        "Figure 5 (right): the L2 curve is the cross-entropy",
        FIGURE,
        "trained.cross_entropy, trained.l2_term",
        "trained.cross_entropy, trained.cross_entropy",
        NUMBERS,
    ),
    Sabotage(
        "Figure 5 (right): test error is validation error",
        FIGURE,
        '"test_error": curves.rounded(trained.test_error)',
        '"test_error": curves.rounded(trained.validation_error)',
        NUMBERS,
    ),
    Sabotage(
        "linear networks: the rule's own start is the network's",
        "reproduce/linear_networks/run.py",
        "np.random.default_rng((run.seed, 1))",
        "np.random.default_rng(run.seed)",
        NUMBERS,
    ),
    Sabotage(
        "regression: the loss at zero is of squared targets",
        "reproduce/regression/runs.py",
        "np.mean(task.targets**p)",
        "np.mean(task.targets**2)",
        NUMBERS,
    ),
    Sabotage(
        "regression: sharpness is not halved",
        "reproduce/regression/runs.py",
        "sharpness(state, *task) / 2",
        "sharpness(state, *task)",
        NUMBERS,
    ),
    Sabotage(
        "claims: final distance, minimum for median",
        "reproduce/claims/regression.py",
        "float(np.median(list(ends)))",
        "float(np.min(list(ends)))",
        MEDIANS,
    ),
    Sabotage(
        "claims: final loss of the ConvNet, minimum for median",
        "reproduce/claims/convnets.py",
        "np.median([record.curves[panel][-1][1]",
        "np.min([record.curves[panel][-1][1]",
        MEDIANS,
    ),
    Sabotage(
        "claims: Figure 5 (left), minimum for median",
        "reproduce/claims/figure5_left.py",
        "left = np.median(",
        "left = np.min(",
        MEDIANS,
    ),
    Sabotage(
        "claims: quantile 0.1 for 0.9",
        "reproduce/claims/robustness.py",
        'np.quantile(moved, 0.9, method="higher")',
        'np.quantile(moved, 0.1, method="higher")',
        MEDIANS,
    ),
    Sabotage("robustness: optimum of the wrong data set", ROBUSTNESS, OPTIMUM, OF_ANOTHER, NUMBERS),
    Sabotage(
        "robustness: best for worst selection seed",
        ROBUSTNESS,
        "max(checks.end(c, steps)",
        "min(checks.end(c, steps)",
        NUMBERS,
    ),
    Sabotage(
        "two points: need not stay",
        "reproduce/theory/two_points.py",
        "inside_since.min() >= STAY",
        "inside_since.min() >= 0",
        "tests/reproduce/test_theory.py",
    ),
    Sabotage(
        "guide: another number of section 6",
        "docs/guide.md",
        "ends with 1.86 times sooner",
        "ends with 1.85 times sooner",
        "tests/test_guide_numbers.py",
    ),
    Sabotage(
        "factor dynamics: float32's epsilon",
        "tfoverparam/factor_dynamics.py",
        'np.finfo("float64").eps',
        'np.finfo("float32").eps',
        "tests/tfoverparam/test_factor_dynamics.py",
    ),
]


def failed_tests(folder, tests):
    """The names of the first tests that fail, of these files; empty if all pass."""
    output = folder / "output.txt"
    options = ["-m", "not slow", *tests]
    status = in_a_fork(run_pytest, folder, options, output, seconds=SECONDS)
    if status == 0:
        return []
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", output.read_text("utf-8"), re.MULTILINE) or ["-"]


def main(arguments=None):
    """The command."""
    import tensorflow  # noqa: F401  # once for all: see `mutants.in_a_fork`

    parser = table.parser(NAME, __doc__)
    parser.add_argument("name", nargs="?", default="", help="part of a sabotage's name")
    options = parser.parse_args(arguments)
    chosen = [each for each in SABOTAGES if options.name in each.what]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = copy_of_checkout(pathlib.Path(name))
        sources = [each.source() for each in chosen]
        failed = failed_tests(folder, sorted({each.tests for each in chosen}))
        if failed:
            sys.exit(f"Without a sabotage these fail: {', '.join(failed)}")
        for sabotage, (before, after) in zip(chosen, sources):
            (folder / sabotage.file).write_text(after, "utf-8")
            found = failed_tests(folder, [sabotage.tests])
            (folder / sabotage.file).write_text(before, "utf-8")
            noticed_by = found[0].rpartition("::")[2] if found else ""
            rows.append(table.Row(sabotage.what, 1, int(bool(found)), noticed_by))
            print(rows[-1].markdown(NAME), end="", file=sys.stderr, flush=True)
    table.report(NAME, rows, options.write)


if __name__ == "__main__":
    main()
