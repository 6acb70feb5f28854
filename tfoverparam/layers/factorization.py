"""What a factorized layer knows of its factors."""

import dataclasses

import keras

from tfoverparam.initializers import BalancedStart, derive_seed, own_seed, with_seed
from tfoverparam.layers.kernel_factors import KernelFactors


@dataclasses.dataclass
class Factorization:
    """What a factorized layer knows of its factors. (Keras tracks no attributes of this object.)

    Attributes:
        variables: Names of the kernels that are products.
        depth: Number of factors of each.
        hidden: Widths of the hidden layers, as `checked_hidden_widths` returns them.
        start_seed: Integer seed of the initial values.
        start_initializer: What draws the kernel, the same in each call; where there is a
            constructor.
        kernel_seed: Integer seed for kernel initializers without their own, or `None`.
        factor_initializer, factor_regularizer, factor_constraint: See `FactorizedDense`.
        converted_from: The class that the layer had before it was converted in place, or `None`.
        kernels: Dict from the name of a kernel to its `KernelFactors`, empty before `build`.
        held: Dict from the name of a kernel to what is read in its place for now.
    """

    variables: tuple[str, ...]
    depth: int
    hidden: int | list[int] | None
    start_seed: int | None
    start_initializer: keras.Initializer | None = None
    kernel_seed: int | None = None
    factor_initializer: keras.Initializer | None = None
    factor_regularizer: keras.Regularizer | None = None
    factor_constraint: keras.constraints.Constraint | None = None
    converted_from: type | None = None
    kernels: dict[str, KernelFactors] = dataclasses.field(default_factory=dict)
    held: dict = dataclasses.field(default_factory=dict)

    @property
    def rotation_seed(self):
        """Integer seed of the rotations between balanced factors."""
        return derive_seed(self.start_seed, 1)

    def initializers(self, kernel_initializer, view, widths):
        """One initializer per factor; see `factor_initializer` and `kernel_initializer`."""
        if self.factor_initializer is not None:
            seed = own_seed(self.factor_initializer)
            if isinstance(seed, keras.random.SeedGenerator):
                return [self.factor_initializer] * self.depth
            seed = self.start_seed if seed is None else seed
            return [
                with_seed(self.factor_initializer, derive_seed(seed, index))
                for index in range(self.depth)
            ]
        kernel_initializer = _as_matrices(kernel_initializer, view)
        if self.depth == 1:
            return [kernel_initializer]
        return BalancedStart(
            kernel_initializer,
            kernel_shape=view.matrices_shape,
            depth=self.depth,
            hidden_units=widths,
            seed=self.rotation_seed,
        ).initializers()


def _as_matrices(initializer, view):
    """An initializer of matrices that draws in the kernel's own shape, which sets its scale."""
    if view.shape == view.matrices_shape:
        return initializer

    def draw(shape, dtype=None):
        return view.to_matrices(initializer(view.shape, dtype=dtype))

    return draw
