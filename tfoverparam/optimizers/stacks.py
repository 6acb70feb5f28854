"""Kernels whose matrices have one shape, moved together as one stack."""

import dataclasses
import itertools
import math
from typing import Any

import keras
from keras import ops

from tfoverparam.matrix_functions import tracked_basis
from tfoverparam.matrix_functions.first_order import choose
from tfoverparam.matrix_functions.tracked_basis import Basis


@dataclasses.dataclass
class Stack:
    """Kernels whose matrices have one shape, once those that are wide are transposed.

    Attributes:
        shape: `(d, k)`, d >= k. dtype: The dtype that is computed in.
        positions: Of the kernels, among the variables. views: Their views.
        basis: The variables of a `Basis` of the whole stack, or None.
        roots: At depth 2, where bases stand for some steps: variables of two square roots.
    """

    shape: tuple[int, int]
    dtype: str
    positions: list[int] = dataclasses.field(default_factory=list)
    views: list[Any] = dataclasses.field(default_factory=list)
    basis: Any = None
    roots: Any = ()

    @property
    def sizes(self):
        return [math.prod(view.matrices_shape[:-2]) for view in self.views]

    @property
    def count(self):
        """Number of matrices."""
        return sum(self.sizes)

    def _stacked(self, kernels):
        """One tensor `(count, d, k)`, or `(d, k)` of a single matrix."""
        matrices = [
            _transposed_if_wide(view, ops.cast(view.to_matrices(kernel), self.dtype))
            for kernel, view in zip(kernels, self.views)
        ]
        if self.count == 1:
            return ops.reshape(matrices[0], self.shape)
        return ops.concatenate([ops.reshape(each, (-1, *self.shape)) for each in matrices])

    def _unstacked(self, stack):
        """The reverse."""
        ends = list(itertools.accumulate(self.sizes))
        parts = [stack] if len(ends) == 1 else ops.split(stack, ends[:-1])
        return [
            view.from_matrices(_transposed_if_wide(view, part))
            for part, view in zip(parts, self.views)
        ]

    def add_basis(self, add_variable, depth, refresh_every, variables):
        """Bases are state. As they begin, the first step finds them wrong and makes them anew."""
        d, k = self.shape
        d_axis, k_axis, mesh = self._device_axes(variables)
        if k == 1 or not (refresh_every > 1 or tracked_basis.is_tracked(depth)):
            return
        stack = () if self.count == 1 else (self.count,)

        def add(name, *shape, axes=None):
            layout = None
            if axes and mesh:
                layout = keras.distribution.TensorLayout((None,) * len(stack) + axes, mesh)
            return add_variable(
                shape,
                initializer=_Identity() if axes else "ones",
                dtype=self.dtype,
                # Every replica computes the same: one of them is stored.
                aggregation="only_first_replica",
                layout=layout,
                name=f"{name}_of_{self.count}_{d}x{k}_{self.dtype}",
            )

        self.basis = Basis(
            add("left_basis", *stack, d, k, axes=(d_axis, k_axis)),
            add("right_basis", *stack, k, k, axes=(None, k_axis)),
            add("singular_values", *stack, k),
            add("is_left_basis_kept"),
        )
        # For taller kernels the left root has more entries than is worth it.
        if depth == 2 and refresh_every > 1 and d < 2 * k:
            self.roots = (
                add("left_root", *stack, d, d, axes=(None, d_axis)),
                add("right_root", *stack, k, k, axes=(None, k_axis)),
            )

    def _device_axes(self, variables):
        """Axes of a mesh of devices that the rows and columns lie on, if kernels agree; the mesh.

        Of several axes of a kernel that are one of a matrix, it is the first that may be split.
        """
        distribution = keras.distribution.distribution()
        if distribution is None:
            return None, None, None
        found = set()
        for position, view in zip(self.positions, self.views):
            layout = distribution.get_variable_layout(variables[position])
            axes = [None, None]
            if view.split == view.shape and isinstance(layout, keras.distribution.TensorLayout):
                axes = [layout.axes[each[0]] for each in (view.rows, view.columns)]
            d, k = view.matrices_shape[-2:]
            found.add(tuple(axes if d >= k else axes[::-1]))
        d_axis, k_axis = found.pop() if len(found) == 1 else (None, None)
        return d_axis, k_axis, distribution.device_mesh

    def direction(self, kernels, gradients, depth, is_refreshed, assign):
        """The direction of each kernel; `assign` takes the bases for the next step."""
        kernel, gradient = self._stacked(kernels), self._stacked(gradients)
        if self.shape[1] == 1:
            return self._unstacked(tracked_basis.vector_direction(kernel, gradient, depth))
        if self.basis is None:
            found = tracked_basis.direction(gradient, tracked_basis.decompose(kernel), depth)
            return self._unstacked(found)
        basis = Basis(*map(ops.convert_to_tensor, self.basis))
        roots = tuple(map(ops.convert_to_tensor, self.roots))
        if is_refreshed is not True:  # Weights may have been loaded, or this be its first gradient.
            is_refreshed = ops.logical_or(is_refreshed, tracked_basis.is_wrong(kernel, basis))

        def follow():
            if tracked_basis.is_tracked(depth):
                is_to_stand = is_refreshed is not True
                found, new = tracked_basis.tracked_direction(
                    kernel, gradient, basis, depth, is_to_stand
                )
            else:
                new = tracked_basis.decompose(kernel)
                found = tracked_basis.direction(gradient, new, depth)
            return found, *new, *(tracked_basis.square_roots(new) if roots else ())

        def stay():
            if roots:
                found = tracked_basis.direction_of_square_roots(gradient, *roots)
            else:
                found = tracked_basis.direction(gradient, basis, depth)
            return found, *basis, *roots

        # Computed under the condition, assigned outside: on some backends a branch of a condition
        # cannot assign.
        found, *state = choose(is_refreshed, follow, stay)
        for variable, value in zip((*self.basis, *self.roots), state):
            assign(variable, value)
        return self._unstacked(found)


def _transposed_if_wide(view, matrices):
    d, k = view.matrices_shape[-2:]
    return ops.swapaxes(matrices, -2, -1) if d < k else matrices


def stacks_of(targets, variables) -> list[Stack]:
    """The targets among the variables, those of one shape and dtype together."""
    stacks: dict[Any, Stack] = {}
    for target in targets:
        # In half precision singular values have no room.
        dtype = keras.backend.standardize_dtype(variables[target.position].dtype)
        dtype = "float64" if dtype == "float64" else "float32"
        shape = tuple(sorted(target.view.matrices_shape[-2:], reverse=True))
        stack = stacks.setdefault((shape, dtype), Stack(shape, dtype))
        stack.positions.append(target.position)
        stack.views.append(target.view)
    return list(stacks.values())


class _Identity(keras.initializers.Initializer):
    # A class: of a function, Keras on JAX cannot make a large variable on several devices.
    def __call__(self, shape, dtype=None):
        # Not broadcast: PyTorch could not write to its elements, which share memory.
        return ops.zeros(shape, dtype) + ops.eye(*shape[-2:], dtype=dtype)
