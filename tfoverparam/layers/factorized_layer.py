"""What all layers whose kernels are products of matrices have in common."""

import contextlib
from typing import Any

from keras import layers, ops

from tfoverparam import keras_private
from tfoverparam.annotations import Tensor
from tfoverparam.arguments import check_shape, hidden_widths
from tfoverparam.kernel_kinds import view_of
from tfoverparam.layers.factorization import Factorization
from tfoverparam.layers.factors_in_file import FactorsInFile
from tfoverparam.layers.kernel_factors import KernelFactors
from tfoverparam.regularizers import KernelPenalty


class FactorizedLayer(layers.Layer):
    """A mixin for built-in layers: kernels that are products of `depth` matrices.

    The built-in layer's own `build` makes the layer: where it asks for a kernel it gets factors.
    Where it reads the kernel it gets their product. So a class needs no more than the mixin, the
    built-in class, and a `factorized_kernel` in the place of each attribute that holds a kernel.
    """

    _factorization: Factorization
    _factors_in_file: FactorsInFile

    def become_factorized(self, factorization):
        """Sets what the layer has beyond the built-in one."""
        self._factorization = factorization
        self._factors_in_file = FactorsInFile(self)

    def add_weight(self, *args, shape=None, initializer=None, name=None, **arguments):
        factorization = self._factorization
        if name in factorization.variables and name not in factorization.kernels:
            shape = args[0] if args else shape
            return self._add_factors(name, tuple(shape), initializer, **arguments)
        return super().add_weight(
            *args, shape=shape, initializer=initializer, name=name, **arguments
        )

    def _add_factors(
        self, name, shape, initializer, regularizer=None, constraint=None, **arguments
    ):
        """Creates the factors of a kernel that is asked for; keyword arguments of `add_weight`."""
        if not all(shape):
            raise ValueError(
                f"The sizes of the inputs to `{type(self).__name__}` on which its kernel depends "
                f"must be known and positive. Received: a kernel of shape {shape}"
            )
        factorization = self._factorization
        view = view_of(self, name, shape)
        *stack, rows, columns = view.matrices_shape
        widths = hidden_widths(factorization.hidden, factorization.depth, rows, columns)
        dims = (rows, *widths, columns)
        factors = KernelFactors(view, [], regularizer, f"`{name}` of layer `{self.name}`")
        start = factorization.initializers(self._start_of(initializer), view, widths)
        for index, factor_initializer in enumerate(start):
            penalty = factorization.factor_regularizer
            if index == 0 and regularizer is not None:
                penalty = KernelPenalty(factors, penalty)
            factor = super().add_weight(
                name=f"{name}_{index}",
                shape=(*stack, dims[index], dims[index + 1]),
                initializer=_of_its_shape(factor_initializer, self.name),
                regularizer=penalty,
                constraint=factorization.factor_constraint,
                **arguments,
            )
            factors.append(factor)
            setattr(self, factor.name, factor)
        factorization.kernels[name] = factors
        # Until `build` sets the attribute, for which TensorFlow reads it: no product is computed.
        factorization.held[name] = NotImplemented

    def _start_of(self, kernel_initializer):
        """What draws a kernel, for the initializer that `build` gives: the same in each call."""
        raise NotImplementedError

    @property
    def factorized_kernels(self) -> dict[str, KernelFactors]:
        """Dict from the names of the kernels that are products to their `KernelFactors`."""
        return self._factorization.kernels

    @property
    def factors(self) -> list[Any]:
        """The factors, in order of application: a list of variables, empty before `build`."""
        return self._only_kernel.variables if self.factorized_kernels else []

    def assign_kernel(self, kernel: Tensor, balanced: bool = True) -> None:
        """Sets the factors so that they multiply to `kernel`.

        Args:
            kernel: Tensor, variable or array of the shape of `self.kernel`. Where a hidden
                layer is narrower than both sides, its best approximation is taken.
            balanced: Whether the factors satisfy Equation 7 (see
                `matrix_functions.balanced_factors`). If not, the factor at the wider end is the
                kernel itself and the others are identities. So it is of a kernel of zeros, whose
                balanced factors could not move. Defaults to `True`.

        Raises:
            AttributeError: If the layer is not built, or has several factorized kernels.
            ValueError: If the shape is not that of the kernel, if it holds NaN or infinity, or
                if `balanced` is `False` and a hidden layer is narrower than both sides.
        """
        self._check_built("assign_kernel()")
        self._only_kernel.assign(kernel, balanced, self._factorization.rotation_seed)

    def imbalance(self) -> Tensor:
        """Distance of the factors from the balance of Equation 7, a scalar tensor.

        See `matrix_functions.imbalance`. Of several kernels the largest.
        """
        self._check_built("imbalance()")
        values = [factors.imbalance() for factors in self.factorized_kernels.values()]
        return values[0] if len(values) == 1 else ops.max(ops.stack(values))

    def singular_values(self) -> Tensor:
        """Singular values of the product in descending order, shape `(min(d, k),)`.

        Of a kernel that is a stack of g matrices those of each, shape `(g, min(d, k))`.
        """
        self._check_built("singular_values()")
        return self._only_kernel.singular_values()

    @contextlib.contextmanager
    def products_held(self):
        """Within it, the products are those of now, and are not computed again."""
        held = {
            # The layer around may be of another precision.
            name: ops.cast(factors.kernel(), self.compute_dtype)
            for name, factors in self.factorized_kernels.items()
        }
        with self._reading(held):
            yield

    @contextlib.contextmanager
    def as_built_in(self, kernels):
        """Within it, Keras finds `kernels`, a dict by name, where the built-in layer has them."""
        replacements = [
            (factors.variables, kernels[name]) for name, factors in self.factorized_kernels.items()
        ]
        with self._reading(kernels), keras_private.stand_ins(self, replacements):
            yield

    @contextlib.contextmanager
    def _reading(self, held):
        """Within it, the layer reads other things in the place of its products."""
        factorization = self._factorization
        before, factorization.held = factorization.held, held
        try:
            yield
        finally:
            factorization.held = before

    def save_own_variables(self, store):
        """Saves what the built-in layer saves; `FactorsInFile` saves the factors beside it."""
        kernels = self.factorized_kernels
        products = {name: ops.convert_to_numpy(each.kernel()) for name, each in kernels.items()}
        with self.as_built_in(products):
            super().save_own_variables(store)

    def load_own_variables(self, store):
        """Loads what the built-in layer saves; `FactorsInFile` loads the factors, if it can."""
        self._factors_in_file.load_layer(store, super().load_own_variables)

    def collapse(self) -> layers.Layer:
        """Puts the product in the place of the factors; the layer is a built-in one again.

        It is the same object, and has the class that it had before it was converted, or the
        built-in class if it was made by the constructor. What concerns the factors alone (their
        regularizer and constraint) has no counterpart and is dropped. For a layer within a model
        use `tfoverparam.collapse`, which renews what the model has compiled.

        Returns:
            The layer.
        """
        factorization = self._factorization
        cls = factorization.converted_from or built_in_class(type(self))
        kernels = {}
        for name, factors in factorization.kernels.items():
            product = factors.exact_kernel()
            kernel = keras_private.variable_like(factors.variables[0], name, product)
            kernel.regularizer = factors.regularizer
            keras_private.replace_variables(self, factors.variables, [kernel])
            for variable in factors.variables:
                keras_private.remove_attribute(self, variable.name)
            kernels[keras_private.stored_name(cls, name)] = kernel
        for name in ("_factorization", "_factors_in_file"):
            keras_private.remove_attribute(self, name)
        self.__class__ = cls
        for name, kernel in kernels.items():
            setattr(self, name, kernel)
        return self

    def enable_lora(self, *args, **kwargs):
        raise ValueError(_collapse_first(self, "LoRA can be enabled"))

    def _check_quantize_args(self, mode, compute_dtype):
        # `quantize` comes here first. `model.quantize` warns and goes on with the next layer.
        raise NotImplementedError(_collapse_first(self, "it can be quantized"))

    @property
    def _only_kernel(self):
        kernels = list(self.factorized_kernels.values())
        if len(kernels) != 1:
            raise AttributeError(
                f"Layer `{self.name}` has several factorized kernels. `linear_maps(layer)` lists "
                "them, each with its factors."
            )
        return kernels[0]

    def _check_built(self, what):
        if not self.factorized_kernels:
            raise AttributeError(f"You must build the layer before accessing `{what}`.")


def built_in_class(cls):
    """The class that a factorized layer's is made of; that of another layer is itself."""
    return next(each for each in cls.__mro__ if not issubclass(each, FactorizedLayer))


def factorized_kernel(name):
    """A property in the place of the attribute in which a built-in layer holds a kernel.

    Args:
        name: Name of the kernel.
    """

    def read(self):
        factorization = self._factorization
        if name in factorization.held:
            return factorization.held[name]
        if name not in factorization.kernels:
            raise AttributeError(f"You must build the layer before accessing `{name}`.")
        return factorization.kernels[name].kernel()

    def write(self, value):
        # The built-in `build` stores what `add_weight` gave it.
        if value is not None:
            raise AttributeError(
                f"`{name}` of layer `{self.name}` is a product of factors: `assign_kernel` sets "
                "it, and `collapse` makes it a variable again."
            )
        self._factorization.held.pop(name, None)

    return property(read, write)


def _collapse_first(layer, what):
    return (
        f"Layer `{layer.name}` is factorized: its kernel is no variable. Call `collapse()` on it, "
        f"or `tfoverparam.collapse` on the model, and {what} then."
    )


def _of_its_shape(initializer, name):
    """Calls an initializer, and checks the shape of what it returns; Keras takes it as it is."""

    def draw(shape, dtype=None):
        value = ops.convert_to_tensor(initializer(shape, dtype=dtype), dtype=dtype)
        check_shape(f"value of an initializer of `{name}`", value, shape)
        return value

    return draw
