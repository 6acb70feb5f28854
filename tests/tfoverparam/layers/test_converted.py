"""Built-in layers that are factorized in place and have no class of ours to construct."""

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import linear_maps, overparameterize

from tests.tfoverparam.oracles import assert_close, assert_conversion_changes_nothing

# Layer, shape of its inputs, and the shapes of its matrices.
TRANSPOSED_AND_SEPARABLE = {
    "transposed 1D": (lambda: layers.Conv1DTranspose(3, 2, strides=2), (5, 4), [(4, 6)]),
    "transposed 2D": (
        lambda: layers.Conv2DTranspose(3, (2, 3), padding="same", activation="tanh"),
        (5, 5, 4),
        [(4, 18)],
    ),
    "transposed 3D": (lambda: layers.Conv3DTranspose(2, 2), (3, 3, 3, 4), [(4, 16)]),
    "separable 1D": (lambda: layers.SeparableConv1D(5, 2, depth_multiplier=2), (6, 3), [(6, 5)]),
    "separable 2D": (lambda: layers.SeparableConv2D(5, 3, padding="same"), (6, 6, 3), [(3, 5)]),
}
# What is factorized if the filter says so.
DEPTHWISE = {
    "depthwise 1D": (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), (6, 4), [(4, 3, 2)]),
    "depthwise 2D": (lambda: layers.DepthwiseConv2D(2), (6, 6, 4), [(4, 4, 1)]),
    "separable 2D, both": (
        lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2),
        (6, 6, 3),
        [(3, 9, 2), (6, 5)],
    ),
}


def model_of(make, shape):
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    return keras.Sequential([keras.Input(shape), make()]), inputs


@pytest.mark.parametrize("name", TRANSPOSED_AND_SEPARABLE)
def test_transposed_and_separable_convolutions(name, layer_gradients):
    make, shape, matrices = TRANSPOSED_AND_SEPARABLE[name]
    model, inputs = model_of(make, shape)
    maps = assert_conversion_changes_nothing(model, inputs, layer_gradients)
    assert [each.view.matrices_shape for each in maps] == matrices


@pytest.mark.parametrize("name", DEPTHWISE)
def test_depthwise_kernels_if_the_filter_takes_them_in(name, layer_gradients):
    make, shape, matrices = DEPTHWISE[name]
    model, inputs = model_of(make, shape)
    maps = assert_conversion_changes_nothing(model, inputs, layer_gradients, lambda each: True)
    assert [each.view.matrices_shape for each in maps] == matrices


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_if_the_filter_takes_them_in(tied):
    keras.utils.set_random_seed(0)
    tokens = keras.Input((5,), dtype="int32")
    embedding = layers.ReversibleEmbedding(9, 4, tie_weights=tied)
    logits = embedding(layers.Dense(4)(embedding(tokens)), reverse=True)
    model = keras.Model(tokens, [logits, layers.Embedding(9, 3)(tokens)])
    inputs = np.random.default_rng(0).integers(0, 9, (4, 5))
    outputs = model(inputs)
    overparameterize(model, filter=lambda each: True, verbose=0)
    maps = linear_maps(model)
    assert len(maps) == 3 + (not tied) and all(each.is_factorized for each in maps)
    for output, other in zip(outputs, model(inputs), strict=True):
        assert_close(other, output)
    model.compile("sgd", "mse", jit_compile=False)
    before = [np.array(factor) for factor in maps[0].factors]
    model.train_on_batch(inputs, [np.ones(output.shape) for output in outputs])
    for factor, value in zip(maps[0].factors, before):
        assert np.abs(np.asarray(factor) - value).max() > 0


@pytest.mark.parametrize("name", TRANSPOSED_AND_SEPARABLE)
def test_regularizers_act_on_the_product(name):
    make, shape, _ = TRANSPOSED_AND_SEPARABLE[name]
    config = make().get_config()
    for argument in config:
        if argument.endswith("_regularizer") and argument != "activity_regularizer":
            config[argument] = "l2"
    model, _ = model_of(lambda: type(make()).from_config(config), shape)
    before = [float(loss) for loss in model.losses]
    overparameterize(model, verbose=0)
    np.testing.assert_allclose([float(loss) for loss in model.losses], before, rtol=1e-5)
    assert len(before) >= 2
