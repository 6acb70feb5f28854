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
whose learning rate is the next larger number that float32 has; of a ConvNet {convnet_margin} times
what {starts} runs show, whose initial values are moved by {sum_bits:.0e}, as a long sum is by its
rounding. Points at which that makes more than {largest:.0%} are chaotic: they are counted, not
compared. On a machine like that of the results, few curves need it.

Everything runs in one thread: how many there are decides the order of sums.
"""

from reproduce.harness import cli

cli.quiet_tensorflow()

import argparse  # noqa: E402
import dataclasses  # noqa: E402
import pathlib  # noqa: E402
import sys  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from reproduce import prefixes  # noqa: E402
from reproduce.harness.errors import UsageError  # noqa: E402
from reproduce.prefixes import ROUNDED  # noqa: E402

RESULTS = pathlib.Path(__file__).parent.parent / "results"
ITERATIONS = 100
CONVNET_ITERATIONS = 40  # each costs as much as thousands of the others
LARGEST = 0.5
LINE = "{:<15}{:<21}{:>7}{:>8}{:>9}{:>15}{:>11}  {}"


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
        """Compare one more curve, a `prefixes.Prefix`."""
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
            margin=prefixes.MARGIN,
            convnet_margin=prefixes.CONVNET_MARGIN,
            starts=prefixes.STARTS,
            sum_bits=prefixes.SUM_BITS,
            largest=LARGEST,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"of {', '.join(prefixes.FIGURES)} (default: all)",
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
        help="where the data is: a TensorFlow Datasets folder, or the original files "
        "(default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add("--mnist-dir", type=cli.path, metavar="DIR", help="where MNIST is, if elsewhere")
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
        unknown = set(options.figures) - set(prefixes.FIGURES)
        if unknown:
            raise UsageError(
                f"{', '.join(sorted(unknown))}: no figure of {', '.join(prefixes.FIGURES)}."
            )
        if options.iterations is not None and options.iterations < 1:
            raise UsageError(f"--iterations must be positive, not {options.iterations}.")
        off = verify(options)
    if off:
        print("\nOff: " + ", ".join(off))
        sys.exit(1)


def verify(arguments):
    """Print a line for each panel; return the names of the curves that are off."""
    sources = prefixes.Sources(
        arguments.results, arguments.data_dir, arguments.mnist_dir or arguments.data_dir
    )
    header = ("figure", "panel", "curves", "points", "chaotic", "worst deviation", "tolerance", "")
    print(LINE.format(*header), flush=True)
    off = []
    for figure in arguments.figures or prefixes.FIGURES:
        default = CONVNET_ITERATIONS if figure == "figure5_right" else ITERATIONS
        panels: dict = {}
        for prefix in prefixes.recomputed(
            figure,
            sources,
            arguments.iterations or default,
            lambda what, total: cli.progress_bar(arguments, f"{figure}, {what}", total),
        ):
            panels.setdefault(prefix.panel, Panel()).add(prefix)
        for name, panel in panels.items():
            counts = (figure, name, panel.curves, panel.points, panel.chaotic)
            worst = (f"{panel.deviation:.1e}", f"{panel.tolerance:.1e}")
            print(LINE.format(*counts, *worst, "OFF" if panel.off else "ok"), flush=True)
            off += [f"{figure} {name} {curve}" for curve in panel.off]
    return off


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main()
