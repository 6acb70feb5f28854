"""When does depth accelerate? And what the authors said of it in a talk."""

import numpy as np

from reproduce.harness.curves import iterations_to
from reproduce.claims import OPEN, QUESTION, REMARK, judge, not_run, select

COMMAND = "python -m reproduce.robustness"
PAPER = "Section 8; the variants are ours"
TALK = "the authors' talk"
OURS = "our question"
COMPARABLE = 10  # between the lowest and the highest loss that iterations are counted to
ENOUGH = 1.1  # times sooner: less is no acceleration
PLATEAU = 0.5  # of the loss at zero: above it a run has not left where it started
FLOOR = 1e-6  # of the loss at zero: below it, float32 decides how far a run gets


def verdicts(records):
    """All verdicts, from the `reproduce.harness.records.Record`s of the folder."""
    return [
        *(_accelerates(records, p) for p in (2, 4, 6)),
        _grows_with_the_condition_number(records),
        _four_layers_are_slow(records),
    ]


def curve_name(depth, seed):
    """Of a run's curve in the record of its problem."""
    return f"depth {depth}, seed {seed}"


def end(curve, steps):
    """The last distance from the optimum; infinite if the run diverged before `steps`."""
    return curve[-1][1] if curve[-1][0] == steps else np.inf


def compare(record, deep, shallow=1):
    """Iterations of two depths to a loss that both reach.

    The loss is what nine in ten runs of each reach, of those that neither diverge nor are still
    near where they started.

    Returns:
        `(level, iterations of the shallow runs, of the deep ones)`, arrays with a number a seed;
        infinite where a run never gets there.
    """
    groups = [
        [record.curves[curve_name(depth, seed)] for seed in record.results["seeds"]]
        for depth in (shallow, deep)
    ]
    level = FLOOR * record.results["at_zero"]
    for group in groups:
        ends = [end(curve, record.settings["steps"]) for curve in group]
        moved = [each for each in ends if each < PLATEAU * record.results["at_zero"]]
        if moved:
            level = max(level, np.quantile(moved, 0.9, method="higher"))
    return level, *(np.array([iterations_to(c, level) for c in group]) for group in groups)


def speedups(record, depth):
    """How many times sooner each seed gets there than the median of depth 1's that do; 0: never.

    Infinite if none of depth 1 does.
    """
    _, single, deep = compare(record, depth)
    arrived = single[np.isfinite(single)]
    return np.median(arrived) / deep if len(arrived) else np.where(np.isfinite(deep), np.inf, 0.0)


def best(record):
    """The better of depth 2 and 3, and its speedup, median over the seeds."""
    medians = {depth: np.median(speedups(record, depth)) for depth in (2, 3)}
    depth = max(medians, key=lambda depth: medians[depth])
    return depth, medians[depth]


def table(records):
    """A row for each problem, with a plain word on it."""
    return [
        {
            "problem": record.panel,
            **{f"depth {depth}": _cell(record, depth) for depth in (2, 3, 4)},
            "depth accelerates": _word(record),
        }
        for record in records
    ]


def _cell(record, depth):
    rates = record.results["rates"]
    if str(depth) not in rates:
        return ""
    level, single, deep = compare(record, depth)
    median = np.median(speedups(record, depth))
    low, middle, high = np.quantile(deep, (0.1, 0.5, 0.9), method="nearest")
    took = "never" if np.isinf(middle) else f"{middle:.0f} ({low:.0f} to {_number(high)})"
    arrived = single[np.isfinite(single)]
    theirs = f"{np.median(arrived):.0f}" if len(arrived) else "never"
    return (
        f"{median:.2f}: {took} at {rates[str(depth)]:g}, depth 1 {theirs} at {rates['1']:g}"
        f"{_lost(record)}, to {level:.3g}"
    )


def _number(iterations):
    return f"{iterations:.0f}" if np.isfinite(iterations) else "never"


def _lost(record):
    """How many runs of depth 1 diverge, if any."""
    seeds, steps = record.results["seeds"], record.settings["steps"]
    lost = sum(np.isinf(end(record.curves[curve_name(1, seed)], steps)) for seed in seeds)
    return f" ({lost} of depth 1's {len(seeds)} runs diverge)" if lost else ""


def _word(record):
    depth, ratio = best(record)
    if ratio < ENOUGH:
        return "no" if ratio > 1 / ENOUGH else f"no: {ratio:.2f} times at best"
    return f"{ratio:.1f} times, depth {depth}"


def _accelerates(records, p):
    expected_to = p > 2
    statement = (
        f"For p = {p} depth accelerates, whatever the data"
        if expected_to
        else f"For p = {p} depth does not accelerate, whatever the data"
    )
    found = {
        record.settings["problem"]: record for record in select(records, p=p, condition_number=None)
    }
    if len(found) < 2:
        return not_run(statement, PAPER, COMMAND, QUESTION)
    accelerated = [best(record)[1] >= ENOUGH for record in found.values()]
    return judge(
        statement,
        PAPER,
        f"the better of depth 2 and 3 {'at least' if expected_to else 'less than'} {ENOUGH} times "
        "sooner on each",
        ", ".join(f"{n} {best(r)[1]:.2f} times{_lost(r)}" for n, r in found.items())
        + f" ({_seeds(records)})",
        all(accelerated) if expected_to else not any(accelerated),
        QUESTION,
    )


def _grows_with_the_condition_number(records):
    """The talk's statement is on coordinates of the answer: Section 7, `reproduce.theory`."""
    statement = "The larger the condition number of X'X, the greater the advantage (p = 4)"
    family = {
        record.settings["condition_number"]: record
        for record in records
        if record.settings["condition_number"] is not None
    }
    if len(family) < 2:
        return not_run(statement, OURS, COMMAND, QUESTION)
    found = {c: best(family[c]) for c in sorted(family)}
    levels = [
        compare(family[c], depth)[0] / family[c].results["at_zero"]
        for c, (depth, _) in found.items()
    ]
    ratios = [ratio for _, ratio in found.values()]
    grows = ratios == sorted(ratios) and ratios[-1] > ratios[0]
    comparable = max(levels) <= COMPARABLE * min(levels)
    return judge(
        statement,
        OURS,
        "from each condition number to the next at least as many times sooner, and more at the "
        f"end; to losses that differ by no more than {COMPARABLE} times",
        ", ".join(
            f"{ratio:.2f} times at {c:.0e}, to {level:.0e} of the loss at zero{_lost(family[c])}"
            for (c, (_, ratio)), level in zip(found.items(), levels)
        )
        + f" ({_seeds(records)})",
        grows if comparable else OPEN,
        QUESTION,
    )


def _four_layers_are_slow(records):
    statement = "From 3 to 4 layers near zero it becomes much slower"
    found = {
        record.panel: [np.median(times) for times in compare(record, 4, shallow=3)[1:]]
        for record in records
        if "4" in record.results["rates"]
    }
    if not found:
        return not_run(statement, TALK, COMMAND, REMARK)
    return judge(
        statement,
        TALK,
        "at least twice as many iterations, for each p",
        ", ".join(
            f"{name}: {four / three:.1f} times as many"
            if np.isfinite(four)
            else f"{name}: never, where depth 3 takes {_number(three)}"
            for name, (three, four) in found.items()
        )
        + f" ({_seeds(records)})",
        all(np.isfinite(three) and four >= 2 * three for three, four in found.values()),
        REMARK,
    )


def _seeds(records):
    count = len(records[0].results["seeds"])
    return f"medians of {count} seeds"
