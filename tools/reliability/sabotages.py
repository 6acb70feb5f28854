"""Sabotages of the experiments, one at a time: is each noticed by a fast test?

    python -m tools.reliability.sabotages            two minutes of two cores
    python -m tools.reliability.sabotages median     those with this in their name

Each changes what is measured, not whether the program runs: dropout is off, the median is the
minimum, a number in the guide is another. In a copy of the checkout one place of the source is
replaced, and the fast test runs that is to notice it; without a sabotage it must pass.
"""

import dataclasses
import pathlib
import sys
import tempfile

from tools.reliability import table
from tools.reliability.mutants import ROOT, copy_of_checkout, in_a_fork, run_pytest

NAME = "sabotages"
STEPS = "tests/reproduce/mnist_convnet/test_steps.py::test_"
NUMBERS = "tests/reproduce/test_numbers.py::test_"
MEDIANS = "tests/reproduce/test_medians.py::test_"
DYNAMICS = "tests/tfoverparam/test_factor_dynamics.py::test_"
SECONDS = 200  # of the processor, that tests may take


@dataclasses.dataclass(frozen=True)
class Sabotage:
    """A change of one place.

    Attributes:
        what: In words.
        file: Path in the repository.
        old, new: The text that is replaced, which must be there exactly once, and its replacement.
        test: The fast test that is to notice it.
    """

    what: str
    file: str
    old: str
    new: str
    test: str

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
        STEPS + "three_steps_are_those_of_tensorflow_s_own_operations[1]",
    ),
    Sabotage(
        "ConvNet: the rate decays smoothly",
        TRAINING,
        "staircase=True",
        "staircase=False",
        STEPS + "three_steps_are_those_of_tensorflow_s_own_operations[1]",
    ),
    Sabotage(
        "ConvNet: no decay of the rate",
        TRAINING,
        "            training.decay_rate,\n",
        "            1.0,\n",
        STEPS + "three_steps_are_those_of_tensorflow_s_own_operations[1]",
    ),
    Sabotage(
        "ConvNet: no momentum",
        TRAINING,
        "momentum=training.momentum",
        "momentum=0.0",
        STEPS + "three_steps_are_those_of_tensorflow_s_own_operations[1]",
    ),
    Sabotage(
        "ConvNet: validation error on training images",
        TRAINING,
        "data.train_images[:held_out], data.train_labels[:held_out]",
        "data.train_images[held_out:], data.train_labels[held_out:]",
        STEPS + "each_error_is_that_of_its_own_images[batch_normalized]",
    ),
    Sabotage(
        "Figure 5 (right): cross-entropy per epoch is that of the total loss",
        FIGURE,
        "            trained.cross_entropy, training.decay_examples",
        "            trained.loss, training.decay_examples",
        NUMBERS + "what_is_recorded_of_the_convnet",
    ),
    Sabotage(
        "Figure 5 (right): the L2 curve is the cross-entropy",
        FIGURE,
        "trained.cross_entropy, trained.l2_term",
        "trained.cross_entropy, trained.cross_entropy",
        NUMBERS + "what_is_recorded_of_the_convnet",
    ),
    Sabotage(
        "Figure 5 (right): test error is validation error",
        FIGURE,
        '"test_error": curves.rounded(trained.test_error)',
        '"test_error": curves.rounded(trained.validation_error)',
        NUMBERS + "what_is_recorded_of_the_convnet",
    ),
    Sabotage(
        "linear networks: the rule's own start is the network's",
        "reproduce/linear_networks/run.py",
        "np.random.default_rng((run.seed, 1))",
        "np.random.default_rng(run.seed)",
        NUMBERS + "the_rule_s_own_start_is_no_part_of_the_network_s",
    ),
    Sabotage(
        "regression: the loss at zero is of squared targets",
        "reproduce/regression/runs.py",
        "np.mean(task.targets**p)",
        "np.mean(task.targets**2)",
        NUMBERS + "the_optimum_and_the_loss_at_zero_of_a_regression[4]",
    ),
    Sabotage(
        "regression: sharpness is not halved",
        "reproduce/regression/runs.py",
        "sharpness(state, *task) / 2",
        "sharpness(state, *task)",
        NUMBERS + "the_longest_step_of_a_flow_is_1_where_descent_is_about_to_diverge",
    ),
    Sabotage(
        "claims: final distance, minimum for median",
        "reproduce/claims/regression.py",
        "float(np.median(list(ends)))",
        "float(np.min(list(ends)))",
        MEDIANS + "the_final_loss_is_the_median_over_the_seeds",
    ),
    Sabotage(
        "claims: final loss of the ConvNet, minimum for median",
        "reproduce/claims/convnets.py",
        "np.median([record.curves[panel][-1][1]",
        "np.min([record.curves[panel][-1][1]",
        MEDIANS + "the_convnet_s_numbers_are_medians_over_the_seeds",
    ),
    Sabotage(
        "claims: Figure 5 (left), minimum for median",
        "reproduce/claims/figure5_left.py",
        "left = np.median(",
        "left = np.min(",
        MEDIANS + "a_start_is_at_once_where_that_of_the_median_seed_is",
    ),
    Sabotage(
        "claims: quantile 0.1 for 0.9",
        "reproduce/claims/robustness.py",
        'np.quantile(moved, 0.9, method="higher")',
        'np.quantile(moved, 0.1, method="higher")',
        MEDIANS + "the_common_loss_is_what_nine_in_ten_seeds_reach",
    ),
    Sabotage(
        "robustness: optimum of the wrong data set",
        ROBUSTNESS,
        OPTIMUM,
        OF_ANOTHER,
        NUMBERS + "the_optimum_of_a_problem_is_that_of_its_own_data[log_target]",
    ),
    Sabotage(
        "robustness: best for worst selection seed",
        ROBUSTNESS,
        "max(checks.end(c, steps)",
        "min(checks.end(c, steps)",
        NUMBERS + "the_rate_of_a_depth_is_that_of_the_better_worst_seed",
    ),
    Sabotage(
        "two points: need not stay",
        "reproduce/theory/two_points.py",
        "inside_since.min() >= STAY",
        "inside_since.min() >= 0",
        "tests/reproduce/test_theory.py::test_both_coordinates_stay_where_they_are_counted",
    ),
    Sabotage(
        "guide: another number of section 6",
        "docs/guide.md",
        "ends with 1.86 times sooner",
        "ends with 1.85 times sooner",
        "tests/test_guide_numbers.py::test_the_numbers_are_those_of_the_verdicts",
    ),
    Sabotage(
        "factor dynamics: float32's epsilon",
        "tfoverparam/factor_dynamics.py",
        'np.finfo("float64").eps',
        'np.finfo("float32").eps',
        DYNAMICS + "directions_in_which_the_product_is_small_but_not_zero",
    ),
]


def results(folder, tests):
    """Whether these tests, all of them there and fast, pass; and what pytest says."""
    output = folder / "output.txt"
    status = in_a_fork(run_pytest, folder, ["-m", "not slow", *tests], output, seconds=SECONDS)
    text = output.read_text("utf-8")
    return status == 0 and f"{len(tests)} passed" in text, text


def main(arguments=None):
    """The command."""
    import keras  # noqa: F401  # with TensorFlow, once for all: see `mutants.in_a_fork`

    parser = table.parser(NAME, __doc__)
    parser.add_argument("name", nargs="?", default="", help="part of a sabotage's name")
    options = parser.parse_args(arguments)
    chosen = [each for each in SABOTAGES if options.name in each.what]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = copy_of_checkout(pathlib.Path(name))
        sources = [each.source() for each in chosen]
        passed, output = results(folder, sorted({each.test for each in chosen}))
        if not passed:
            sys.exit(f"{output}\nThese tests do not pass without a sabotage.")
        for sabotage, (before, after) in zip(chosen, sources):
            (folder / sabotage.file).write_text(after, "utf-8")
            _, output = results(folder, [sabotage.test])
            (folder / sabotage.file).write_text(before, "utf-8")
            noticed = f"FAILED {sabotage.test}" in output
            by = sabotage.test.rpartition("::")[2] if noticed else ""
            rows.append(table.Row(sabotage.what, 1, int(noticed), by))
            print(rows[-1].markdown(NAME), end="", file=sys.stderr, flush=True)
    table.report(NAME, rows, options.write)


if __name__ == "__main__":
    main()
