"""How accurate the end-to-end direction is, over the span of the singular values and the depth.

    python benchmarks/end_to_end_accuracy.py

Prints two Markdown tables, medians over ten random 96 x 64 matrices. The first is the relative
error of float32 against float64. The second is the relative error, in float64, of a direction in
a basis that is nine steps old: what `EndToEnd(refresh_every=10)` makes at worst.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

from tfoverparam.matrix_functions import end_to_end_direction, gram_basis  # noqa: E402

DEPTHS = (1.5, 2, 3, 4, 8)
SPANS = (1e1, 1e2, 1e3, 1e4)
STEP_SIZES = (1e-4, 1e-3, 1e-2)
SHAPE = (96, 64)


def problems(span):
    """Ten kernels of full rank whose singular values spread over `span`, with gradients."""
    for seed in range(10):
        random = np.random.default_rng(seed)
        u, _ = np.linalg.qr(random.normal(size=SHAPE))
        v, _ = np.linalg.qr(random.normal(size=(SHAPE[1], SHAPE[1])))
        values = np.exp(np.linspace(0, -np.log(span), SHAPE[1]))
        yield (u * values) @ v.T, random.normal(size=SHAPE)


def direction(kernel, gradient, depth, dtype="float64", basis=None):
    """`end_to_end_direction` of numpy arrays, in this dtype."""
    kernel, gradient = (ops.convert_to_tensor(each.astype(dtype)) for each in (kernel, gradient))
    found = end_to_end_direction(kernel, gradient, depth, basis)
    return ops.convert_to_numpy(found).astype("float64")


def rounding_error(span, depth):
    """Median relative error of float32. The reference starts from the same rounded kernel."""
    errors = []
    for kernel, gradient in problems(span):
        kernel, gradient = (each.astype("float32").astype("float64") for each in (kernel, gradient))
        exact = direction(kernel, gradient, depth)
        found = direction(kernel, gradient, depth, "float32")
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    return np.median(errors)


def reuse_error(step_size, depth, steps=9):
    """Median relative error after so many steps, each of `step_size` times the kernel's norm."""
    errors = []
    for kernel, gradient in problems(span=1e2):
        basis = gram_basis(ops.convert_to_tensor(kernel))
        for _ in range(steps):
            move = direction(kernel, gradient, depth, basis=basis)
            kernel = kernel - step_size * np.linalg.norm(kernel) * move / np.linalg.norm(move)
        exact = direction(kernel, gradient, depth)
        found = direction(kernel, gradient, depth, basis=basis)
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    return np.median(errors)


def print_table(heading, columns, error):
    """A Markdown table with a row per depth."""
    print(f"| {heading} | {' | '.join(f'{column:g}' for column in columns)} |")
    print("| --- " * (len(columns) + 1) + "|")
    for depth in DEPTHS:
        cells = " | ".join(f"{error(column, depth):.1e}" for column in columns)
        print(f"| N = {depth:g} | {cells} |")


def main():
    """Measure and print."""
    print_table("float32; span of the singular values", SPANS, rounding_error)
    print()
    print_table("basis nine steps old; relative size of a step", STEP_SIZES, reuse_error)


if __name__ == "__main__":
    main()
