"""Find and check the data of the experiments, and let TFDS prepare its copies."""

import argparse
from collections.abc import Callable
import functools
import sys

from reproduce import data
from reproduce.data.regression import TASKS
from reproduce.harness import cli
from reproduce.harness.errors import DataError
from reproduce.harness.process import import_tensorflow

LOADERS: dict[str, Callable] = {
    "mnist": data.load_mnist,
    "ethanol": data.load_ethanol,
    "tiny_shakespeare": data.load_tiny_shakespeare,
    **{name: functools.partial(data.load_regression, name) for name in TASKS},
    "fashion_mnist": data.load_fashion_mnist,
}
ELSEWHERE = ("elevators", "pol", "fashion_mnist")  # not in the repository


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status, 2 after a `DataError`."""
    parser = argparse.ArgumentParser(prog="python -m reproduce.data", description=__doc__)
    parser.add_argument(
        "--only",
        choices=LOADERS,
        metavar="NAME",
        help=f"one of {', '.join(LOADERS)} (default: all but {', '.join(ELSEWHERE)}, which are not "
        "in the repository)",
    )
    parser.add_argument(
        "--data-dir", type=cli.path, help="folder to look in first (default: that of TFDS)"
    )
    options = parser.parse_args(arguments)
    with cli.reported_errors(arguments, cli.REPEATABLE):
        import_tensorflow()
        return _load(options)


def _load(options: argparse.Namespace) -> int:
    status = 0
    names = [options.only] if options.only else [each for each in LOADERS if each not in ELSEWHERE]
    for name in names:
        try:
            dataset = LOADERS[name](options.data_dir)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        print(dataset.description)
        print(f"read from {dataset.location}")
        print(f"fingerprint {dataset.fingerprint}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
