"""The end-to-end rule on an accelerator: tests, times, and errors, in one table.

    KERAS_BACKEND=jax python benchmarks/gpu.py
    KERAS_BACKEND=torch python benchmarks/gpu.py
    KERAS_BACKEND=jax python benchmarks/gpu.py --sizes 64 128 --width 32 --layers 2 --no-tests

Runs the tests of the optimizer and the layers there, then times SGD, Muon and `EndToEnd` at depths
2, 3 and 4 on square kernels and on all kernels of a GPT, with products in float32 at the highest
precision and in TF32, each with the error of a direction against NumPy in float64. Prints Markdown
with the card's name. No network, no TensorFlow. On an NVIDIA H200 it took a minute and a half on
PyTorch (without 4096), and takes some ten on JAX, which compiles longer; kernels are decomposed for
each depth.
"""

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402
from keras.optimizers import SGD, Muon  # noqa: E402

from benchmarks.trajectories import exact  # noqa: E402
from tfoverparam import EndToEnd  # noqa: E402
from tfoverparam.matrix_functions import tracked_basis  # noqa: E402

BACKEND = keras.backend.backend()
TESTS = ("tests/tfoverparam/optimizers/test_end_to_end.py", "tests/tfoverparam/layers")
STEPS, ROUNDS = 10, 3
# Directions are compared at most up to this side: NumPy has to decompose the kernel too.
LARGEST_COMPARED = 1024
OPTIMIZERS = {
    "SGD": lambda: SGD(1e-6),
    "Muon": lambda: Muon(1e-6),
    **{
        f"EndToEnd, depth {depth}": lambda depth=depth: EndToEnd(SGD(1e-6), depth=depth)
        for depth in (2, 3, 4)
    },
}


def set_precision(is_highest):
    """Products of float32 in float32, or in TF32 where the card has it."""
    if BACKEND == "jax":
        import jax

        precision = "highest" if is_highest else "tensorfloat32"
        jax.config.update("jax_default_matmul_precision", precision)
    else:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = not is_highest


def device():
    """Name of the card, or CPU."""
    if BACKEND == "jax":
        import jax

        return jax.devices()[0].device_kind
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def wait(kernel):
    """Until the device is done."""
    return float(ops.convert_to_numpy(kernel)[0, 0])


def stepper(optimizer, kernels, gradients):
    """A function that takes a step, compiled under JAX, and one to the first kernel."""
    if BACKEND == "torch":
        return lambda: optimizer.apply(gradients), lambda: kernels[0]
    import jax

    compiled = jax.jit(lambda state, values: optimizer.stateless_apply(state, gradients, values))
    values, state = [k.value for k in kernels], [v.value for v in optimizer.variables]

    def step():
        nonlocal values, state
        values, state = compiled(state, values)

    return step, lambda: values[0]


def measure(shapes):
    """Milliseconds of a step with each optimizer, and the error of its direction, per precision."""
    random = np.random.default_rng(0)
    start = [(random.normal(size=s) / np.sqrt(s[0])).astype("float32") for s in shapes]
    drawn = [random.normal(size=s).astype("float32") for s in shapes]
    gradients = [ops.convert_to_tensor(each) for each in drawn]
    built = {}  # once for both precisions: kernels are decomposed there
    for name, make in OPTIMIZERS.items():
        kernels = [keras.Variable(value, name=f"k{n}_kernel") for n, value in enumerate(start)]
        built[name] = make(), kernels
        built[name][0].build(kernels)
    is_compared = len(shapes) == 1 and max(shapes[0]) <= LARGEST_COMPARED
    for precision, is_highest in (("float32", True), ("TF32", False)):
        set_precision(is_highest)
        cases = {name: stepper(*each, gradients) for name, each in built.items()}
        errors = {
            name: direction_error(start[0], drawn[0], optimizer.depth)
            for name, (optimizer, _) in built.items()
            if is_compared and isinstance(optimizer, EndToEnd)
        }
        times = {name: [] for name in cases}
        for step, first in cases.values():
            step()
            wait(first())
        for _ in range(ROUNDS):
            for name, (step, first) in cases.items():
                begin = time.perf_counter()
                for _ in range(STEPS):
                    step()
                wait(first())
                times[name].append((time.perf_counter() - begin) / STEPS)
        yield precision, {name: 1000 * np.median(each) for name, each in times.items()}, errors


def direction_error(kernel, gradient, depth):
    """Of the tracked direction of a kernel that is one step of 1e-3 away from its bases."""
    moved = kernel + 1e-3 * np.linalg.norm(kernel) * gradient / np.linalg.norm(gradient)
    moved = moved.astype("float32")
    basis = tracked_basis.decompose(ops.convert_to_tensor(kernel))
    found, _ = tracked_basis.tracked_direction(
        ops.convert_to_tensor(moved), ops.convert_to_tensor(gradient), basis, depth
    )
    expected = exact(moved, gradient, depth)
    return np.linalg.norm(ops.convert_to_numpy(found) - expected) / np.linalg.norm(expected)


def gpt(width, layers):
    """Shapes of the kernels of a GPT: four of attention and two of the network in each layer."""
    return ([(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]) * layers


def test():
    """Runs the tests, in several processes if pytest can: the failing ones, and how many passed."""
    # Other versions of the backend, and other plugins of pytest, have warnings of their own.
    quiet = ["-p", "no:cacheprovider", "-p", "no:benchmark", "-W", "default"]
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", *quiet]
    if importlib.util.find_spec("xdist"):
        command += ["-n", "8", "--dist", "worksteal"]
    # Processes share the card, most of whose memory JAX would take for one of them. References are
    # in float64, and products of float32 are to be in float32.
    environment = {
        **os.environ,
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    outcome = subprocess.run(
        [*command, *TESTS], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    lines = outcome.stdout.strip().splitlines() or outcome.stderr.strip().splitlines()
    return [*(each for each in lines if each.startswith(("FAILED", "ERROR"))), lines[-1]]


def main():
    """Test, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[512, 1024, 2048, 4096])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--no-tests", action="store_true")
    arguments = parser.parse_args()
    if BACKEND not in ("jax", "torch"):
        raise SystemExit("Set KERAS_BACKEND to jax or torch.")
    if not arguments.no_tests:
        print("Tests:", *test(), sep="\n", flush=True)
    print(f"\n{device()}, Keras {keras.__version__} on {BACKEND}: milliseconds a step\n")
    print(f"| kernels, products | {' | '.join(OPTIMIZERS)} |")
    print("| --- " * (len(OPTIMIZERS) + 1) + "|")
    cases = {f"{n} x {n}": [(n, n)] for n in arguments.sizes}
    cases[f"GPT, {arguments.layers} layers of {arguments.width}"] = gpt(
        arguments.width, arguments.layers
    )
    for title, shapes in cases.items():
        for precision, times, errors in measure(shapes):
            cells = [
                f"{milliseconds:.2f} ({milliseconds / times['Muon']:.2f} Muon"
                + (f", error {errors[name]:.0e})" if name in errors else ")")
                for name, milliseconds in times.items()
            ]
            print(f"| {title}, {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
