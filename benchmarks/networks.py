"""Seconds a step of every method of `reproduce.networks`, all in turns in one process.

    python benchmarks/networks.py WORKLOAD [--rounds N] [--data-dir DIR]

On a machine that does nothing else. Each method takes steps for a third of a second, or at least
five, in each round, at the second of the five rates that its tuning begins with: all get through
at it without the warm-up, which is left out. Writes the median over the rounds, between its
quartiles, into results/networks/seconds.json, beside those of the other workloads.
"""

import argparse
import json
import statistics
import time

import _checkout  # noqa: F401
import numpy as np
import tensorflow as tf

from reproduce import networks, workloads
from reproduce.claims.comparison import SECONDS
from reproduce.harness import cli, config
from reproduce.harness.files import write_atomically
from reproduce.harness.records import device
from reproduce.workloads import planning
from reproduce.workloads.training import start
from reproduce.workloads.workload import split

LEAST, MOST = 5, 1000  # steps of a method in a round
A_THIRD = 0.33  # seconds


def contestants(name, settings, dataset):
    """From optimizer and method to a function that takes as many steps as it is told."""
    workload = workloads.get(name)
    groups = planning.groups(settings, (name,), planning.OPTIMIZERS, planning.METHODS, ())
    found = {}
    for group in groups:
        # A rate that networks are trained with: how often bases turn depends on it.
        rate = group.first_rates()[1]
        run = group.run(rate, settings.selection_seed).settings | {"warmup": 0.0}
        examples, _ = split(workload, dataset, run["validation_size"])
        _, run_steps, _ = start(workload, examples, run)
        found[group.optimizer, group.method] = run_steps
        seconds_of(run_steps, LEAST)  # traced
    return found


def seconds_of(run_steps, count):
    """Seconds a step."""
    started = time.perf_counter()
    losses = run_steps(tf.constant(0), tf.constant(count)).numpy()
    seconds = (time.perf_counter() - started) / count
    if not np.isfinite(losses).all():
        raise SystemExit("A network diverges: its time would be that of something else.")
    return seconds


def measure(found, rounds):
    """Seconds a step, from optimizer and method to first quartile, median and third."""
    counts = {
        key: int(min(MOST, max(LEAST, A_THIRD / seconds_of(run_steps, LEAST))))
        for key, run_steps in found.items()
    }
    seconds: dict = {key: [] for key in found}
    for _ in range(rounds):
        for key, run_steps in found.items():
            seconds[key].append(seconds_of(run_steps, counts[key]))
    result: dict = {}
    for (optimizer, method), values in seconds.items():
        quartiles = statistics.quantiles(values, n=4, method="inclusive")
        result.setdefault(optimizer, {})[method] = [float(f"{each:.4g}") for each in quartiles]
    return result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=tuple(workloads.MODULES))
    parser.add_argument("--rounds", type=int, default=9, help="at least 2")
    parser.add_argument("--data-dir", type=cli.path)
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # Else it warns of so many functions that are traced once.
    settings = config.load(cli.ROOT / "configs" / "networks.yaml", planning.Config)
    dataset = networks.data_of(options.workload, options.data_dir)
    seconds = measure(contestants(options.workload, settings, dataset), options.rounds)
    written: dict = {"seconds": {}, "measured": {}}
    if SECONDS.exists():
        written = json.loads(SECONDS.read_text(encoding="utf-8"))
    written["seconds"][options.workload] = seconds
    written["measured"][options.workload] = f"{options.rounds} rounds, {device()}"
    write_atomically(SECONDS, json.dumps(written, indent=1) + "\n")
    for optimizer, methods in seconds.items():
        for method, (_, value, _) in methods.items():
            ratio = value / methods[planning.PLAIN][1]
            print(f"{optimizer:<7}{method:<18}{1000 * value:9.2f} ms  {ratio:6.2f} times plain")


if __name__ == "__main__":
    main()
