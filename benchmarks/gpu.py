"""The end-to-end rule on an accelerator: tests, times, and errors, in one table.

    KERAS_BACKEND=jax python benchmarks/gpu.py
    KERAS_BACKEND=torch python benchmarks/gpu.py
    KERAS_BACKEND=jax python benchmarks/gpu.py --sizes 64 128 --width 32 --layers 2 --no-tests

Runs the tests of the optimizer and the layers there, then times SGD, Muon and `EndToEnd` at depths
2, 3 and 4 on square kernels and on all kernels of a GPT, with products in float32 at the highest
precision and in TF32, each with the error of a direction against NumPy in float64. Prints Markdown
with the card's name. No network, no TensorFlow. On an NVIDIA H200 it took a minute and a half on
PyTorch (without 4096) and some ten on JAX when each step was compiled by itself and each depth had
decompositions of its own; steps are compiled at once and bases shared since, which was not timed
there.
"""

import argparse
import concurrent.futures
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
PRECISIONS = ("float32", "TF32")
DEPTHS = (2, 3, 4)
OPTIMIZERS = {
    "SGD": lambda: SGD(1e-6),
    "Muon": lambda: Muon(1e-6),
    **{
        f"EndToEnd, depth {depth}": lambda depth=depth: EndToEnd(SGD(1e-6), depth=depth)
        for depth in DEPTHS
    },
}


def set_precision(precision):
    """Products of float32 in float32, or in TF32 where the card has it."""
    is_highest = precision == "float32"
    if BACKEND == "jax":
        import jax

        name = "highest" if is_highest else "tensorfloat32"
        jax.config.update("jax_default_matmul_precision", name)
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


def built(start, gradients):
    """From a name to an optimizer and its kernels, whose bases are known: made once for all."""
    found = {}
    for name, make in OPTIMIZERS.items():
        kernels = [keras.Variable(value, name=f"k{n}_kernel") for n, value in enumerate(start)]
        optimizer = make()
        optimizer.build(kernels)
        found[name] = optimizer, kernels
    tracked = [each for each, _ in found.values() if isinstance(each, EndToEnd)]
    tracked[0].apply(gradients)  # The first step makes the bases, by a decomposition.
    for other in tracked[1:]:
        for variable, known in zip(other.variables, tracked[0].variables):
            variable.assign(known)
    return found


def steppers(optimizers, gradients):
    """Under each precision and each optimizer's name: how to take a step, and the first kernel."""
    if BACKEND == "torch":
        return {
            (precision, name): (lambda each=each: each.apply(gradients), lambda own=own: own[0])
            for precision in PRECISIONS
            for name, (each, own) in optimizers.items()
        }
    import jax

    lowered, starts = {}, {}
    for precision in PRECISIONS:
        set_precision(precision)
        for name, (optimizer, kernels) in optimizers.items():

            def update(state, values, optimizer=optimizer):
                return optimizer.stateless_apply(state, gradients, values)[::-1]

            start = [v.value for v in optimizer.variables], [k.value for k in kernels]
            starts[precision, name] = start
            lowered[precision, name] = jax.jit(update).lower(*start)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        compiled = dict(zip(lowered, pool.map(lambda each: each.compile(), lowered.values())))

    def stepper(key):
        values = starts[key]

        def step():
            nonlocal values
            values = compiled[key](*values)

        return step, lambda: values[1][0]

    return {key: stepper(key) for key in compiled}


def measure(shapes):
    """For each precision, milliseconds of a step and, of one kernel, the errors of directions."""
    random = np.random.default_rng(0)
    start = [(random.normal(size=s) / np.sqrt(s[0])).astype("float32") for s in shapes]
    drawn = [random.normal(size=s).astype("float32") for s in shapes]
    gradients = [ops.convert_to_tensor(each) for each in drawn]
    set_precision("float32")
    optimizers = built(start, gradients)
    cases = steppers(optimizers, gradients)
    errors = {}
    if len(shapes) == 1 and max(shapes[0]) <= LARGEST_COMPARED:
        errors = direction_errors(start[0], drawn[0])
    for precision in PRECISIONS:
        set_precision(precision)
        times = {name: [] for name in optimizers}
        for name in optimizers:
            step, first = cases[precision, name]
            step()
            wait(first())
        for _ in range(ROUNDS):
            for name in optimizers:
                step, first = cases[precision, name]
                begin = time.perf_counter()
                for _ in range(STEPS):
                    step()
                wait(first())
                times[name].append((time.perf_counter() - begin) / STEPS)
        yield precision, {name: 1000 * np.median(each) for name, each in times.items()}, errors


def direction_errors(kernel, gradient):
    """Under precision and name: of the direction of a kernel one step of 1e-3 from its bases."""
    moved = kernel + 1e-3 * np.linalg.norm(kernel) * gradient / np.linalg.norm(gradient)
    moved = moved.astype("float32")
    set_precision("float32")
    basis = tracked_basis.decompose(ops.convert_to_tensor(kernel))
    found = {}
    for depth in DEPTHS:
        expected = exact(moved, gradient, depth)
        for precision in PRECISIONS:
            set_precision(precision)
            direction, _ = tracked_basis.tracked_direction(
                ops.convert_to_tensor(moved), ops.convert_to_tensor(gradient), basis, depth
            )
            missed = np.linalg.norm(ops.convert_to_numpy(direction) - expected)
            found[precision, f"EndToEnd, depth {depth}"] = missed / np.linalg.norm(expected)
    return found


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
                + (f", error {error:.0e})" if error is not None else ")")
                for name, milliseconds in times.items()
                for error in [errors.get((precision, name))]
            ]
            print(f"| {title}, {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
