"""The same numbers again: in another process, and on what stands in for another machine.

    python -m tools.reliability.reproducibility --data-dir DIR --mnist-dir DIR

Same machine: a command's records, made in two processes with TensorFlow's op determinism, are
equal to the bit. Another machine: `reproduce.verify` compares every committed curve with what is
recomputed of it. Here, older processors and other kernels stand in for another machine: XLA and
oneDNN are told to use no more than their instructions. Takes about 40 minutes on two cores.
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from tests.helpers.workers import run_together
from tools.reliability import table

ROOT = pathlib.Path(__file__).parents[2]
REGRESSION = ("figure2", "figure3", "figure4_left", "figure4_right", "figure5_left", "robustness")
FIGURES = ("figure1", *REGRESSION, "figure5_right")
# What they do not know of a processor: AVX-512; AVX, too.
MACHINES = {
    "XLA limited to AVX2": ({"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}, REGRESSION),
    "XLA limited to SSE 4.2": ({"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}, REGRESSION),
    "oneDNN limited to AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, ("figure5_right",)),
    "without oneDNN": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, ("figure5_right",)),
}
TRAIN = """
import sys
import keras, tensorflow as tf
tf.config.experimental.enable_op_determinism()
keras.utils.set_random_seed(0)
"""
FIGURE = """
from reproduce import {0} as figure
figure.main(["--quiet", *{1}, "--out", sys.argv[1]])
"""
LIBRARY = """
import numpy as np, tfoverparam
inputs = np.random.default_rng(0).normal(size=(64, 8))
layers = [tfoverparam.FactorizedDense(16, activation="relu"), keras.layers.Dropout(0.5)]
network = keras.Sequential([*layers, keras.layers.Dense(3)])
network.compile(tfoverparam.EndToEnd(keras.optimizers.SGD(0.01), depth=2), "mse")
network.fit(inputs, inputs[:, :3], epochs=5, verbose=0)
np.savez(sys.argv[1] + "/weights.npz", *network.get_weights())
"""
REPEATED = {
    "FactorizedDense, Dropout and EndToEnd, 5 epochs of fit": LIBRARY,
    "figure4_right, 200 iterations": FIGURE.format("figure4_right", ["--steps", "200"]),
    "figure5_right, 30 iterations": FIGURE.format("figure5_right", ["--steps", "30"]),
}


def repeated(what, program):
    """A row: the numbers of a program, from two processes at the same time."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        folders = [pathlib.Path(first), pathlib.Path(second)]
        outcomes = run_together(
            [[sys.executable, "-c", TRAIN + program, folder] for folder in folders],
            [{}, {}],
            seconds=600,
            cwd=folders,
        )
        for status, _, errors in outcomes:
            if status != 0:
                raise RuntimeError(errors)
        found = [digest(folder) for folder in folders]
    held = found[0] == found[1]
    return table.Row(f"again, in another process: {what}", 1, int(held), "none" if held else "")


def digest(folder):
    """Of the arrays or records in a folder, without their provenance."""
    numbers = hashlib.sha256()
    paths = sorted([*folder.glob("weights.npz"), *folder.glob("records/*.json")])
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".json":
            values = json.loads(content)
            del values["provenance"]
            content = json.dumps(values).encode()
        numbers.update(content)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no numbers")
    return numbers.hexdigest()


def verified(figures, options, changes, machine):
    """Rows: what `reproduce.verify` says, panel by panel, in a changed environment."""
    command = [sys.executable, "-m", "reproduce.verify", "--quiet", *figures, *options]
    environment = {**os.environ, **changes}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if found.returncode not in (0, 1) or not lines(found.stdout):
        raise RuntimeError(f"{' '.join(command)}: {found.stderr}")
    off = found.stdout.partition("\nOff: ")[2].split(", ") if found.returncode else []
    return [row(line, off, machine) for line in lines(found.stdout)]


def lines(printed):
    """The panels in what `reproduce.verify` prints, as lists of cells.

    >>> lines("figure2  fig2R_l4  100  3000  2  1.2e-06  5.0e-06  ok")
    [['figure2', 'fig2R_l4', '100', '3000', '2', '1.2e-06', '5.0e-06', 'ok']]
    """
    pattern = r"(\w+) +(\S.*?) +(\d+) +(\d+) +(\d+) +(\S+) +(\S+) +(ok|OFF)$"
    return [list(match) for match in re.findall(pattern, printed, re.MULTILINE)]


def row(cells, off, machine):
    """A row from a panel's line, and the names of all curves that are off."""
    figure, panel, curves, points, chaotic, deviation, tolerance, _ = cells
    bad = sum(name.startswith(f"{figure} {panel} ") for name in off)
    what = f"{machine}: {figure}, {panel}, curves ({points} points compared, {chaotic} chaotic)"
    return table.Row(what, int(curves), int(curves) - bad, f"{deviation} (tolerance {tolerance})")


def main():
    """The script."""
    parser = table.parser("reproducibility", __doc__)
    parser.add_argument("--data-dir", metavar="DIR", help="of reproduce.verify")
    parser.add_argument("--mnist-dir", metavar="DIR", help="of reproduce.verify")
    arguments = parser.parse_args()
    options = [
        text
        for name, value in (("data", arguments.data_dir), ("mnist", arguments.mnist_dir))
        if value
        for text in (f"--{name}-dir", value)
    ]
    rows = [repeated(*item) for item in REPEATED.items()]
    rows += verified(FIGURES, options, {}, "this machine")
    for machine, (changes, figures) in MACHINES.items():
        rows += verified(figures, options, changes, machine)
    table.report("reproducibility", rows, arguments.write, "--data-dir DIR --mnist-dir DIR")


if __name__ == "__main__":
    main()
