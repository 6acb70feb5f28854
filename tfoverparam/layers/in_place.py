"""A built layer with factors in the place of its kernels, and with kernels again.

The layer stays the object that it is; its class becomes a subclass of its own, of the same name:
Keras finds layers by class name in a weights file, which the plain model is to read.
"""

from typing import Any

import keras

from tfoverparam import keras_private
from tfoverparam.arguments import hidden_widths
from tfoverparam.initializers import repeatable
from tfoverparam.keras_private import stored_name
from tfoverparam.lapack import results_of
from tfoverparam.layers import recurrent
from tfoverparam.layers.factorized_conv import FactorizedConv1D, FactorizedConv2D, FactorizedConv3D
from tfoverparam.layers.factorized_dense import FactorizedDense
from tfoverparam.layers.factorized_einsum_dense import FactorizedEinsumDense
from tfoverparam.layers.factorization import Factorization
from tfoverparam.layers.factorized_layer import FactorizedLayer, factorized_kernel
from tfoverparam.layers.kernel_factors import KernelFactors, factor_values
from tfoverparam.regularizers import KernelPenalty

_PUBLIC = {
    keras.layers.Dense: FactorizedDense,
    keras.layers.EinsumDense: FactorizedEinsumDense,
    keras.layers.Conv1D: FactorizedConv1D,
    keras.layers.Conv2D: FactorizedConv2D,
    keras.layers.Conv3D: FactorizedConv3D,
}


@keras.saving.register_keras_serializable(package="tfoverparam")
class ConvertedLayer(FactorizedLayer):
    """A mixin: a layer that was converted in place.

    All such layers have the registered name of this class in files, and its `from_config`.
    """

    def _start_of(self, kernel_initializer):
        return repeatable(keras.initializers.get(kernel_initializer))

    def get_config(self):
        factorization = self._factorization
        return {
            **super().get_config(),
            "factorized": {
                "layer": _reference(factorization.converted_from),
                "variables": list(factorization.variables),
                "depth": factorization.depth,
                "hidden_units": factorization.hidden,
                "seed": factorization.start_seed,
            },
        }

    plain_class: Any = None

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        arguments = config.pop("factorized")
        if cls.plain_class is not None:  # As when a model is cloned: it may be in no registry.
            layer = cls.plain_class.from_config(config)
        else:
            layer = keras.saving.deserialize_keras_object({**arguments["layer"], "config": config})
        factorization = Factorization(
            variables=tuple(arguments["variables"]),
            depth=arguments["depth"],
            hidden=arguments["hidden_units"],
            start_seed=arguments["seed"],
            converted_from=type(layer),
        )
        _convert(layer, factorization)
        return layer


def _reference(cls):
    """How Keras finds a class, as in the configurations of its instances."""
    is_public = getattr(keras.layers, cls.__name__, None) is cls
    return {
        "module": "keras.layers" if is_public else cls.__module__,
        "class_name": cls.__name__,
        "registered_name": None if is_public else keras.saving.get_registered_name(cls),
    }


_CONVERTED: dict[tuple, type] = {}


def _converted_class(cls, variables):
    """The subclass that layers of a class get when kernels of theirs are factorized."""
    if (cls, variables) in _CONVERTED:
        return _CONVERTED[cls, variables]
    bases: tuple[type, ...] = (ConvertedLayer, _PUBLIC.get(cls, cls))
    if issubclass(cls, recurrent.CELLS):
        bases = (ConvertedLayer, recurrent.FactorizedCell, cls)
    names = {stored_name(cls, variable): factorized_kernel(variable) for variable in variables}
    about = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    converted = type(cls)(cls.__name__, bases, {**about, **names, "plain_class": cls})
    register = keras.saving.register_keras_serializable("tfoverparam", ConvertedLayer.__name__)
    register(converted)
    register(ConvertedLayer)  # which is the one that the name stands for
    return _CONVERTED.setdefault((cls, variables), converted)


def _convert(layer, factorization):
    layer.__class__ = _converted_class(type(layer), factorization.variables)
    layer.become_factorized(factorization)


def factorization_of(maps, depth, hidden_units, seed):
    """What a layer will know of its factors.

    Args:
        maps: The `LinearMap`s of the kernels, all of one layer that is built.
        depth: Number of factors of each.
        hidden_units: Widths of the hidden layers, as `checked_hidden_widths` returns them.
        seed: Integer seed of the rotations between balanced factors.
    """
    variables = tuple(each.variable for each in maps)
    converted_from = type(maps[0].layer)
    return Factorization(variables, depth, hidden_units, seed, converted_from=converted_from)


def factor_variables(by_layer, factorizations, balanced):
    """Dict from the `LinearMap`s to the variables that will be their factors.

    Those that take most work come first: the memory that it takes is then used again for the
    factors of the others.

    Args:
        by_layer: Dict from layers to lists of their `LinearMap`s.
        factorizations: Dict from the layers to their `Factorization`s.
        balanced: Whether the factors are balanced.
    """
    maps = [each for maps in by_layer.values() for each in maps]
    maps.sort(key=lambda each: each.parameters * min(each.view.matrices_shape[-2:]), reverse=True)

    def values_of(each):
        factorization = factorizations[each.layer]
        *_, rows, columns = each.view.matrices_shape
        widths = hidden_widths(factorization.hidden, factorization.depth, rows, columns)
        return factor_values(each.view, each.kernel, widths, balanced, factorization.rotation_seed)

    with results_of(map(values_of, maps)) as results:
        return {
            each: [
                keras_private.variable_like(each.kernel, f"{each.variable}_{index}", value)
                for index, value in enumerate(values)
            ]
            for each, values in zip(maps, results)
        }


def factorize(maps, factorization, variables):
    """Puts factors in the place of kernels of a layer.

    Args:
        maps: The `LinearMap`s of the kernels, all of one layer that is built.
        factorization: The layer's `Factorization`.
        variables: Dict from the maps to their factors.
    """
    layer = maps[0].layer
    for each in maps:
        kernel = each.kernel
        factors = KernelFactors(each.view, variables[each], kernel.regularizer, f"`{each.path}`")
        if kernel.regularizer is not None:
            factors.variables[0].regularizer = KernelPenalty(factors, None)
        keras_private.replace_variables(layer, [kernel], factors.variables)
        keras_private.remove_attribute(layer, stored_name(type(layer), each.variable))
        factorization.kernels[each.variable] = factors
    _convert(layer, factorization)
    for factors in factorization.kernels.values():
        for variable in factors.variables:
            setattr(layer, variable.name, variable)
