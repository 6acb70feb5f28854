"""Recurrent layers of cells with factorized kernels: the products are computed before the loop.

A cell reads its kernels in each step. Their products are the same in all of them, so the layer
that has the loop computes them once, and the cells read those.
"""

import contextlib
import functools
from typing import Any

import keras

from tfoverparam.keras_private import CONV_LSTM_CELL
from tfoverparam.layer_tree import walk
from tfoverparam.layers.factorized_layer import FactorizedLayer

CELLS = (
    keras.layers.SimpleRNNCell,
    keras.layers.GRUCell,
    keras.layers.LSTMCell,
    CONV_LSTM_CELL,
)


class FactorizedCell(FactorizedLayer):
    """A mixin for a recurrent cell that was converted in place."""

    def call(self, *args, **kwargs):
        # Some cells read a kernel several times in a step.
        with contextlib.nullcontext() if self.is_holding else self.products_held():
            return super().call(*args, **kwargs)

    @property
    def is_holding(self):
        """Whether the products are held by the layer that has the loop."""
        return bool(self._factorization.held)


class RecurrentLayer(keras.layers.Layer):
    """A mixin for the layer that has the loop over time, or that has two of them read at once."""

    plain_class: Any

    @classmethod
    def from_config(cls, config):
        layer = cls.plain_class.from_config(config)
        renew([layer])
        return layer

    def call(self, *args, **kwargs):
        with contextlib.ExitStack() as stack:
            for cell in factorized_cells(self):
                if not cell.is_holding:
                    stack.enter_context(cell.products_held())
            return super().call(*args, **kwargs)

    def collapse(self):
        """Collapses the cells; the layer has the class that it had before. Returns the layer.

        For a layer within a model use `tfoverparam.collapse`, which renews what the model has
        compiled.
        """
        for cell in factorized_cells(self):
            cell.collapse()
        renew([self])
        return self


def factorized_cells(layer):
    """The factorized cells within a layer, stacked ones and those of other cells too."""
    return [each for each in walk(layer) if isinstance(each, FactorizedCell)]


def recurrent_layers(models):
    """All layers in `models` that read the kernels of cells in each step, or of two layers."""
    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    return [layer for model in models for layer in walk(model) if isinstance(layer, kinds)]


def renew(models):
    """Has the recurrent layers with factorized cells hold their products, and no others."""
    for layer in recurrent_layers(models):
        if isinstance(layer, RecurrentLayer) and not factorized_cells(layer):
            layer.__class__ = layer.plain_class
        elif not isinstance(layer, RecurrentLayer) and factorized_cells(layer):
            layer.__class__ = _holding_class(layer.__class__)


@functools.cache
def _holding_class(cls):
    """A subclass that files do not tell from `cls`, as what it does leaves no trace in them."""
    is_public = getattr(keras.layers, cls.__name__, None) is cls
    about = {
        "__module__": "keras.layers" if is_public else cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "plain_class": cls,
    }
    holding = type(cls)(cls.__name__, (RecurrentLayer, cls), about)
    package, is_registered, name = keras.saving.get_registered_name(cls).partition(">")
    if is_registered:
        register = keras.saving.register_keras_serializable(package, name)
        register(holding)
        register(cls)  # which is the one that the name stands for
    return holding
