"""A canary for each name of Keras's that is not public: which one a new version has changed."""

import keras
import pytest
from keras import layers
from tfoverparam import keras_private


def test_layers():
    wrapper = layers.TimeDistributed(layers.Dense(3))
    assert wrapper._layers == [wrapper.layer]


def test_conv_lstm_cell():
    assert type(layers.ConvLSTM2D(1, 1).cell) is keras_private.CONV_LSTM_CELL


@pytest.mark.parametrize(
    "layer, variable, stored",
    [
        (layers.Dense(3), "kernel", "_kernel"),
        (layers.EinsumDense("ab,bc->ac", 3), "kernel", "_kernel"),
        (layers.Conv1D(3, 2), "kernel", "_kernel"),
        (layers.Embedding(3, 4), "embeddings", "_embeddings"),
        (layers.Conv1DTranspose(3, 2), "kernel", "kernel"),
        (layers.LSTMCell(3), "recurrent_kernel", "recurrent_kernel"),
        (layers.SeparableConv1D(3, 2), "pointwise_kernel", "pointwise_kernel"),
    ],
)
def test_where_variables_are_stored(layer, variable, stored):
    is_flat = isinstance(layer, (layers.EinsumDense, layers.LSTMCell))
    layer.build((None, 4) if is_flat else (None, 4, 4))
    assert keras_private.stored_name(type(layer), variable) == stored
    assert isinstance(getattr(layer, stored), keras.Variable)
    assert getattr(layer, stored).name == variable
