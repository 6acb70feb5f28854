"""What `overparameterize` and the building of factorized layers take: seconds, and memory.

    python benchmarks/conversion.py [--cases NAME ...] [--rounds N] [--beside CHECKOUT] [--write]

Each measurement is made in a process of its own. `--beside` measures another checkout of this
repository too, as one of version 0.1.0 made by `git worktree add ../old 15d9fd2`, in turn with this
one, so that a change in the machine's speed meets both; times are medians, and the ratio is that of
the rounds' ratios. Memory is the peak of the process's memory during the conversion above that
before it (Linux only), relative to the size of the model's own weights: the factors, of which there
are more than there are weights, and what the decompositions, two at a time, work in. (The weights
themselves are there before, and are held until the factors have been checked.)
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
from _checkout import ROOT, table, write

PAGE = ROOT / "docs" / "supported.md"


def conversion(name):
    """A function that makes a model: what converts it, and the size of its weights in bytes."""

    def prepare():
        import inspect

        import keras

        from tfoverparam import overparameterize

        model = getattr(keras.applications, name)(weights=None)
        # Version 0.1.0 prints nothing, and cannot be told so.
        names = {"verbose"} & set(inspect.signature(overparameterize).parameters)
        return lambda: overparameterize(model, **dict.fromkeys(names, 0)), 4 * model.count_params()

    return prepare


def building(size, depth):
    """A function that makes a layer: what builds it, and the size of its kernel in bytes."""

    def prepare():
        from tfoverparam import FactorizedDense

        FactorizedDense(4).build((None, 4))  # what TensorFlow does the first time
        layer = FactorizedDense(size, depth=depth)
        return lambda: layer.build((None, size)), 4 * size**2

    return prepare


MODELS = ("ResNet50V2", "ConvNeXtTiny")
CASES = {
    **{name: conversion(name) for name in MODELS},
    "FactorizedDense, 2048 x 2048, depth 2": building(2048, 2),
    "FactorizedDense, 768 x 768, depth 8": building(768, 8),
}


def measure(name, checkout):
    """Print seconds, and the sizes of the weights and of the memory in MiB, of one case."""
    sys.path.insert(0, checkout)
    work, weights = CASES[name]()
    # The peak starts anew: making the model has had one of its own.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, weights / 2**20, memory("VmHWM") - before]))


def memory(which):
    """Of this process, in MiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) / 1024


def measured(name, checkout):
    """What `measure` prints in a process that imports the library from a checkout."""
    command = [sys.executable, __file__, "--measure", name, str(checkout)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def row(name, other, rounds):
    """The line of a case: medians over rounds, in each of which the checkouts take turns."""
    checkouts = [ROOT] if other is None else [ROOT, other]
    found = np.array([[measured(name, each) for each in checkouts] for _ in range(rounds)])
    seconds, weights, peaks = np.moveaxis(np.median(found, axis=0), -1, 0)
    print(name, found.tolist(), flush=True)
    cells = {"": name, "seconds": f"{seconds[0]:.2f}"}
    if other is not None:
        cells["with 0.1.0"] = f"{seconds[1]:.2f}"
        cells["ratio"] = f"{np.median(found[:, 0, 0] / found[:, 1, 0]):.2f}"
    if name in MODELS:
        cells["weights"] = f"{weights[0]:.0f} MiB"
        cells["memory"] = f"{peaks[0] / weights[0]:.2f} times"
        if other is not None:
            cells["memory with 0.1.0"] = f"{peaks[1] / weights[1]:.2f} times"
    return cells


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=pathlib.Path, help="another checkout")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(*arguments.measure)
    rows = [row(name, arguments.beside, arguments.rounds) for name in arguments.cases]
    text = table([{**dict.fromkeys(rows[0], ""), **each} for each in rows])
    print(text)
    if arguments.write:
        write("conversion", text, PAGE)


if __name__ == "__main__":
    main()
