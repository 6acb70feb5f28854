"""The time of an update under the end-to-end rule, as a ratio to Keras's Muon in the same run.

    python benchmarks/end_to_end.py [--rounds N] [--only REGEX] [--write]   some 10 minutes
    KERAS_BACKEND=jax python benchmarks/end_to_end.py --only 1024
    python benchmarks/end_to_end.py --memory

One kernel by itself, of each shape; a network 784-512-512-10 under `fit` in batches of 64; the 25
kernels of a small GPT at once. The optimizers take turns, a few steps each a round, so that a
change in the machine's speed meets all of them. A result is the median over the rounds, a ratio
the median over the rounds' ratios. Gradients are drawn anew for every step, and the learning
rate is such that a step has `--step-size` times the norm of the kernel: following the bases is
part of what is measured. `--write` puts the rows that were measured into docs/end_to_end.md, in
place of those of the same names. `--memory` measures, each optimizer in a process of its own, how
far the peak of the process's memory lies above that of SGD, in multiples of the kernel (CPU only).
"""

import argparse
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.optimizers import SGD, Muon  # noqa: E402

from benchmarks.end_to_end_accuracy import PAGE, put  # noqa: E402
from tfoverparam import EndToEnd  # noqa: E402

STEPS = 10
# Of a `fit`, whose start takes as long as some steps.
FIT_STEPS = 50
# Of the first step, which shows how long a step is: so small that the bases stay near.
RATE = 1e-6
SHAPES = ((512, 512), (1024, 1024), (3136, 512), (128, 1))
# Width 128, 4 layers: query, key, value and output of attention, the two maps of the network
# after it, and the map to the vocabulary.
GPT = ([(128, 128)] * 4 + [(128, 512), (512, 128)]) * 4 + [(128, 96)]
OPTIMIZERS = {
    "SGD": lambda rate: SGD(rate),
    "Muon": lambda rate: Muon(rate),
    **{
        f"EndToEnd, depth {depth}": lambda rate, depth=depth: EndToEnd(SGD(rate), depth=depth)
        for depth in (2, 3, 4, 8)
    },
    "EndToEnd, depth 2, refresh_every=10": lambda rate: EndToEnd(SGD(rate), refresh_every=10),
    "EndToEnd, depth 3, refresh_every=10": lambda rate: EndToEnd(SGD(rate), 3, refresh_every=10),
}


def updates(name, shapes, step_size):
    """A function that takes `STEPS` steps with an optimizer, compiled, and waits for them."""
    random = np.random.default_rng(0)
    start = [(random.normal(size=s) / np.sqrt(s[0])).astype("float32") for s in shapes]
    kernels = [keras.Variable(value, name=f"k{n}_kernel") for n, value in enumerate(start)]
    drawn = [
        [keras.ops.convert_to_tensor(random.normal(size=shape), "float32") for shape in shapes]
        for _ in range(STEPS)
    ]
    optimizer = OPTIMIZERS[name](RATE)
    optimizer.build(kernels)
    step = optimizer.apply
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(step, autograph=False)
    # One step shows how long a step is; then the learning rate is set.
    step(drawn[0])
    moved = sum(np.sum((keras.ops.convert_to_numpy(k) - s) ** 2) for k, s in zip(kernels, start))
    norm = sum(np.sum(s**2) for s in start)
    optimizer.learning_rate = RATE * step_size * float(np.sqrt(norm / moved))
    if keras.backend.backend() == "jax":
        return _jax_updates(optimizer, kernels, drawn)

    def run():
        for gradients in drawn:
            step(gradients)
        return float(kernels[0][0, 0])

    return run


def _jax_updates(optimizer, kernels, drawn):
    import jax

    step = jax.jit(
        lambda state, gradients, values: optimizer.stateless_apply(state, gradients, values)[::-1]
    )
    state, values = [v.value for v in optimizer.variables], [k.value for k in kernels]

    def run():
        nonlocal state, values
        for gradients in drawn:
            state, values = step(state, gradients, values)
        return float(values[0][0, 0])

    return run


def fits(name):
    """A function that trains a network for `FIT_STEPS` batches."""
    random = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    widths = (784, 512, 512, 10)
    model = keras.Sequential([keras.Input((widths[0],))])
    for width in widths[1:-1]:
        model.add(keras.layers.Dense(width, activation="relu"))
    model.add(keras.layers.Dense(widths[-1]))
    model.compile(
        OPTIMIZERS[name](1e-2 if name != "Muon" else 1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = random.normal(size=(64 * FIT_STEPS, widths[0])).astype("float32")
    labels = random.integers(0, 10, len(images))
    if keras.backend.backend() != "tensorflow":
        return lambda: model.fit(images, labels, batch_size=64, shuffle=False, verbose=0)
    import tensorflow as tf

    # At the end of a `fit` of seconds tf.data's autotuning has it wait for up to as long again.
    options = tf.data.Options()
    options.autotune.enabled = False
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(64).with_options(options)
    return lambda: model.fit(data, shuffle=False, verbose=0)


def compare(title, functions, rounds, steps=STEPS):
    """Print milliseconds a step and the ratios to Muon and SGD; a row of Markdown."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - start) / steps)
    print(f"\n{title}\n{'':<38}{'ms a step':>10}{'min':>9}{'max':>9}{'/ Muon':>9}{'/ SGD':>9}")
    cells = [title]
    for name, seconds in times.items():
        low, median, high = 1000 * np.quantile(seconds, (0, 0.5, 1))
        ratios = [np.median(np.divide(seconds, times[other])) for other in ("Muon", "SGD")]
        print(
            f"{name:<38}{median:10.3f}{low:9.3f}{high:9.3f}{ratios[0]:9.2f}{ratios[1]:9.2f}",
            flush=True,
        )
        cells.append(f"{median:.3g} ({ratios[0]:.2f})")
    return f"| {' | '.join(cells)} |"


def write(rows):
    """Puts rows into the page's table, in place of those of the same titles."""
    text = PAGE.read_text(encoding="utf-8")
    old = re.search(r"<!-- times -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)[1]
    found = {row.split("|")[1]: row for row in [*old.strip().splitlines()[2:], *rows]}
    put(
        "times",
        [
            f"| ms a step (ratio to Muon) | {' | '.join(OPTIMIZERS)} |",
            "| --- " * (len(OPTIMIZERS) + 1) + "|",
            *found.values(),
        ],
    )


def measure_memory(shape, step_size):
    """Print the peak memory of each optimizer above SGD's, in multiples of the kernel."""
    peaks = {}
    for name in OPTIMIZERS:
        sizes = "x".join(map(str, shape))
        command = [sys.executable, __file__, "--peak-of", name, "--only", sizes]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[name] = float(result.stdout.split()[-1])
    print(f"\n{shape[0]} x {shape[1]}: peak memory above SGD's, in kernels")
    for name, peak in peaks.items():
        kernels = (peak - peaks["SGD"]) * 1024 / (4 * shape[0] * shape[1])
        print(f"{name:<38}{kernels:10.2f}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="regular expression of what to measure")
    parser.add_argument("--step-size", type=float, default=1e-3)
    parser.add_argument("--write", action="store_true", help="the table in docs/end_to_end.md")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak-of", choices=OPTIMIZERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shapes = {
        f"{shape[0]}x{shape[1]}": shape
        for shape in SHAPES
        if re.search(arguments.only, f"{shape[0]}x{shape[1]}")
    }
    if arguments.peak_of:
        updates(arguments.peak_of, list(shapes.values())[:1], arguments.step_size)()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {os.cpu_count()} CPU cores")
    rows = []
    for title, shape in shapes.items():
        if arguments.memory:
            measure_memory(shape, arguments.step_size)
            continue
        cases = {name: updates(name, [shape], arguments.step_size) for name in OPTIMIZERS}
        rows.append(compare(title, cases, arguments.rounds))
    if arguments.memory:
        return
    if re.search(arguments.only, "fit"):
        cases = {name: fits(name) for name in OPTIMIZERS}
        rows.append(compare("fit, 784-512-512-10", cases, arguments.rounds, FIT_STEPS))
    if re.search(arguments.only, "GPT"):
        cases = {name: updates(name, GPT, arguments.step_size) for name in OPTIMIZERS}
        rows.append(compare("GPT, 25 kernels", cases, arguments.rounds))
    if arguments.write:
        write(rows)


if __name__ == "__main__":
    main()
