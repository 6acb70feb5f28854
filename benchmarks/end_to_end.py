"""What an update of one kernel costs under the end-to-end rule, side by side in one run.

    python benchmarks/end_to_end.py [--shapes 3136x512 512x512 1024x1024 128x1] [--rounds N]
    KERAS_BACKEND=jax python benchmarks/end_to_end.py --shapes 1024x1024 2048x2048 4096x4096

The optimizers take turns, ten steps each a round, so that a change in the machine's speed meets
all of them. A result is the median over the rounds, a ratio the median over the rounds' ratios.
`--memory` measures instead, each optimizer in a process of its own, how far the peak of the
process's memory lies above that of SGD, in multiples of the kernel (CPU only).
"""

import argparse
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.optimizers import SGD, Muon  # noqa: E402

from tfoverparam import EndToEnd  # noqa: E402

STEPS = 10
OPTIMIZERS = {
    "SGD": lambda: SGD(1e-6),
    "Muon": lambda: Muon(1e-6),
    "EndToEnd depth 2": lambda: EndToEnd(SGD(1e-6), depth=2),
    "EndToEnd depth 3": lambda: EndToEnd(SGD(1e-6), depth=3),
    "EndToEnd depth 2, refresh 10": lambda: EndToEnd(SGD(1e-6), depth=2, refresh_every=10),
}


def updates(name, shape):
    """A function that takes `STEPS` steps with an optimizer, compiled, and waits for them."""
    random = np.random.default_rng(0)
    start = (random.normal(size=shape) / np.sqrt(shape[0])).astype("float32")
    kernel = keras.Variable(start, name="kernel")
    gradient = keras.ops.convert_to_tensor(random.normal(size=shape), dtype="float32")
    optimizer = OPTIMIZERS[name]()
    optimizer.build([kernel])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(lambda: optimizer.apply([gradient]))
    elif keras.backend.backend() == "jax":
        return _jax_updates(optimizer, kernel, gradient)
    else:

        def step():
            optimizer.apply([gradient])

    def run():
        for _ in range(STEPS):
            step()
        return float(kernel[0, 0])

    return run


def _jax_updates(optimizer, kernel, gradient):
    import jax

    step = jax.jit(
        lambda state, value: optimizer.stateless_apply(state, [gradient], [value])[::-1]
    )
    state, value = [v.value for v in optimizer.variables], kernel.value

    def run():
        nonlocal state, value
        for _ in range(STEPS):
            state, (value,) = step(state, value)
        return float(value[0, 0])

    return run


def time_shape(shape, rounds):
    """Print milliseconds a step and the ratios to Muon and SGD."""
    runs = {name: updates(name, shape) for name in OPTIMIZERS}
    for run in runs.values():
        run()
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / STEPS)
    print(f"\n{shape[0]} x {shape[1]}")
    print(f"{'':<30}{'ms a step':>10}{'min':>9}{'max':>9}{'/ Muon':>9}{'/ SGD':>9}")
    for name, seconds in times.items():
        low, median, high = 1000 * np.quantile(seconds, (0, 0.5, 1))
        ratios = [np.median(np.divide(seconds, times[other])) for other in ("Muon", "SGD")]
        print(f"{name:<30}{median:10.3f}{low:9.3f}{high:9.3f}{ratios[0]:9.2f}{ratios[1]:9.2f}")


def measure_memory(shape):
    """Print the peak memory of each optimizer above SGD's, in multiples of the kernel."""
    peaks = {}
    for name in OPTIMIZERS:
        sizes = "x".join(map(str, shape))
        command = [sys.executable, __file__, "--peak-of", name, "--shapes", sizes]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[name] = float(result.stdout.split()[-1])
    print(f"\n{shape[0]} x {shape[1]}: peak memory above SGD's, in kernels")
    for name, peak in peaks.items():
        kernels = (peak - peaks["SGD"]) * 1024 / (4 * shape[0] * shape[1])
        print(f"{name:<30}{kernels:10.2f}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = ["3136x512", "512x512", "1024x1024", "128x1"]
    parser.add_argument("--shapes", nargs="+", default=default)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak-of", choices=OPTIMIZERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes]
    if arguments.peak_of:
        updates(arguments.peak_of, shapes[0])()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {_device()}")
    for shape in shapes:
        if arguments.memory:
            measure_memory(shape)
        else:
            time_shape(shape, arguments.rounds)


def _device():
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return f"{os.cpu_count()} CPU cores"


if __name__ == "__main__":
    main()
