"""Checks of arguments: each raises a `ValueError` that names the argument and what it must be."""

from typing import Any

import keras
from keras import ops


def is_integer(value):
    """Whether `value` is an `int`, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value):
    """Whether `value` is a finite number, and no truth value."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) < float("inf")


def check_positive_integer(name, value):
    """`value` must be an integer >= 1."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_depth(depth):
    """`depth` must be a real number >= 1."""
    if not is_number(depth) or depth < 1:
        raise ValueError(f"`depth` must be a number >= 1. Received: depth={depth!r}")


def check_seed(seed):
    """`seed` must be None or an integer that the backends' generators take."""
    if seed is not None and not (is_integer(seed) and abs(seed) < 2**63):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")


def checked_hidden_widths(name: str, hidden: Any, depth: int) -> int | list[int] | None:
    """`hidden`, a list if it was a sequence: None, one width or one per hidden layer."""
    if hidden is None:
        return None
    if is_integer(hidden) and hidden > 0:
        return hidden
    if isinstance(hidden, (list, tuple)):
        if len(hidden) != depth - 1:
            raise ValueError(
                f"`{name}` must have one width per hidden layer, {depth - 1} for "
                f"depth={depth}. Received: {name}={hidden!r}"
            )
        if all(is_integer(width) and width > 0 for width in hidden):
            return list(hidden)
    raise ValueError(
        f"`{name}` must be None, a positive integer or a list of positive integers. "
        f"Received: {name}={hidden!r}"
    )


def hidden_widths(hidden: int | list[int] | None, depth: int, rows: int, columns: int) -> list[int]:
    """One width per hidden layer of a kernel of `rows` x `columns`; `None` means the smaller."""
    if hidden is None:
        return [min(rows, columns)] * (depth - 1)
    return [hidden] * (depth - 1) if isinstance(hidden, int) else hidden


def check_matrices(name, matrices):
    """`matrices` must be a tensor, variable or array of floating point numbers: a matrix, or a
    stack of them, which has one more axis."""
    if not hasattr(matrices, "shape") or len(matrices.shape) not in (2, 3):
        raise ValueError(
            f"`{name}` must be a matrix, or a stack of matrices. Received: {_described(matrices)}"
        )
    if not keras.backend.is_float_dtype(matrices.dtype):
        raise ValueError(
            f"`{name}` must be of floating point numbers. Received: dtype={matrices.dtype}"
        )


def check_finite(what, tensor):
    """`tensor` must hold finite numbers; while a function is traced it holds none to be seen."""
    try:
        is_finite = bool(ops.all(ops.isfinite(tensor)))
    except TypeError:
        return
    if not is_finite:
        raise ValueError(
            f"{what} must hold finite numbers, and has NaN or infinity among them. If training "
            "diverged, go back to weights from before."
        )


def check_not_negative(name, tensor):
    """`tensor` must hold no number < 0; while a function is traced it holds none to be seen."""
    try:
        is_negative = bool(ops.any(tensor < 0))
    except TypeError:
        return
    if is_negative:
        raise ValueError(f"`{name}` must not be negative. Received: {name}={tensor}")


def check_shape(what, tensor, shape):
    """`tensor` must have this shape; a size that is not known while a function is traced has it."""
    try:
        found = tuple(tensor.shape)
    except ValueError:  # Of TensorFlow's, when not even the number of axes is known.
        return
    known = [(size, other) for size, other in zip(found, shape) if size is not None]
    if len(found) != len(shape) or any(size != other for size, other in known):
        raise ValueError(f"The {what} must have the shape {tuple(shape)}. Received: {found}")


def check_chain(matrices, is_batch_first=True):
    """`matrices` must be at least one, and multiply in this order, or be stacks that do.

    The first may be a batch, with more axes than a matrix has, if `is_batch_first`.
    """
    if len(matrices) == 0:
        raise ValueError("A product needs at least one matrix. Received: none")
    shapes = [tuple(matrix.shape) for matrix in matrices]
    ranks = {len(shape) for shape in shapes}
    are_matrices = ranks == {2}
    are_stacks = ranks == {3} and len({shape[0] for shape in shapes}) == 1
    if is_batch_first:
        are_matrices = len(shapes[0]) >= 2 and all(len(shape) == 2 for shape in shapes[1:])
    # A size that is not known, of a function that is traced, fits any.
    if not (are_matrices or are_stacks) or any(
        None not in (left[-1], right[-2]) and left[-1] != right[-2]
        for left, right in zip(shapes[:-1], shapes[1:])
    ):
        raise ValueError(
            "Matrices must fit, the columns of one the rows of the next. Received: shapes "
            + ", ".join(map(str, shapes))
        )


def _described(value):
    return f"shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)
