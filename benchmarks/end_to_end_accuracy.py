"""The error of the end-to-end direction along training, against NumPy in float64.

    python benchmarks/end_to_end_accuracy.py [--steps N] [--tables NAME ...] [--write]

Kernels follow an inner optimizer on gradients that are a slow signal of low rank and noise, by
steps of a given size relative to the kernel (`trajectories.py`); `EndToEnd` follows their singular
bases in float32. Cells are median / maximum of the relative error in Frobenius norms over all
steps but the first, for which the bases are made. `--write` puts the tables into
docs/end_to_end.md in place of those that are there, each as it ends; some 40 minutes.
"""

import argparse
import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# NumPy's threads and the backend's would wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

from benchmarks.trajectories import exact, matrix, trajectory  # noqa: E402
from tfoverparam.matrix_functions import end_to_end_direction, tracked_basis  # noqa: E402

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "end_to_end.md"
KINDS = (10, 100, 1e3, 1e4, "Gaussian", "orthogonal")
DEPTHS = (2, 3, 4, 8)
SETTINGS = [(inner, step) for step in (1e-3, 1e-2, 1e-4) for inner in ("SGD", "Adam", "Muon")]


def step_function(depth):
    """`tracked_direction` of tensors, compiled where the backend does."""

    def function(kernel, gradient, *basis):
        found, basis = tracked_basis.tracked_direction(
            kernel, gradient, tracked_basis.Basis(*basis), depth
        )
        return found, *basis

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def errors(kind, shape, depth, step, steps, step_size, inner):
    """Relative errors, and the share of steps for which U was kept."""
    basis, found, kept = None, [], []
    for kernel, gradient, expected in trajectory(kind, shape, depth, step_size, steps, inner):
        kernel, gradient = (
            ops.convert_to_tensor(each.astype("float32")) for each in (kernel, gradient)
        )
        if basis is None:
            basis = tracked_basis.decompose(kernel)
            continue
        direction, *basis = step(kernel, gradient, *basis)
        difference = ops.convert_to_numpy(direction) - expected
        found.append(np.linalg.norm(difference) / np.linalg.norm(expected))
        kept.append(float(basis[-1]))
    return np.array(found), np.mean(kept)


def tracked_table(shape, settings, steps):
    """Markdown: a row for each depth and setting, a column for each kind of kernel."""
    is_tall = shape[0] > shape[1]
    yield f"| {shape[0]} x {shape[1]} | {' | '.join(map(_named, KINDS))} |"
    yield "| --- " * (len(KINDS) + 1) + "|"
    for depth in DEPTHS:
        step = step_function(depth)
        for inner, step_size in settings:
            cells = []
            for kind in KINDS:
                found, kept = errors(kind, shape, depth, step, steps, step_size, inner)
                form = (" UV" if kept > 0.5 else " V") if is_tall else ""
                cells.append(f"{np.median(found):.0e} / {np.max(found):.0e}{form}")
            line = f"| N = {depth}, {inner}, {step_size:g} | {' | '.join(cells)} |"
            print(line, flush=True)
            yield line


def exact_table():
    """The function `end_to_end_direction`, by a decomposition of the Gram matrix in float32."""
    kinds = KINDS[:-2]
    yield f"| 96 x 64 | {' | '.join(map(_named, kinds))} |"
    yield "| --- " * (len(kinds) + 1) + "|"
    for depth in (1.0001, 1.5, 2, 3, 4, 8):
        cells = []
        for kind in kinds:
            found = []
            for seed in range(10):
                random = np.random.default_rng(seed)
                kernel = matrix(kind, (96, 64), random).astype("float32")
                gradient = random.normal(size=kernel.shape).astype("float32")
                pair = ops.convert_to_tensor(kernel), ops.convert_to_tensor(gradient)
                direction = ops.convert_to_numpy(end_to_end_direction(*pair, depth))
                expected = _any_depth(kernel.astype("float64"), gradient, depth)
                found.append(np.linalg.norm(direction - expected) / np.linalg.norm(expected))
            cells.append(f"{np.median(found):.0e}")
        yield f"| N = {depth:g} | {' | '.join(cells)} |"


def _any_depth(kernel, gradient, depth):
    if depth == int(depth):
        return exact(kernel, gradient, depth)
    u, s, vt = np.linalg.svd(kernel, full_matrices=False)
    a, b = s[:, None] ** (2 / depth), s[None, :] ** (2 / depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        c = (s[:, None] ** 2 - s[None, :] ** 2) / (a - b)
    c = np.where(np.eye(len(s), dtype=bool), depth * a ** (depth - 1), c)
    outside = s ** (2 - 2 / depth)
    return u @ ((c - outside) * (u.T @ gradient @ vt.T)) @ vt + (gradient @ vt.T * outside) @ vt


def _named(kind):
    return kind if isinstance(kind, str) else f"span {kind:g}"


def put(name, lines):
    """The lines between the comments of this name in the page."""
    text = PAGE.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?(\n?<!-- end -->)"
    table = "\n".join(lines) + "\n"
    text, count = re.subn(
        pattern, lambda found: found[1] + table + found[2].lstrip(), text, flags=re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{PAGE} has no place for {name}")
    PAGE.write_text(text, encoding="utf-8")


def main():
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # Sides 32, 128 and 512; all settings for one of them, SGD for all.
    tables = {
        "exact": lambda steps: exact_table(),
        "tall": lambda steps: tracked_table((384, 64), SETTINGS[:6], steps),
        "square": lambda steps: tracked_table((128, 128), SETTINGS, steps),
        "sides": lambda steps: [
            line
            for shape in ((32, 32), (512, 512))
            for line in [*tracked_table(shape, SETTINGS[:1], min(steps, 30)), ""]
        ],
    }
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.tables:
        lines = list(tables[name](arguments.steps))
        print("\n".join(lines), flush=True)
        if arguments.write:
            put(name, lines)


if __name__ == "__main__":
    main()
