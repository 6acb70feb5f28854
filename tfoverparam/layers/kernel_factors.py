"""The factors of one kernel: what they multiply to, and their values for a given product."""

import functools

import keras
import numpy as np
from keras import ops

from tfoverparam import matrix_functions
from tfoverparam.arguments import check_finite
from tfoverparam.matrix_functions.balance import are_zero, balanced_split, leaving_zero


class KernelFactors:
    """The factors of one kernel of a layer.

    They multiply to the matrix, or the stack of matrices, that the kernel is in its view.

    Args:
        view: The `MatrixView` of the kernel.
        variables: The factors, one `keras.Variable` each, in order of application, of shapes
            `(d_j, d_(j+1))`, or `(g, d_j, d_(j+1))` for a stack.
        regularizer: Regularizer of the product, or `None`.
        name: Name of the kernel in messages.
    """

    def __init__(self, view, variables, regularizer, name):
        self.view = view
        self.variables = []
        self.regularizer = regularizer
        self.name = name
        for variable in variables:
            self.append(variable)

    def append(self, variable):
        """Takes a variable for the next factor."""
        variable._is_factor = True
        self.variables.append(variable)

    @property
    def widths(self):
        """One width per hidden layer."""
        return [int(variable.shape[-1]) for variable in self.variables[:-1]]

    def kernel(self):
        """The product, in the kernel's own shape: one chain of products."""
        product = matrix_functions.end_to_end_kernel(self.variables)
        return self.view.from_matrices(product)

    def assign(self, kernel, balanced=True, seed=0):
        """Sets the factors so that they multiply to `kernel`.

        Args:
            kernel: Tensor, variable or array of the kernel's shape.
            balanced: Whether the factors satisfy Equation 7. If not, or where it is of zeros, one
                is the kernel and the others are identities.
            seed: Integer seed of the rotations of balanced factors.

        Raises:
            ValueError: See `FactorizedLayer.assign_kernel`.
        """
        for variable, value in zip(self.variables, self.values(kernel, balanced, seed)):
            variable.assign(value)

    def values(self, kernel, balanced=True, seed=0):
        """The values that `assign` gives to the factors, a list of tensors or arrays."""
        try:
            kernel = ops.convert_to_tensor(kernel)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`kernel` must be a tensor. Received: {kernel!r}") from error
        if tuple(kernel.shape) != self.view.shape:
            raise ValueError(
                f"`kernel` must have the shape {self.view.shape}. "
                f"Received: a kernel of shape {tuple(kernel.shape)}"
            )
        check_finite(self.name, kernel)
        return factor_values(self.view, kernel, self.widths, balanced, seed)()

    def imbalance(self):
        """See `matrix_functions.imbalance`."""
        return matrix_functions.imbalance(self.variables)

    def singular_values(self):
        """Singular values of the product in descending order, `(min(d, k),)`, or of each."""
        factors = [ops.convert_to_tensor(variable) for variable in self.variables]
        if keras.backend.standardize_dtype(factors[0].dtype) not in ("float32", "float64"):
            factors = [ops.cast(factor, "float32") for factor in factors]
        return ops.svd(matrix_functions.end_to_end_kernel(factors), compute_uv=False)

    def exact_kernel(self):
        """The product, multiplied in float64 on the host and rounded once."""
        dtype = keras.backend.standardize_dtype(self.variables[0].dtype)
        product = self._product_on_host().astype("float64" if dtype == "float64" else "float32")
        return self.view.from_matrices(ops.convert_to_tensor(product, dtype=dtype))

    def distance_from(self, kernel, dtype="float64"):
        """How far the product is from `kernel`, relative to it, computed on the host.

        Args:
            kernel: Tensor, variable or array of the kernel's shape.
            dtype: The dtype in which it is computed: `"float32"` takes half the time, and may add
                its own rounding. Defaults to `"float64"`.
        """
        matrices = _on_host(self.view.to_matrices(kernel), dtype)
        gap = np.linalg.norm(self._product_on_host(dtype) - matrices)
        return float(gap / (np.linalg.norm(matrices) or 1.0))

    def _product_on_host(self, dtype="float64"):
        return functools.reduce(np.matmul, [_on_host(each, dtype) for each in self.variables])


def is_factor(variable):
    """Whether a variable is a factor of a kernel."""
    return getattr(variable, "_is_factor", False)


def factor_values(view, kernel, widths, balanced, seed):
    """A function to values of factors that multiply to `kernel`; see `KernelFactors.assign`.

    The backend is done with: the function may be called in a thread of its own.
    """
    matrices = view.to_matrices(kernel)
    # No less than the factors hold, whose rounding is then all by which the product is off.
    is_double = keras.backend.standardize_dtype(kernel.dtype) == "float64"
    matrices = ops.cast(matrices, "float64" if is_double else "float32")
    if balanced:
        split = balanced_split(matrices, widths, seed)
        if not ops.convert_to_numpy(are_zero(matrices)).any():
            return split
        factors = leaving_zero(matrices, [ops.convert_to_tensor(each) for each in split()])
        return lambda: factors
    values = identity_factors(matrices, widths)
    return lambda: values


def identity_factors(matrices, widths):
    """Factors of which all but one are identities, padded with zeros.

    The one, which is the matrix itself, is at its wider end, so that no hidden layer need be
    wider than the narrower side.

    Args:
        matrices: Matrix of shape `(d, k)`, or a stack of them, `(g, d, k)`.
        widths: One width per hidden layer, each at least `min(d, k)`.

    Returns:
        A list of `len(widths) + 1` matrices, or stacks.
    """
    *stack, rows, columns = matrices.shape
    if widths and min(widths) < min(rows, columns):
        raise ValueError(
            f"Hidden layers must be at least {min(rows, columns)} wide for factors of which all "
            f"but one are identities. Received: widths={widths}"
        )

    narrow = min(rows, columns)
    dims = (narrow, *widths, narrow)
    # Padded rather than multiplied: a product may round.
    identities = [
        ops.zeros((*stack, *pair), dtype=matrices.dtype) + ops.eye(*pair, dtype=matrices.dtype)
        for pair in zip(dims[:-1], dims[1:])
    ]
    if columns <= rows:
        padding = (0, dims[1] - narrow)
        return [ops.pad(matrices, [(0, 0)] * (len(stack) + 1) + [padding]), *identities[1:]]
    padding = (0, dims[-2] - narrow)
    return [*identities[:-1], ops.pad(matrices, [(0, 0)] * len(stack) + [padding, (0, 0)])]


def _on_host(tensor, dtype):
    return ops.convert_to_numpy(tensor).astype(dtype, copy=False)
