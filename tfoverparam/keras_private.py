"""Every name of Keras's own that is not public, in one place.

Keras's `enable_lora` and `quantize` change layers that are built by these same names; there is no
public way. `tests/tfoverparam/test_keras_private.py` has a canary for each: if one goes in a new
version of Keras, that test says which.
"""

import sys

import keras

# The cell of ConvLSTM1D, 2D and 3D has no public name.
CONV_LSTM_CELL = sys.modules[keras.layers.ConvLSTM1D.__base__.__module__].ConvLSTMCell


def sublayers(layer):
    """The layers that `layer` holds itself, in the order in which Keras counts their weights."""
    if isinstance(layer, keras.Model):
        return layer.layers
    return list(layer._layers)


def stored_name(layer_class, variable):
    """Attribute in which layers of a class keep the variable that they call `variable`.

    `Dense` keeps its kernel in `_kernel` and has a property `kernel` over it, recurrent cells keep
    theirs in `kernel`.
    """
    is_property = isinstance(getattr(layer_class, variable, None), property)
    return f"_{variable}" if is_property else variable
