"""Ways to compute the gradients for p = 4, next to the engine's own, side by side in one run.

    python benchmarks/layouts.py [--runs N] [--rounds N] [--threads N] [--write]

Prints for each way the speed of its two matrix products as a part of that of `tf.matmul` of two
2048 x 2048 matrices, and whether it gives the engine's bits. The ways take turns; results are
medians over the rounds. In one thread (the default) the process's CPU time is measured, which
others on the machine hardly change; in several, the time that passes. `--write` puts the table into
docs/linear_networks.md. XLA's own options are tried with XLA_FLAGS in the environment.
"""

import argparse
import time

import _checkout
import numpy as np
import tensorflow as tf

from reproduce import data
from reproduce.linear_networks.gradients import gradients_of

ENGINE = "the engine: three parts, features stored with their transpose"


def parts_of(dataset, count):
    """The examples in `count` parts: features, their transpose, targets."""
    missing = -len(dataset.features) % (count * 16)
    features = np.pad(dataset.features, ((0, missing), (0, 0)))
    targets = np.pad(dataset.targets, (0, missing))
    return [
        [tf.constant(a, tf.float32) for a in (part, np.ascontiguousarray(part.T), t[:, None])]
        for part, t in zip(np.split(features, count), np.split(targets, count))
    ]


def columns(add_part):
    """A way: kernels as columns; `add_part` is the gradient's sum over one part."""

    def way(dataset, count):
        parts = parts_of(dataset, count)

        def gradients(kernels):
            return 4 / len(dataset.targets) * sum(add_part(kernels, *part) for part in parts)

        return gradients

    return way


def in_blocks(dataset, count):
    """The kernels in blocks, too: both products' results stay in the cache."""
    whole = as_it_is(dataset, count)
    return lambda kernels: tf.concat(
        [whole(block) for block in (kernels[:, :160], kernels[:, 160:])], axis=1
    )


def in_a_loop(dataset, count):
    """A compiled loop over the parts, in place of one after the other."""
    stacked = [tf.stack(arrays) for arrays in zip(*parts_of(dataset, count))]

    def gradients(kernels):
        def one(index, total):
            features, transposed, targets = (array[index] for array in stacked)
            return index + 1, total + transposed @ _cubed(features @ kernels - targets)

        total = tf.while_loop(lambda i, _: i < count, one, (0, tf.zeros_like(kernels)))[1]
        return 4 / len(dataset.targets) * total

    return gradients


def targets_inside(dataset, count):
    """The targets as one more feature, so that the first product gives the residuals."""
    parts = [
        (tf.concat([features, -targets, tf.zeros((len(features), 15))], axis=1), transposed)
        for features, transposed, targets in parts_of(dataset, count)
    ]

    def gradients(kernels):
        more = tf.concat([kernels, tf.ones_like(kernels[:1]), tf.zeros_like(kernels[:15])], axis=0)
        total = sum(transposed @ _cubed(features @ more) for features, transposed in parts)
        return 4 / len(dataset.targets) * total

    return gradients


def all_as_rows(dataset, count):
    """Kernels, residuals and gradients as rows."""
    parts = parts_of(dataset, count)

    def gradients(kernels):
        rows = tf.transpose(kernels)
        total = sum(_residuals_as_rows(rows, xt, t) @ x for x, xt, t in parts)
        return 4 / len(dataset.targets) * tf.transpose(total)

    return gradients


def _residuals_as_rows(rows, transposed, targets):
    return _cubed(rows @ transposed - tf.transpose(targets))


def _cubed(residuals):
    return residuals * (residuals * residuals)


as_it_is = columns(lambda w, x, xt, t: xt @ _cubed(x @ w - t))
one_copy = columns(lambda w, x, xt, t: tf.matmul(x, _cubed(x @ w - t), transpose_a=True))
residuals_as_rows = columns(
    lambda w, x, xt, t: tf.matmul(xt, _residuals_as_rows(tf.transpose(w), xt, t), transpose_b=True)
)
WAYS = {
    **{f"{n} part{'s' * (n > 1)}": (as_it_is, n) for n in (1, 2, 3, 4, 6, 8)},
    "a compiled loop over 5 parts": (in_a_loop, 5),
    "the transpose is not stored": (one_copy, 3),
    "the kernels in two blocks": (in_blocks, 3),
    "the targets as a feature": (targets_inside, 3),
    "residuals as rows": (residuals_as_rows, 3),
    "kernels, residuals and gradients as rows": (all_as_rows, 3),
    "the same in two parts": (all_as_rows, 2),
}


def descent(gradients, start):
    """A compiled function that takes so many steps and returns the kernels."""

    @tf.function(jit_compile=True)
    def run(count):
        def step(index, kernels):
            return index + 1, kernels - 1e-6 * gradients(kernels)

        return tf.while_loop(lambda i, _: i < count, step, (0, start))[1]

    return lambda count: run(tf.constant(count)).numpy()


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    dataset = data.load_ethanol()
    count = -(-arguments.runs // 16) * 16  # as the engine pads them
    start = tf.random.stateless_normal((dataset.features.shape[1], count), (0, 0), stddev=0.01)
    ways = {ENGINE: descent(gradients_of(dataset.features, dataset.targets, 4), start)}
    for name, (way, parts) in WAYS.items():
        ways[name] = descent(way(dataset, parts), start)
    a, b = (tf.random.normal((2048, 2048)) for _ in range(2))
    product = tf.function(lambda: tf.reduce_sum(a @ b))
    steps = max(5, 3000 // count)
    kernels = {name: way(steps) for name, way in ways.items()}
    product()
    peak, seconds = [], {name: [] for name in ways}
    for _ in range(arguments.rounds):
        begun = clock()
        float(product())
        peak.append((clock() - begun) / (2 * 2048**3))
        for name, way in ways.items():
            begun = clock()
            way(steps)
            amount = steps * 4 * dataset.features.size * arguments.runs
            seconds[name].append((clock() - begun) / amount)
    rows = []
    for name, taken in seconds.items():
        low, median, high = np.quantile(np.divide(peak, taken), (0.1, 0.5, 0.9))
        same = "yes" if np.array_equal(kernels[name], kernels[ENGINE]) else "no"
        part = f"{median:.0%} ({low:.0%} to {high:.0%})"
        rows.append({"way": name, "of `tf.matmul`": part, "the engine's bits": same})
    threads = f"{arguments.threads} thread{'s' * (arguments.threads > 1)}"
    text = f"{arguments.runs} runs, {threads}, {arguments.rounds} rounds:\n\n"
    text += _checkout.table(rows)
    print(text)
    if arguments.write:
        _checkout.write("layouts", text)


if __name__ == "__main__":
    main()
