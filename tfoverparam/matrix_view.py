"""A kernel as the matrices that it is: which axes are rows, which columns, which a stack."""

import dataclasses
import math

from keras import ops

from tfoverparam.annotations import Tensor


@dataclasses.dataclass(frozen=True)
class MatrixView:
    """How a kernel of shape `shape` is a matrix, or a stack of independent matrices.

    Axes are those of `split`, the kernel's shape with axes taken apart where one of them is more
    than one thing: the last axis of a convolution with groups is (groups, filters of a group).

    Attributes:
        shape: Shape of the kernel.
        rows: Axes of the inputs, which are the rows d of a matrix.
        columns: Axes of the outputs, which are the columns k of a matrix.
        groups: Axes that index independent matrices. Defaults to none.
        split: Shape that the axes refer to. Defaults to `shape`.

    Example:

    >>> import keras
    >>> from tfoverparam.matrix_view import MatrixView
    >>> query = MatrixView((8, 2, 4), rows=(0,), columns=(1, 2))  # of attention: 2 heads of 4
    >>> tuple(query.to_matrices(keras.ops.ones((8, 2, 4))).shape)
    (8, 8)
    """

    shape: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    groups: tuple[int, ...] = ()
    split: tuple[int, ...] = ()

    def __post_init__(self):
        if not self.split:
            object.__setattr__(self, "split", tuple(self.shape))
        if sorted(self._order) != list(range(len(self.split))):
            raise ValueError(
                f"Each axis of {self.split} must be a row, a column or a group, and one of them "
                f"only. Received: rows={self.rows}, columns={self.columns}, groups={self.groups}"
            )
        if math.prod(self.split) != math.prod(self.shape):
            raise ValueError(
                f"`split` must have as many entries as the kernel. Received: split={self.split}, "
                f"shape={self.shape}"
            )

    @property
    def _order(self):
        return (*self.groups, *self.rows, *self.columns)

    @property
    def matrices_shape(self) -> tuple[int, ...]:
        """`(d, k)`, or `(g, d, k)` with groups."""
        sizes = [math.prod(self.split[axis] for axis in axes) for axes in (self.rows, self.columns)]
        if self.groups:
            sizes.insert(0, math.prod(self.split[axis] for axis in self.groups))
        return tuple(sizes)

    def to_matrices(self, kernel: Tensor) -> Tensor:
        """The kernel, of shape `shape`, as a tensor of shape `matrices_shape`."""
        kernel = _reshaped(ops.convert_to_tensor(kernel), self.split)
        if self._order != tuple(range(len(self.split))):
            kernel = ops.transpose(kernel, self._order)
        return _reshaped(kernel, self.matrices_shape)

    def from_matrices(self, matrices: Tensor) -> Tensor:
        """A tensor of shape `shape` from one of shape `matrices_shape`."""
        order = self._order
        kernel = _reshaped(matrices, tuple(self.split[axis] for axis in order))
        if order != tuple(range(len(order))):
            kernel = ops.transpose(kernel, [order.index(axis) for axis in range(len(order))])
        return _reshaped(kernel, self.shape)


def _reshaped(tensor, shape):
    return tensor if tuple(tensor.shape) == tuple(shape) else ops.reshape(tensor, shape)
