"""The guide's numbers on when overparameterization pays are those that the verdicts measured."""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# The guide's words; the figure; the statement of a verdict, or what a paragraph has; the words of
# either, with the same numbers.
SAME = [
    (
        "ends with {a} times sooner with two layers and {b} times with three, each at its best "
        "learning rate, and {c} and {d} times sooner than one layer at a rate that {e} of {f} "
        "starts survive",
        "figure3",
        "For l4 loss depth accelerates",
        "is reached {a} and {b} times sooner by depth 2 and 3; depth 1's {} at {}, which {e} of "
        "{f} starts survive, is reached {c} and {d} times sooner",
    ),
    (
        "depth hinders ({b} and {c} at the end against {a})",
        "figure3",
        "For l2 loss depth leads",
        "1-layer {a} at {}, 2-layer {b} at {}, 3-layer {c} at {}",
    ),
    (
        "With Adam in place of gradient descent it is {a} times sooner",
        "figure4_right",
        "Adam with depth",
        "reached {a} times sooner",
    ),
    (
        "beats gradient descent on three ({b} against {a}, within a million iterations)",
        "figure4_left",
        "Depth 3 outperforms AdaDelta, within a million iterations",
        "GD 3-layer {a} at {}, AdaDelta 1-layer {b} at",
    ),
    (
        "({a} times at a hundred, {b} at a million",
        "robustness",
        "The larger the condition number",
        "{a} times at 1e+02, to {}, {} times at 1e+04, to {}, {b} times at 1e+06",
    ),
    (
        "Of {b} regression tasks, each depth at its best rate, depth does not accelerate on {a} "
        "for p = 2",
        "robustness",
        "Task by task, depth does not accelerate for p = 2",
        "on {a} of {b} tasks",
    ),
    (
        "and does on {a} for p = 4",
        "robustness",
        "Task by task, depth accelerates for p = 4",
        "on {a} of",
    ),
    (
        "and on {a} for p = 6",
        "robustness",
        "Task by task, depth accelerates for p = 6",
        "on {a} of",
    ),
    (
        "kurtosis is {a}, and with resampled tasks -{b} to {c}.",
        "robustness",
        "The speed-up by depth rises with the kurtosis",
        "rho is {a} (-{b} to {c})",
    ),
    (
        "final training loss {a} times sooner",
        "figure5_right",
        "Optimization has accelerated considerably",
        "final loss is reached {a} times sooner",
    ),
    (
        "it ends at {b} instead of {a}. The fit",
        "figure5_right",
        "What falls faster than the original's is the L2 term",
        "at the end: original {a}, overparameterized {b};",
    ),
    (
        "the test error at {b} % instead of {a} %",
        "figure5_right",
        "What falls faster than the original's is the L2 term",
        "test error {a} and {b} %",
    ),
    (
        "the cross-entropy, ends at {b} instead of {a}",
        "figure5_right",
        "The fit to the data",
        "of the original's last epoch, {a}, is reached in epoch {}; in the last it is {b} (",
    ),
    (
        "the cross-entropy of the last epoch is {b} instead of {a}",
        "figure5_right",
        "Without L2 overparameterization speeds up",
        "of the original's last epoch, {a}, is reached in epoch {}; in the last it is {b} (",
    ),
    (
        "with batch normalization, it is {a} times lower",
        "figure5_right",
        "Other convolutional networks speed up",
        "in the first epoch, {a} times in the last",
    ),
    (
        "{a} times sooner in steps, where up to {b} comes by chance",
        "networks",
        "With SGD and momentum, factors reach the plain network's validation loss in fewer steps",
        "mlp {a} ({} to {}), by chance up to {b}",
    ),
    (
        "but {a} times as soon by the clock",
        "networks",
        "With SGD and momentum, factors reach the plain network's validation loss in fewer seconds",
        "mlp {a} ({} to {}), by",
    ),
    (
        "under Adam the loss ends {a} times lower with them",
        "networks",
        "**Factors**",
        "last validation loss: lower on the MLP (SGD {}, Adam {a})",
    ),
    (
        "lowest rate that both were tried with, it does so {a} times, in the median over all "
        "networks, optimizers and methods, and {b} times with each",
        "networks",
        "Is it the rate?",
        "is lower with the method in {}, of which the ratio is {a} there and {b} with each at its "
        "own (the most",
    ),
    (
        "On a small GPT factors reach it {a} times as soon under SGD (chance: {b})",
        "networks",
        "With SGD and momentum, factors reach the plain network's validation loss in fewer steps",
        "gpt {a} ({} to {}), by chance up to {b};",
    ),
    (
        "normalization, they reach it {a} times as soon under SGD (chance: {b})",
        "networks",
        "With SGD and momentum, factors reach the plain network's validation loss in fewer steps",
        "residual_convnet {a} ({} to {}), by chance up to {b} (times",
    ),
    (
        "and {a} times under Adam (chance: {b})",
        "networks",
        "With Adam, factors reach the plain network's validation loss in fewer steps",
        "residual_convnet {a} ({} to {}), by chance up to {b} (times",
    ),
    (
        "the MLP ({a} times) and on the tutorial's ConvNet ({b} times with its penalty, {c} "
        "without)",
        "networks",
        "**Factors**",
        "last test loss: lower on the MLP (SGD {a}, Adam {}) and the tutorial's ConvNet (SGD {b}) "
        "and the ConvNet without L2 (SGD {c});",
    ),
    (
        "plain SGD {a} times sooner with Adam and {b} times with Muon",
        "networks",
        "Or another optimizer?",
        "The GPT: at the target of plain SGD plain Adam is {a} times sooner in steps, {} by the "
        "clock and plain Muon is {b} times",
    ),
    (
        "that of the plain network {a} times sooner in steps and",
        "networks",
        "Is it the penalty?",
        "SGD and momentum: training loss {a} (sooner) with the penalty",
    ),
    (
        "and {a} by the clock",
        "networks",
        "Our advice:",
        "by the clock for factors on the tutorial's ConvNet with SGD ({a} times)",
    ),
    (
        "without a penalty {a} times sooner in steps.",
        "networks",
        "Is it the penalty?",
        "SGD and momentum: {} with the penalty, {a} (sooner) without; validation",
    ),
    (
        "standard deviation of {a} the",
        "figure5_right",
        "Whatever the initial std",
        "std {a}: {}, std 0.01:",
    ),
    (
        "ConvNet is at {b} after {a} iterations, no better than guessing; from {c} it diverges",
        "figure5_right",
        "Whatever the initial std",
        "after {a} iterations: {} std 0.001: {b}, {} std {c} diverges",
    ),
]
# The same for the smallest and the largest of several numbers.
RANGES = [
    ("has {low} to {high} of the speed of one for p = 2", "robustness", "For p = 2", "{a} times"),
    ("is {low} to {high} times faster for p = 4", "robustness", "For p = 4", "{a} times"),
    (", {low} to {high} times for p = 6", "robustness", "For p = 6", "{a} times"),
    (
        "nothing is gained: {low} to {high} of the loss",
        "figure5_right",
        "With L2 on",
        "{a} of the original's at the end",
    ),
]


def find(words, text):
    """Every place of `words` in a text: matches with a group for each `{name}`."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+(?:\\.\\d+)?)", re.escape(words))
    return list(re.finditer(pattern.replace(r"\{\}", ".*?"), text))


def measured(figure, statement):
    """What was measured for the verdicts with this in their statements, and paragraphs with it."""
    summary = (ROOT / "results" / figure / "summary.json").read_text(encoding="utf-8")
    found = json.loads(summary)
    of_verdicts = [v["measured"] for v in found["verdicts"] if statement in v["statement"]]
    return "\n".join([*of_verdicts, *(each for each in found.get("said", []) if statement in each)])


def falsehoods(section):
    """What the section says and no verdict does: words and numbers."""
    text, true, false = " ".join(section.split()), set(), []
    for words, figure, statement, source in [*SAME, *RANGES]:
        said = find(words, text)
        found = [match.groupdict() for match in find(source, measured(figure, statement))]
        if "{low}" in words:
            values = sorted((each["a"] for each in found), key=float)
            found = [{"low": values[0], "high": values[-1]}]
        if len(said) == 1 and found and all(said[0].groupdict() == each for each in found):
            true |= {said[0].start(name) for name in said[0].groupdict()}
        else:
            false.append(words)
    decimals = [number for number in re.finditer(r"\d+\.\d+", text)]
    return false + [number[0] for number in decimals if number.start() not in true]


@pytest.fixture(scope="module")
def section():
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    return guide[guide.index("## 6. When it pays") : guide.index("## 7.")]


def test_the_numbers_are_those_of_the_verdicts(section):
    assert falsehoods(section) == []


def test_any_other_number_is_noticed(section):
    numbers = list(re.finditer(r"\d+\.\d+", section))
    assert len(numbers) > 30
    for number in numbers:
        last = str((int(number[0][-1]) + 1) % 10)
        other = section[: number.end() - 1] + last + section[number.end() :]
        assert falsehoods(other) != [], number[0]
