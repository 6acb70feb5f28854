"""`linear_maps`: each kernel's matrices against the layer's outputs, computed in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import linear_maps, register_linear_map
from tfoverparam.layers.factorized_layer import FactorizedLayer
from tfoverparam.obstacles import NAMES_OF_FACTORIZED_LAYERS
from tfoverparam.matrix_view import MatrixView


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def maps_of(layer, inputs):
    outputs = np.asarray(layer(inputs))
    return outputs, {each.variable: each for each in linear_maps(layer)}


def matrices(linear_map):
    return np.asarray(linear_map.view.to_matrices(linear_map.kernel)).astype("float64")


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_dense():
    inputs = drawn(0, 2, 3, 4)
    outputs, maps = maps_of(layers.Dense(5, use_bias=False), inputs)
    assert_close(outputs, inputs @ matrices(maps["kernel"]))


# Einsum equations: how the rows of a matrix, its columns and the stack are laid out, by hand


def query(inputs, m):
    assert m.shape == (6, 2 * 4)  # a x (b c)
    return (inputs @ m).reshape(*inputs.shape[:2], 2, 4)


def output(inputs, m):
    assert m.shape == (3 * 2, 5)  # (c d) x e
    return inputs.reshape(*inputs.shape[:2], 6) @ m


def experts(inputs, m):
    assert m.shape == (3, 4, 5)
    return np.stack([inputs[:, n] @ m[n] for n in range(3)], axis=1)


def experts_last(inputs, m):
    assert m.shape == (3, 4, 5)
    return np.stack([inputs[..., n] @ m[n] for n in range(3)], axis=-1)


def scaled(inputs, m):
    assert m.shape == (4, 1, 1)
    return inputs * m[:, 0, 0]


@pytest.mark.parametrize(
    "equation, output_shape, input_shape, by_hand",
    [
        ("abc,cde->abde", (None, 2, 4), (2, 3, 6), query),
        ("abcd,cde->abe", (None, 5), (2, 4, 3, 2), output),
        ("...x,xy->...y", 5, (2, 3, 4), lambda inputs, m: inputs @ m),
        ("...x,yx->...y", 5, (2, 3, 4), lambda inputs, m: inputs @ m),
        ("bed,edf->bef", (3, 5), (2, 3, 4), experts),
        ("bde,fde->bfe", (5, 3), (2, 4, 3), experts_last),
        ("ab,b->ab", 4, (2, 4), scaled),
    ],
)
def test_einsum_dense(equation, output_shape, input_shape, by_hand):
    inputs = drawn(0, *input_shape)
    outputs, maps = maps_of(layers.EinsumDense(equation, output_shape), inputs)
    assert_close(outputs, by_hand(inputs, matrices(maps["kernel"])))


def test_attention_is_four_maps():
    attention = layers.MultiHeadAttention(2, 3, value_dim=4)
    attention.build((2, 5, 6), (2, 5, 6))
    shapes = {each.layer.name: each.view.matrices_shape for each in linear_maps(attention)}
    assert shapes == {
        "query": (6, 2 * 3),
        "key": (6, 2 * 3),
        "value": (6, 2 * 4),
        "attention_output": (2 * 4, 6),
    }


def test_grouped_query_attention_is_four_maps():
    attention = layers.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    attention(drawn(0, 2, 5, 6), drawn(1, 2, 5, 6))
    shapes = {each.layer.name: each.view.matrices_shape for each in linear_maps(attention)}
    assert shapes == {
        "query": (6, 12),
        "key": (6, 6),
        "value": (6, 6),
        "attention_output": (12, 6),
    }


# Convolutions: the window of inputs that a pixel of the outputs sees, as a row


def windows(inputs, size):
    """Of "valid" convolution: (batch, *pixels, *size, channels)."""
    pixels = [n - k + 1 for n, k in zip(inputs.shape[1:-1], size)]
    found = np.zeros((inputs.shape[0], *pixels, *size, inputs.shape[-1]))
    for at in itertools.product(*map(range, pixels)):
        window = tuple(slice(a, a + k) for a, k in zip(at, size))
        found[(slice(None), *at)] = inputs[(slice(None), *window)]
    return found


CONVOLUTIONS = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution(rank):
    inputs, size = drawn(0, 2, *(5, 4, 6)[:rank], 3), (2, 3, 2)[:rank]
    outputs, maps = maps_of(CONVOLUTIONS[rank](4, size), inputs)
    seen = windows(inputs, size)
    rows = seen.reshape(*seen.shape[: 1 + rank], -1)
    assert_close(outputs, rows @ matrices(maps["kernel"]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_with_groups(rank):
    inputs, size = drawn(0, 2, *(5, 4, 6)[:rank], 6), (2, 3, 2)[:rank]
    outputs, maps = maps_of(CONVOLUTIONS[rank](4, size, groups=2), inputs)
    stack = matrices(maps["kernel"])
    assert stack.shape == (2, int(np.prod(size)) * 3, 2)
    expected = []
    for n, channels in enumerate((slice(0, 3), slice(3, 6))):
        seen = windows(inputs[..., channels], size)
        expected.append(seen.reshape(*seen.shape[: 1 + rank], -1) @ stack[n])
    assert_close(outputs, np.concatenate(expected, axis=-1))


@pytest.mark.parametrize("filters", [6, 12])
def test_a_convolution_of_one_channel_a_group_is_depthwise(filters):
    _, maps = maps_of(layers.Conv2D(filters, 3, groups=6), drawn(0, 2, 5, 5, 6))
    assert maps["kernel"].view.matrices_shape == (6, 9, filters // 6)
    assert not maps["kernel"].is_default
    _, maps = maps_of(layers.Conv2D(filters, 3, groups=3), drawn(0, 2, 5, 5, 6))
    assert maps["kernel"].is_default


@pytest.mark.parametrize("layer", [layers.DepthwiseConv1D, layers.DepthwiseConv2D])
def test_depthwise_convolution(layer):
    rank = 1 if layer is layers.DepthwiseConv1D else 2
    inputs, size = drawn(0, 2, *(5, 4)[:rank], 3), (2, 3)[:rank]
    outputs, maps = maps_of(layer(size, depth_multiplier=2), inputs)
    assert_close(outputs, depthwise(inputs, size, matrices(maps["kernel"])))


def depthwise(inputs, size, stack):
    assert stack.shape == (3, int(np.prod(size)), 2)
    expected = []
    for n in range(3):
        seen = windows(inputs[..., n : n + 1], size)
        expected.append(seen.reshape(*seen.shape[: 1 + len(size)], -1) @ stack[n])
    return np.concatenate(expected, axis=-1)


@pytest.mark.parametrize("layer", [layers.SeparableConv1D, layers.SeparableConv2D])
def test_separable_convolution(layer):
    rank = 1 if layer is layers.SeparableConv1D else 2
    inputs, size = drawn(0, 2, *(5, 4)[:rank], 3), (2, 3)[:rank]
    outputs, maps = maps_of(layer(5, size, depth_multiplier=2), inputs)
    assert list(maps) == ["depthwise_kernel", "pointwise_kernel"]
    middle = depthwise(inputs, size, matrices(maps["depthwise_kernel"]))
    assert_close(outputs, middle @ matrices(maps["pointwise_kernel"]))


@pytest.mark.parametrize(
    "layer", [layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose]
)
def test_transposed_convolution(layer):
    rank = int(layer.__name__[4])
    pixels, size = (3, 2, 2)[:rank], (2, 3, 2)[:rank]
    inputs = drawn(0, 2, *pixels, 4)
    outputs, maps = maps_of(layer(5, size), inputs)
    patches = inputs @ matrices(maps["kernel"])  # each pixel's own, to be added up
    expected = np.zeros((2, *(n + k - 1 for n, k in zip(pixels, size)), 5))
    for at in itertools.product(*map(range, pixels)):
        window = tuple(slice(a, a + k) for a, k in zip(at, size))
        expected[(slice(None), *window)] += patches[(slice(None), *at)].reshape(2, *size, 5)
    assert_close(outputs, expected)


# Recurrent cells


def test_simple_rnn():
    inputs = drawn(0, 2, 3, 4)
    outputs, maps = maps_of(layers.SimpleRNN(5, activation="linear"), inputs)
    state = np.zeros((2, 5))
    for step in range(3):
        recurrent = state @ matrices(maps["recurrent_kernel"])
        state = inputs[:, step] @ matrices(maps["kernel"]) + recurrent
    assert_close(outputs, state)


@pytest.mark.parametrize("layer, gates", [(layers.LSTM, 4), (layers.GRU, 3)])
def test_gated_cells_have_two_maps(layer, gates):
    _, maps = maps_of(layers.Bidirectional(layer(5)), drawn(0, 2, 3, 4))
    shapes = {name: each.view.matrices_shape for name, each in maps.items()}
    assert shapes == {"kernel": (4, gates * 5), "recurrent_kernel": (5, gates * 5)}


def test_conv_lstm():
    _, maps = maps_of(layers.ConvLSTM2D(5, (2, 3)), drawn(0, 2, 3, 6, 7, 4))
    shapes = {name: each.view.matrices_shape for name, each in maps.items()}
    assert shapes == {"kernel": (6 * 4, 20), "recurrent_kernel": (6 * 5, 20)}


# Embeddings


def test_embedding():
    tokens = np.array([[0, 3], [2, 2]])
    outputs, maps = maps_of(layers.Embedding(4, 5), tokens)
    assert_close(outputs, np.eye(4)[tokens] @ matrices(maps["embeddings"]))


@pytest.mark.parametrize("tied", [True, False])
def test_reversible_embedding(tied):
    layer = layers.ReversibleEmbedding(4, 5, tie_weights=tied)
    _, maps = maps_of(layer, np.array([[0, 3], [2, 2]]))
    hidden = drawn(0, 2, 5)
    kernel = matrices(maps["embeddings"]).T if tied else matrices(maps["reverse_embeddings"])
    assert_close(np.asarray(layer(hidden, reverse=True)), hidden @ kernel)
    assert len(maps) == (1 if tied else 2)


# Models


class Scaled(layers.Layer):
    """A class of a user, with a kernel that only its author knows to be linear."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(3, input_shape[-1]), name="w")

    def call(self, inputs):
        return keras.ops.matmul(inputs, keras.ops.transpose(self.w))


class MoreScaled(Scaled):
    pass


def test_a_class_of_ones_own():
    layer = MoreScaled()
    layer.build((None, 4))
    assert linear_maps(layer) == []
    register_linear_map(Scaled, "w", lambda layer: MatrixView(tuple(layer.w.shape), (1,), (0,)))
    outputs, maps = maps_of(layer, inputs := drawn(0, 2, 4))
    assert_close(outputs, inputs @ matrices(maps["w"]))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((3,), "`cls` must be a subclass of `keras.Layer`. Received: cls=3"),
        ((Scaled, 3), "`variable` must be a name. Received: variable=3"),
        ((Scaled, "w", 3), "`view` must be None or a function. Received: view=3"),
    ],
)
def test_what_cannot_be_registered(arguments, message):
    with pytest.raises(ValueError, match=message):
        register_linear_map(*arguments)


def test_only_models_and_layers_have_maps():
    with pytest.raises(ValueError, match="`model` must be a model or layer. Received: model=3"):
        linear_maps(3)


def test_each_map_once_and_the_same_each_time():
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared], name="inner")
    model = keras.Sequential([keras.Input((3, 4)), layers.TimeDistributed(inner), shared])
    model.mixed_keys = {"a": 1, 2: shared}
    (only,) = linear_maps(model)
    assert only.layer is shared and only.kernel is shared.kernel and not only.is_factorized
    assert only.path == shared.kernel.path and only.parameters == 16
    assert {only} == set(linear_maps(model))


def test_layers_that_are_not_built_have_none():
    assert linear_maps(keras.Sequential([layers.Dense(3)])) == []


def test_names_that_a_factorized_layer_adds():
    public = {name for name in dir(FactorizedLayer) if not name.startswith("_")}
    assert public - set(dir(keras.Layer)) == {*NAMES_OF_FACTORIZED_LAYERS, "enable_lora"}
