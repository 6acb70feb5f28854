"""Find, check and if need be prepare the data of the experiments."""

import argparse
from collections.abc import Callable
import sys

from reproduce.harness import cli
from reproduce.data import load_ethanol, load_mnist
from reproduce.harness.errors import DataError

cli.quiet_tensorflow()

LOADERS: dict[str, Callable] = {"mnist": load_mnist, "ethanol": load_ethanol}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status, 2 after a `DataError`."""
    parser = argparse.ArgumentParser(prog="python -m reproduce.data", description=__doc__)
    add = parser.add_argument
    add("--only", choices=LOADERS, help="one data set only (default: all)")
    add("--data-dir", type=cli.path, help="folder with the data (default: that of TFDS)")
    add("--data", choices=("auto", "real", "stand-in"), default="auto")
    options = parser.parse_args(arguments)
    with cli.reported_errors(interrupted=cli.REPEATABLE):
        return _load(options)


def _load(options: argparse.Namespace) -> int:
    status = 0
    for name in [options.only] if options.only else LOADERS:
        try:
            dataset = LOADERS[name](options.data_dir, options.data)
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        print(dataset.description)
        print(f"read from {dataset.location}")
        print(f"fingerprint {dataset.fingerprint}")
    return status


if __name__ == "__main__":
    sys.exit(main())
