"""What the population engine makes of the machine, side by side in one run.

    python benchmarks/linear_networks.py [--runs 1 10 60 300] [--rounds N] [--data-dir DIR]

Prints for p = 4 the engine's GFLOP/s (of its two matrix products alone) next to that of
`tf.matmul` of two 2048 x 2048 matrices, and for p = 2, where it needs no examples, how many times
faster that is. Then the time per run and iteration for p = 4, at 60 runs, next to those of a NumPy
loop and of `keras.Model.fit`, both of which train one run at a time. The contestants take turns, so
that a change in the machine's speed meets all of them; results are medians over the rounds.
"""

import argparse
import os
import time

import _checkout  # noqa: F401
import keras
import numpy as np
import tensorflow as tf

from reproduce import data
from reproduce.linear_networks import Run, initial_factors
from reproduce.linear_networks.gradients import gradients_of
from reproduce.linear_networks.program import Program
from tfoverparam import FactorizedDense

RATE = 1e-4


def matmul():
    """A function that multiplies two matrices, and its floating point operations."""
    a, b = (tf.random.normal((2048, 2048)) for _ in range(2))
    compiled = tf.function(lambda: tf.reduce_sum(a @ b))
    return lambda: float(compiled()), 2 * 2048**3


def engine(count, dataset, p):
    """A function that trains `count` runs of depth 2, and its iterations."""
    runs = [Run(p=p, depth=2, learning_rate=RATE, seed=seed) for seed in range(count)]
    gradients = gradients_of(dataset.features, dataset.targets, p)
    program = Program(runs, gradients, dataset.features.shape[1])
    iterations = max(20, 6000 // (count + 20)) * (10 if p == 2 else 1)
    return lambda: program.advance(0, iterations), iterations


def numpy_loop(dataset):
    """A function that trains one run, and its iterations."""
    features = dataset.features.astype("float32")
    targets = dataset.targets.astype("float32")[:, None]

    def run():
        w, s = (f.astype("float32") for f in initial_factors(_depth_2(), features.shape[1]))
        for _ in range(100):
            slope = 4 / len(features) * (features.T @ (features @ w * s - targets) ** 3)
            w, s = w - RATE * s * slope, s - RATE * (w.T @ slope)
        return w

    return run, 100


def fit(dataset):
    """A function that trains one run by `fit`, on a repeated data set, and its iterations."""
    layer = FactorizedDense(1, depth=2, hidden_units=1, use_bias=False)
    model = keras.Sequential([keras.Input((dataset.features.shape[1],)), layer])
    layer.set_weights(initial_factors(_depth_2(), dataset.features.shape[1]))
    model.compile(
        keras.optimizers.SGD(RATE), loss=lambda true, found: keras.ops.mean((found - true) ** 4)
    )
    batch = (dataset.features.astype("float32"), dataset.targets.astype("float32")[:, None])
    repeated = tf.data.Dataset.from_tensors(batch).repeat()
    return lambda: model.fit(repeated, steps_per_epoch=200, shuffle=False, verbose=0), 200


def _depth_2():
    return Run(p=4, depth=2, learning_rate=RATE, seed=0)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", type=int, default=[1, 10, 60, 300])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    dataset = data.load_ethanol(arguments.data_dir)
    contestants = {"matmul": matmul(), "numpy": numpy_loop(dataset), "fit": fit(dataset)}
    contestants |= {(p, n): engine(n, dataset, p) for n in arguments.runs for p in (4, 2)}
    for call, _ in contestants.values():
        call()
    seconds = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, (call, amount) in contestants.items():
            start = time.perf_counter()
            call()
            seconds[name].append((time.perf_counter() - start) / amount)
    seconds = {name: np.array(values) for name, values in seconds.items()}
    print(f"{dataset.description}; {arguments.rounds} rounds on CPU, {os.cpu_count()} cores")
    peak = 1 / seconds["matmul"]
    print(f"tf.matmul of two 2048 x 2048 matrices: {np.median(peak) / 1e9:.0f} GFLOP/s")
    for count in arguments.runs:
        taken = seconds[4, count]
        rate = 4 * dataset.features.size * count / taken
        print(
            f"engine, {count:3} runs: {1e6 * np.median(taken):8.0f} us an iteration, "
            f"{np.median(rate) / 1e9:6.1f} GFLOP/s, {100 * np.median(rate / peak):3.0f} % of it; "
            f"p = 2: {1e6 * np.median(seconds[2, count]):6.0f} us, "
            f"{np.median(taken / seconds[2, count]):.0f} times faster"
        )
    count = 60 if 60 in arguments.runs else arguments.runs[-1]
    for name in ("numpy", "fit"):
        ratio = np.median(seconds[name] / seconds[4, count]) * count
        print(
            f"{name}, one run: {1e6 * np.median(seconds[name]):8.0f} us an iteration, "
            f"{ratio:.0f} times the engine's at {count} runs, per run and iteration"
        )


if __name__ == "__main__":
    main()
