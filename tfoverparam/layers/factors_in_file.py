"""Where the factors of a layer are in a weights file: beside the product, out of its way.

A factorized layer saves what the built-in layer saves, with the product for its kernel, so the
plain model loads the file. One entry more in the layer's own part of the file and it would
refuse it. So the factors are in the part of an object that the plain layer does not have.
"""

import functools

import keras
import numpy as np
from keras import ops

# Largest gap of the factors in a file from the product in it, relative to it, by the dtype of
# the variables. The product may have been computed by units that round float32 to ten bits.
_ROUNDING = {"float64": 1e-6, "float32": 1e-2}


class FactorsInFile(keras.Operation):
    """What Keras's saving finds on a layer, and asks to save and load the factors.

    It saves nothing of its own and, for Keras walks all attributes, holds the layer in a function.
    """

    def __init__(self, layer):
        super().__init__(name="factors")
        self._get_layer = lambda: layer
        self._loaded = {}

    def save_own_variables(self, store):
        for factors in self._kernels.values():
            for variable in factors.variables:
                store[variable.name] = variable

    def load_own_variables(self, store):
        """Comes right after `load_layer`."""
        loaded, self._loaded = self._loaded, {}
        for name, kernel in loaded.items():
            factors = self._kernels[name]
            names = [variable.name for variable in factors.variables]
            values = [store[each] for each in names] if set(names) <= set(store.keys()) else []
            if values and f"{name}_{len(values)}" not in store.keys() and _fit(factors, values):
                before = [ops.convert_to_numpy(each) for each in factors.variables]
                _assign(factors.variables, values)
                dtype = keras.backend.standardize_dtype(factors.variables[0].dtype)
                if factors.distance_from(kernel) <= _ROUNDING.get(dtype, 0.1):
                    continue
                _assign(factors.variables, before)
            factors.assign(kernel, seed=self._rotation_seed)

    def load_layer(self, store, load_built_in):
        """Loads the layer's own part of a file by `load_built_in`, the built-in layer's method."""
        layer = self._get_layer()
        if self._is_of_0_1_0(store):
            return self._load_of_0_1_0(store)
        targets = {
            name: _Target(name, factors.view.shape) for name, factors in self._kernels.items()
        }
        with layer.as_built_in(targets):
            load_built_in(store)
        for name, target in targets.items():
            if target.value is None:
                continue
            # Right in any case, and cheap, as the factors that follow are likely to replace it.
            factors = self._kernels[name]
            *_, rows, columns = factors.view.matrices_shape
            is_narrow = min(factors.widths, default=rows) < min(rows, columns)
            factors.assign(target.value, balanced=is_narrow, seed=self._rotation_seed)
            self._loaded[name] = target.value

    def _is_of_0_1_0(self, store):
        """Version 0.1.0 saved the factors in the place of the product."""
        if list(self._kernels) != ["kernel"]:
            return False
        depth, count = len(self._kernels["kernel"].variables), len(self._get_layer().weights)
        return depth > 1 and len(store.keys()) == count

    def _load_of_0_1_0(self, store):
        layer, factors = self._get_layer(), self._kernels["kernel"]
        values = [store[str(index)] for index in range(len(layer.weights))]
        if _fit(factors, values):
            return _assign(layer.weights, values)
        # With groups, the matrices of all of them shared the first factor.
        depth = len(factors.variables)
        product = functools.reduce(np.matmul, map(np.asarray, values[:depth]))
        layer.assign_kernel(product.reshape(factors.view.shape))
        return _assign(layer.weights[depth:], values[depth:])

    @property
    def _kernels(self):
        return self._get_layer().factorized_kernels

    @property
    def _rotation_seed(self):
        return self._get_layer()._factorization.rotation_seed


class _Target:
    """Takes the value that the built-in layer would assign to its kernel."""

    def __init__(self, name, shape):
        self.name = name  # for Keras's own messages
        self.shape = shape
        self.value = None

    def assign(self, value):
        if tuple(value.shape) != self.shape:
            raise ValueError(
                f"A kernel of shape {self.shape} cannot be loaded from a value of shape "
                f"{tuple(value.shape)}."
            )
        self.value = value


def _fit(factors, values):
    """Whether the first of `values` have the shapes of the factors."""
    shapes = [tuple(variable.shape) for variable in factors.variables]
    return shapes == [tuple(value.shape) for value in values[: len(shapes)]]


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
