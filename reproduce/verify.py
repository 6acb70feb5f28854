"""Recompute the start of every committed curve, and compare.

    python -m reproduce.verify                       all figures
    python -m reproduce.verify figure3 robustness    these alone
    python -m reproduce.verify --iterations 1000     more of each curve
    python -m reproduce.verify --results runs        the results of your own figure2, figure3, ...

Prints a line for each panel, and exits with 1 if a curve is off: if one of its points differs from
the committed value by more than its tolerance, or none can be compared. The tolerance is half a
unit of the six digits that are kept, and, for the curves that miss this, what rounding in another
order may do: a multiple of the largest change that the curve has seen, up to this point, when its
numbers were changed a little. Of a linear network that is {margin} times what one more run shows,
whose learning rate is the next larger number of its precision; of a ConvNet {convnet_margin} times
what {starts} runs show, whose initial values are moved by {sum_bits:.0e}, as a long sum is by its
rounding. Points at which that makes more than {largest:.0%} are chaotic: they are counted, not
compared. On a machine like that of the results, few curves need it.

Everything runs in one thread: how many there are decides the order of sums.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import os
import sys

import numpy as np
from tqdm import tqdm

from reproduce.harness import cli, config
from reproduce.harness.errors import ConfigError, DataError, RecordsError, UsageError
from reproduce.harness.prefix import ROUNDED, Prefix
from reproduce.harness.records import read_records
from reproduce.harness.process import import_tensorflow
from reproduce.linear_networks import verification as networks
from reproduce.mnist_convnet import verification as convnets

RESULTS = cli.ROOT / "results"
ITERATIONS = 100
CONVNET_ITERATIONS = 40  # each costs as much as thousands of the others
LARGEST = 0.5
REGRESSION = (
    "figure2",
    "figure3",
    "figure4_left",
    "figure4_right",
    "figure5_left",
    "horizon",
)
FIGURES = ("figure1", *REGRESSION, "figure5_right", "robustness")
LINE = "{:<15}{:<21}{:>7}{:>8}{:>9}{:>17}{:>11}  {}"


@dataclasses.dataclass
class Panel:
    """What was found in a panel's curves.

    Attributes:
        curves: How many.
        points: How many were compared.
        chaotic: How many were not.
        deviation, tolerance: Of the point that came closest to its tolerance, or exceeded it most.
        off: Names of the curves that are off.
    """

    curves: int = 0
    points: int = 0
    chaotic: int = 0
    deviation: float = 0.0
    tolerance: float = ROUNDED
    off: list = dataclasses.field(default_factory=list)

    def add(self, prefix):
        """Compare one more curve, a `Prefix`."""
        deviations = prefix.deviations()
        allowed = ROUNDED + np.maximum.accumulate(prefix.rounding)
        compared = allowed <= LARGEST
        self.curves += 1
        self.points += int(compared.sum())
        self.chaotic += int((~compared).sum())
        # A curve of which nothing can be compared is not verified.
        if not compared.any() or np.any(deviations[compared] > allowed[compared]):
            self.off.append(prefix.name)
        for deviation, tolerance in zip(deviations[compared], allowed[compared]):
            if deviation / tolerance > self.deviation / self.tolerance:
                self.deviation, self.tolerance = float(deviation), float(tolerance)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m reproduce.verify",
        description=__doc__.format(
            margin=networks.MARGIN,
            convnet_margin=convnets.MARGIN,
            starts=convnets.STARTS,
            sum_bits=convnets.SUM_BITS,
            largest=LARGEST,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"of {', '.join(FIGURES)} (default: all)",
    )
    add(
        "--iterations",
        type=int,
        metavar="N",
        help=f"of each curve (default: {ITERATIONS}, of Figure 5 (right) {CONVNET_ITERATIONS})",
    )
    add(
        "--data-dir",
        type=cli.path,
        metavar="DIR",
        help="where the data is, if not in this checkout: a TensorFlow Datasets folder, or the "
        "original files (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--results",
        type=cli.path,
        default=RESULTS,
        metavar="DIR",
        help="folder of the figures' results folders (default: the committed ones)",
    )
    add("--quiet", action="store_true", help="print the results only")
    options = parser.parse_args(arguments)
    with cli.reported_errors(arguments, cli.REPEATABLE):
        unknown = set(options.figures) - set(FIGURES)
        if unknown:
            raise UsageError(f"{', '.join(sorted(unknown))}: no figure of {', '.join(FIGURES)}.")
        if options.iterations is not None and options.iterations < 1:
            raise UsageError(f"--iterations must be positive, not {options.iterations}.")
        import_tensorflow()
        off = verify(options)
    if off:
        print("\nOff: " + ", ".join(off))
        sys.exit(1)


def verify(arguments):
    """Print a line for each panel as it is done; return the names of the curves that are off."""
    header = ("figure", "panel", "curves", "points", "chaotic", "worst deviation", "tolerance", "")
    print(LINE.format(*header).rstrip(), flush=True)
    off = []
    for figure in arguments.figures or FIGURES:
        for prefixes in recomputed(figure, arguments):
            panels: dict = {}
            for prefix in prefixes:
                panels.setdefault(prefix.panel, Panel()).add(prefix)
            for name, panel in panels.items():
                counts = (figure, name, panel.curves, panel.points, panel.chaotic)
                worst = (f"{panel.deviation:.1e}", f"{panel.tolerance:.1e}")
                print(LINE.format(*counts, *worst, "OFF" if panel.off else "ok"), flush=True)
                off += [f"{figure} {name} {curve}" for curve in panel.off]
    return off


def recomputed(figure, arguments):
    """Recompute the start of every curve of a figure, one of `FIGURES`.

    Yields:
        Lists of `Prefix`: all that there are of a panel, or of several.

    Raises:
        RecordsError: If there are no results.
        DataError: If the data that they were made from is not to be had.
    """
    folder = arguments.results / figure
    bar = functools.partial(_bar, arguments)
    if figure == "figure1":
        yield _integrals(folder)
    elif figure == "figure5_right":
        yield _convnets(folder, arguments, bar)
    else:
        yield from _networks(folder, arguments, bar)


def _networks(folder, arguments, bar):
    from reproduce import data
    from reproduce.speedups import problems

    finished = sorted(_records(folder), key=lambda record: record.panel)
    with bar(f"{folder.name}: the data", None):
        dataset = data.load_ethanol(arguments.data_dir)
    for panel, records in itertools.groupby(finished, key=lambda record: record.panel):
        group = list(records)
        task, settings = dataset, group[0].settings
        if "problem" in settings:
            names = settings["problem"], settings["condition_number"]
            if not problems.is_there(names[0], arguments.data_dir):
                print(f"{folder.name}, {panel}: not compared; --data-dir has no {names[0]}.")
                continue
            task = problems.task(*names, dataset, arguments.data_dir)
        _check_data(group, task, folder)
        yield networks.prefixes(
            [curve for record in group for curve in networks.recorded(record)],
            task,
            arguments.iterations or ITERATIONS,
            lambda what, total: bar(f"{folder.name}, {panel}: {what}", total),
        )


def _convnets(folder, arguments, bar):
    from reproduce import data

    finished = _records(folder)
    half_window = _identity(folder)["config"]["half_window"]
    with bar(f"{folder.name}: the data", None):
        dataset = data.load_mnist(arguments.data_dir)
    _check_data(finished, dataset, folder)
    found = []
    for number, record in enumerate(finished, 1):
        found += convnets.prefixes(
            record,
            half_window,
            dataset,
            arguments.iterations or CONVNET_ITERATIONS,
            lambda what, total: bar(f"{folder.name}, {number} of {len(finished)}: {what}", total),
        )
    return found


def _bar(arguments, description, total):
    """What is being done, on a terminal, for as long as it is."""
    hide = arguments.quiet or not sys.stderr.isatty()
    return tqdm(
        total=total, desc=description, unit="it", disable=hide, dynamic_ncols=True, leave=False
    )


def _records(folder):
    finished = read_records(folder)
    if not finished:
        raise RecordsError(f"{folder} holds no results.")
    return finished


def _identity(folder):
    try:
        return config.read(folder / "config.yaml")
    except ConfigError as error:
        raise RecordsError(f"{folder} holds no results: {error}.") from error


def _check_data(finished, dataset, folder):
    """Raise a DataError unless the records were made from this data."""
    for record in finished:
        # The oldest do not say, only their folder does.
        made_from = record.provenance.get("data") or _identity(folder)["data"]
        if made_from["fingerprint"] != dataset.fingerprint:
            raise DataError(
                f"{dataset.description}, from {dataset.location}, is not the data that "
                f"{record.name} was made from."
            )


def _integrals(folder):
    """Of Figure 1, which has no iterations: everything."""
    from reproduce import figure1

    path = folder / "summary.json"
    try:
        (rows,) = json.loads(path.read_text(encoding="utf-8"))["tables"].values()
    except (OSError, ValueError, KeyError) as error:
        raise RecordsError(f"{folder} holds no results: {error}.") from error
    found = [figure1.integrals(row["N"]) for row in rows]
    for arc in (name for name in rows[0] if name.startswith("arc")):
        committed, again = ([(row["N"], row[arc]) for row in table] for table in (rows, found))
        yield Prefix.of("integral over Gamma", arc, committed, again)


if __name__ == "__main__":
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    main()
