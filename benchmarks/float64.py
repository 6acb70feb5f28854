"""The curves for p = 2 in float64 next to those that were committed before, in float32.

    python benchmarks/float64.py [--before COMMIT]

Writes tables of docs/linear_networks.md: from `results/` and git's history; and of the stable run
that has changed most, computed once more by a loop in NumPy that goes through all examples, in
float64 and in float32 (ten minutes).
"""

import argparse
import collections
import io
import pathlib
import subprocess
import tarfile
import tempfile

import _checkout
import numpy as np

from reproduce import data
from reproduce.harness.records import read_records, rebuilt
from reproduce.linear_networks import Run, initial_factors
from reproduce.linear_networks.exact import optimum

FIGURES = ("figure2", "figure3")
LEFT = 0.99  # of the loss at zero: below it a run has left the plateau
WANTED = 2e-3


def records_of(folder):
    """From name to record, for p = 2."""
    found = [record for figure in FIGURES for record in read_records(folder / figure)]
    return {record.name: record for record in found if record.settings["p"] == 2}


def before(commit, folder):
    """Unpack the results of a commit, of those figures, into a folder."""
    paths = [f"results/{figure}/records" for figure in FIGURES]
    packed = subprocess.run(
        ["git", "archive", commit, *paths], cwd=_checkout.ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "results"


def gaps(old, new):
    """Of two records' curves after the plateau: a dict from iteration to |old - new| / new."""
    (panel,) = new.curves
    before, after = (dict(map(tuple, record.curves[panel])) for record in (old, new))
    level = LEFT * new.results["at_zero"]
    return {
        t: abs(before[t] - after[t]) / after[t]
        for t in after
        if t in before and max(before[t], after[t]) < level
    }


def rises(record):
    """Whether the loss rises between recorded points, after the plateau."""
    (curve,) = record.curves.values()
    values = np.array([v for _, v in curve if v < LEFT * record.results["at_zero"]])
    return bool(np.any(values[1:] > values[:-1]))


def largest_gap(old, new):
    """The largest of `gaps`; 0 if the run has not left the plateau."""
    return max(gaps(old, new).values(), default=0.0)


def stable(records):
    """The names of those that neither diverge nor rise."""
    kept = {name: each for name, each in records.items() if each.results["diverged_at"] is None}
    return [name for name, record in kept.items() if not rises(record)]


def comparison(old, new):
    """A row for each series: largest over its seeds."""
    series = collections.defaultdict(list)
    for name, record in new.items():
        series[record.panel, record.series].append((old[name], record))
    for (panel, name), pairs in series.items():
        found = [gaps(*pair) for pair in pairs]
        lost = [[record.results["diverged_at"] for record in pair] for pair in pairs]
        lost = [pair for pair in lost if pair != [None, None]]
        at, largest = max(
            (item for each in found for item in each.items()),
            key=lambda item: item[1],
            default=(None, None),
        )
        yield {
            "panel": panel,
            "curve": name,
            "seeds": len(pairs),
            "largest gap": "-" if lost else f"{largest or 0:.1e}",
            "in iteration": "-" if lost or at is None else at,
            "gap at the end": "-"
            if lost
            else f"{max((list(each.values())[-1] for each in found if each), default=0):.1e}",
            "loss rises": f"{sum(rises(record) for _, record in pairs)} of {len(pairs)}",
            "diverges at, before and now": ", ".join(f"{a} {b}" for a, b in sorted(lost)) or "-",
        }


def counts(old, new):
    """How many curves are how close."""
    never = stable(new)
    beyond = [n for n in new if n not in never and new[n].results["diverged_at"] is None]
    for what, chosen in (
        ("loss never rises", never),
        ("of these, laid over the paper's", [n for n in never if new[n].settings["plotted"]]),
        ("loss rises", beyond),
    ):
        values = [largest_gap(old[name], new[name]) for name in chosen]
        yield {
            "curves that do not diverge": what,
            "how many": len(values),
            f"within {WANTED:g}": sum(value <= WANTED for value in values),
            "within 1e-2": sum(value <= 1e-2 for value in values),
            "median gap": f"{np.median(values):.1e}",
            "largest gap": f"{max(values):.1e}",
        }


def alone(record, old, dataset, dtype):
    """The largest gaps between a NumPy loop over all examples and the records."""
    run = rebuilt(Run, record.settings)
    features, targets = dataset.features.astype(dtype), dataset.targets.astype(dtype)
    transposed = np.ascontiguousarray(features.T)
    _, least = optimum(dataset.features, dataset.targets, 2)
    first, *scalars = (f.astype(dtype) for f in initial_factors(run, features.shape[1]))
    w, scalars = first[:, 0], np.array([scalar[0, 0] for scalar in scalars])
    rate, share = dtype(run.learning_rate), dtype(2 / len(targets))
    curve = {}
    (points,) = record.curves.values()
    wanted = {t for t, _ in points}
    for t in range(record.settings["steps"] + 1):
        product = np.prod(scalars)
        if t in wanted:
            kernel = w.astype("float64") * np.prod(scalars.astype("float64"))
            residuals = dataset.features @ kernel - dataset.targets
            curve[t] = np.mean(residuals**2) - least
        slope = share * (transposed @ (features @ (w * product) - targets))
        others = np.array([np.prod(np.delete(scalars, j)) for j in range(len(scalars))], dtype)
        w, scalars = w - rate * product * slope, scalars - rate * (w @ slope) * others
    return {
        "run": record.name,
        "NumPy, all examples": np.dtype(dtype).name,
        **{
            f"largest gap to what is committed {when}": f"{_largest(curve, each):.1e}"
            for when, each in (("now", record), ("before", old))
        },
    }


def _largest(curve, record):
    (points,) = record.curves.values()
    return max(abs(curve[t] - value) / value for t, value in points)


def main():
    """Compare, compute and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default="66fde03", metavar="COMMIT")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = records_of(before(arguments.before, pathlib.Path(folder)))
    new = records_of(_checkout.ROOT / "results")
    plotted = [n for n in stable(new) if new[n].settings["plotted"]]
    name = max(plotted, key=lambda name: largest_gap(old[name], new[name]))
    dataset = data.load_ethanol()
    loops = [alone(new[name], old[name], dataset, dtype) for dtype in (np.float64, np.float32)]
    found = (counts(old, new), loops, comparison(old, new))
    tables = "\n\n".join(map(_checkout.table, found))
    _checkout.write("float64", tables)
    print(tables)


if __name__ == "__main__":
    main()
