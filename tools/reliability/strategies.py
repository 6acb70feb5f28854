"""Do several devices, and several processes, train the same weights as one device?

    python -m tools.reliability.strategies            measures, and prints the rows
    python -m tools.reliability.strategies --write    writes them into docs/reliability.md, too

Deviations are the largest over the trainings and over the variables of each, of the norm of the
difference relative to the norm.
"""

import pathlib
import sys
import tempfile

from tests.helpers.workers import run_together, tf_configs
from tools.reliability import strategies_training
from tools.reliability.table import Row, parser, report

EPSILON = 2.0**-23  # of float32
TITLES = {
    "mirrored": "`MirroredStrategy`, two virtual CPUs",
    "multi-worker": "`MultiWorkerMirroredStrategy`, two processes",
    "model-parallel": "`keras.distribution.ModelParallel` on JAX, 2 x 2 virtual CPUs",
}
JAX = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


def tolerance():
    """What rounding may do to a variable, relative to its norm.

    Sums over a batch are taken in another order, which changes each by at most `BATCH` units in
    the last place of the sum of magnitudes. A step moves a variable by less than its norm, so each
    adds no more than this, and to first order the differences of the steps add up.
    """
    return strategies_training.STEPS * strategies_training.BATCH * EPSILON


def trained(strategy, folder, arguments=(), environment={}, seconds=1800):
    """Weights by training and position, one dict for each process of the strategy.

    Raises:
        RuntimeError: If a process fails.
    """
    import numpy as np

    number = 2 if strategy == "multi-worker" else 1
    configs = tf_configs(number)
    files = [pathlib.Path(folder, f"{strategy}-{index}.npz") for index in range(number)]
    module = "tools.reliability.strategies_training"
    outcomes = run_together(
        [[sys.executable, "-m", module, strategy, file, *arguments] for file in files],
        [{**environment, "TF_CONFIG": config if number > 1 else "{}"} for config in configs],
        seconds,
    )
    for status, _, errors in outcomes:
        if status != 0:
            raise RuntimeError(f"{strategy} ended with status {status}:\n{errors}")
    return [dict(np.load(file)) for file in files]


def deviations(weights, reference):
    """From the name of each training to the largest relative difference of a variable."""
    import numpy as np

    largest = {}
    for key, expected in reference.items():
        name = key.rpartition("/")[0]
        difference = np.linalg.norm(weights[key] - expected) / np.linalg.norm(expected)
        largest[name] = max(largest.get(name, 0.0), float(difference))
    return largest


def rows(seeds, folder):
    """A row for each strategy and kind of model."""
    found = []
    for environment, strategies in (({}, ("mirrored", "multi-worker")), (JAX, ("model-parallel",))):
        arguments = ["--seeds", str(seeds)]
        (reference,) = trained("one-device", folder, arguments, environment)
        for strategy in strategies:
            runs = [
                item
                for weights in trained(strategy, folder, arguments, environment)
                for item in deviations(weights, reference).items()
            ]
            for kind in ("factorized", "EndToEnd"):
                mine = [deviation for name, deviation in runs if name.startswith(kind)]
                found.append(
                    Row(
                        what=f"{TITLES[strategy]}: {kind}",
                        tried=len(mine),
                        held=sum(deviation <= tolerance() for deviation in mine),
                        deviation=max(mine),
                    )
                )
    return found


def main():
    from tools.reliability import strategies_commands

    arguments = parser("strategies", __doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        found = rows(seeds=1, folder=folder)
        found += strategies_commands.main_job_rows(folder / "main job")
        found += strategies_commands.share_rows(folder / "shares")
    print(f"Tolerance: {tolerance():.2g}")
    report("strategies", found, arguments.write)


if __name__ == "__main__":
    main()
