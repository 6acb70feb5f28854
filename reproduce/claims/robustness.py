"""When does depth accelerate? And what the authors said of it in a talk."""

import numpy as np

from reproduce.claims import judge, not_run

COMMAND = "python -m reproduce.robustness"
PAPER = "Section 8; the variants are ours"
TALK = "the authors' talk"
ENOUGH = 1.1  # times sooner: less is no acceleration


def verdicts(records):
    """All verdicts, from the `reproduce.records.Record`s of the folder."""
    by_panel = {record.panel: record for record in records}
    return [
        *(_accelerates(by_panel, p) for p in (2, 4, 6)),
        _grows_with_the_condition_number(by_panel),
        _four_layers_are_slow(by_panel),
    ]


def speedups(record, depth):
    """How many times sooner than depth 1 (its median) each seed gets there.

    0 if it never does, infinite if only depth 1 never does.
    """
    single = np.median([np.inf if t is None else t for t in record.results["iterations"]["1"]])
    found = record.results["iterations"].get(str(depth), [None])
    return np.array([0.0 if t is None else single / t for t in found])


def table(records):
    """A row for each problem, with a plain word on it."""
    rows = []
    for record in records:
        row = {"problem": record.panel, "loss": f"{record.results['level']:.3g}"}
        for depth, times in record.results["iterations"].items():
            finite = sorted(t for t in times if t is not None)
            median = np.median([np.inf if t is None else t for t in times])
            rate = record.results["rates"][depth]
            text = "never" if np.isinf(median) else f"{median:.0f} ({finite[0]:.0f} to "
            if np.isfinite(median):
                text += f"{finite[-1]:.0f}" if len(finite) == len(times) else "never"
                text += ")"
            row[f"depth {depth}"] = f"{text} at {rate:g}"
        row["depth accelerates"] = _word(record)
        rows.append(row)
    return rows


def _word(record):
    medians = {depth: np.median(speedups(record, depth)) for depth in (2, 3)}
    depth = max(medians, key=medians.get)
    if medians[depth] < ENOUGH:
        return "no" if medians[depth] > 1 / ENOUGH else f"no: {medians[depth]:.2f} times at best"
    return f"{medians[depth]:.1f} times, depth {depth}"


def _accelerates(by_panel, p):
    expected_to = p > 2
    statement = (
        f"For p = {p} depth accelerates, whatever the data"
        if expected_to
        else f"For p = {p} depth does not accelerate, whatever the data"
    )
    found = {
        name.removesuffix(f" l{p}"): max(np.median(speedups(record, d)) for d in (2, 3))
        for name, record in by_panel.items()
        if name.endswith(f" l{p}") and not name.startswith("condition")
    }
    if len(found) < 2:
        return not_run(statement, PAPER, COMMAND)
    accelerated = [ratio >= ENOUGH for ratio in found.values()]
    return judge(
        statement,
        PAPER,
        f"the better of depth 2 and 3 {'at least' if expected_to else 'less than'} {ENOUGH} times "
        "sooner on each",
        ", ".join(f"{name} {ratio:.2f} times" for name, ratio in found.items())
        + f" ({_seeds(by_panel)})",
        all(accelerated) if expected_to else not any(accelerated),
    )


def _grows_with_the_condition_number(by_panel):
    statement = "The more ill-conditioned the problem, the greater the advantage (p = 4)"
    family = {
        float(name.split()[0].removeprefix("condition_")): record
        for name, record in by_panel.items()
        if name.startswith("condition_")
    }
    if len(family) < 2:
        return not_run(statement, TALK, COMMAND)
    ratios = [max(np.median(speedups(family[c], d)) for d in (2, 3)) for c in sorted(family)]
    return judge(
        statement,
        TALK,
        "from each condition number to the next at least as many times sooner, and more at the end",
        ", ".join(f"{ratio:.2f} times at {c:.0e}" for c, ratio in zip(sorted(family), ratios))
        + f" ({_seeds(by_panel)})",
        ratios == sorted(ratios) and ratios[-1] > ratios[0],
    )


def _four_layers_are_slow(by_panel):
    statement = "From 3 to 4 layers near zero it becomes much slower"
    found = [
        (record, np.median(speedups(record, 3)), np.median(speedups(record, 4)))
        for name, record in by_panel.items()
        if "4" in record.results["rates"]
    ]
    if not found:
        return not_run(statement, TALK, COMMAND)
    return judge(
        statement,
        TALK,
        "at least twice as many iterations, for each p",
        ", ".join(
            f"{record.panel}: {three / four:.1f} times as many"
            if four
            else f"{record.panel}: never within {record.settings['steps']}"
            for record, three, four in found
        )
        + f" ({_seeds(by_panel)})",
        all(three >= 2 * four for _, three, four in found),
    )


def _seeds(by_panel):
    count = len(next(iter(by_panel.values())).results["iterations"]["1"])
    return f"medians of {count} seeds"
