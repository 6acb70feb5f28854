"""A zoo of models, factorized and collapsed: the same function, and the same objects."""

import types

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import collapse, linear_maps, overparameterize
from tfoverparam.layer_tree import walk


def mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", kernel_regularizer="l2", bias_initializer="normal"),
            layers.Dropout(0.5),
            layers.Dense(5, activity_regularizer="l1", kernel_regularizer="l1"),
            layers.Dense(1, use_bias=False),
        ]
    )


def convnet():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 2, activation="tanh", kernel_regularizer="l2"),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )


def convolutions():
    """Every way to place a convolution, and kinds that stay as they are."""
    inputs = keras.Input((12, 12, 4))
    x = layers.Conv2D(4, 3, padding="same", strides=2)(inputs)
    y = layers.Conv2D(4, (2, 3), padding="same", dilation_rate=(2, 1))(x)
    y = layers.Conv2D(4, 1, groups=2)(layers.add([x, y]))
    y = layers.Conv2D(8, 3, padding="same", groups=4, strides=(2, 1))(y)
    y = layers.Conv2D(6, (2, 2), strides=(1, 2), padding="valid")(y)
    y = layers.SeparableConv2D(4, 2)(y)
    y = layers.Conv2DTranspose(3, 2)(y)
    y = layers.Reshape((-1, 3))(y)
    return keras.Model(inputs, layers.Conv1D(2, 3, padding="causal", dilation_rate=2)(y))


def channels_first():
    return keras.Sequential(
        [
            keras.Input((2, 6, 6)),
            layers.Conv2D(4, 3, padding="same", data_format="channels_first"),
            layers.Conv2D(6, 2, strides=2, data_format="channels_first"),
        ]
    )


def branches():
    inputs = keras.Input((6,), name="features")
    left = layers.Dense(5, "relu", name="left")(inputs)
    right = ops.exp(-layers.Dense(5, name="right")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="out")(left * right + 1.0), name="branches")


def shared():
    """Two inputs, one layer for both, two outputs, and that layer once more in a wrapper."""
    one, two = keras.Input((4,), name="one"), keras.Input((3, 4), name="two")
    linear = layers.Dense(4, "tanh", name="shared")
    a, b = linear(one), layers.TimeDistributed(linear, name="each")(two)
    outputs = {"sum": layers.Dense(2, name="head")(ops.sum(b, axis=1) + a), "twice": linear(a)}
    return keras.Model({"one": one, "two": two}, outputs)


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu")], name="inner")
    inputs = keras.Input((4,))
    deeper = keras.Model(inputs, inner(inner(inputs)), name="deeper")
    outer = keras.Sequential([keras.Input((4,)), deeper, layers.Dense(3)])
    outer.layers[0].trainable = False
    return outer


def sequences():
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(5, "relu")),
            layers.LayerNormalization(),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )


def attention():
    inputs = keras.Input((5, 4))
    x = layers.LayerNormalization()(inputs + layers.MultiHeadAttention(2, 3)(inputs, inputs))
    return keras.Model(inputs, x + layers.Dense(4)(layers.Dense(8, "gelu")(x)))


def time_distributed():
    inputs = keras.Input((5, 6))
    x = layers.TimeDistributed(layers.Dense(4, "relu"))(inputs)
    x = layers.TimeDistributed(layers.Conv1D(3, 2))(layers.Reshape((5, 4, 1))(x))
    return keras.Model(inputs, x)


def mixer():
    """A block of an MLP-mixer: along the tokens, and along the channels."""
    inputs = keras.Input((8, 6))
    x = layers.Permute((2, 1))(layers.LayerNormalization()(inputs))
    x = layers.Permute((2, 1))(layers.Dense(8)(layers.Dense(16, "gelu")(x)))
    x = layers.Add()([inputs, x])
    return keras.Model(inputs, layers.Add()([x, layers.Dense(6)(layers.Dense(12, "gelu")(x))]))


class Tied(layers.Layer):
    """Reads the kernel of a layer of its own a second time, transposed."""

    def __init__(self):
        super().__init__()
        self.encoder = layers.Dense(4, use_bias=False)

    def call(self, inputs):
        codes = ops.relu(self.encoder(inputs))
        return ops.matmul(codes, ops.transpose(self.encoder.kernel))


def tied_weights():
    return keras.Sequential([keras.Input((9,)), Tied(), layers.Dense(2)])


class AddedTo(layers.Wrapper):
    def call(self, inputs):
        return inputs + self.layer(inputs)


def wrapped():
    return keras.Sequential([keras.Input((6,)), AddedTo(layers.Dense(6)), AddedTo(layers.Dense(6))])


def half_precision():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", dtype="mixed_bfloat16"),
            layers.Dense(3, dtype="float32"),
        ]
    )


def double_precision():
    return keras.Sequential(
        [keras.Input((6,), dtype="float64"), layers.Dense(3, "tanh", dtype="float64")]
    )


@keras.saving.register_keras_serializable(package="zoo")
class Residual(layers.Layer):
    """A custom layer that holds layers in an attribute, in lists and in a dict."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self._first = layers.Dense(units, "relu")
        self.others = [layers.Dense(units), [layers.LayerNormalization()]]
        self.by_name = {"last": (layers.Dense(units),)}

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(self.units,), initializer="normal")
        super().build(input_shape)

    def call(self, inputs):
        x = self.others[1][0](self.others[0](self._first(inputs)))
        return inputs + self.scale * self.by_name["last"][0](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def custom_layer():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(Residual(4, name="residual")(inputs)))


@keras.saving.register_keras_serializable(package="zoo")
class Subclassed(keras.Model):
    """Its inputs are a dict, and its layers are in attributes, a model among them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.image_net = keras.Sequential([layers.Conv2D(3, 2, activation="relu")])
        self.blocks = [Residual(4), Residual(4)]
        self.head = layers.Dense(2)

    def call(self, inputs):
        features = inputs["features"]
        for block in self.blocks:
            features = block(features)
        pooled = ops.mean(self.image_net(inputs["image"]), axis=(1, 2))
        return self.head(ops.concatenate([pooled, features], axis=-1))


def subclassed():
    model = Subclassed(name="subclassed")
    model({"image": np.ones((2, 4, 4, 1)), "features": np.ones((2, 4))})
    return model


def mobile_net_v2():
    return keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=5, classifier_activation=None
    )


def mobile_net_v3():
    return keras.applications.MobileNetV3Small(
        (32, 32, 3),
        alpha=0.25,
        minimalistic=True,
        weights=None,
        classes=5,
        classifier_activation=None,
    )


MODELS = [
    mlp,
    convnet,
    convolutions,
    channels_first,
    branches,
    shared,
    nested,
    sequences,
    attention,
    time_distributed,
    mixer,
    tied_weights,
    wrapped,
    half_precision,
    double_precision,
    custom_layer,
    subclassed,
    mobile_net_v2,
    mobile_net_v3,
]
# Relative to the largest output. In half precision each product rounds to 8 bits, and there is
# one more of them per factor; folded back, a kernel that is off by a rounding of float32 may
# fall on the other side of a rounding of bfloat16.
TOLERANCES = {half_precision: (8 * 2.0**-8, 2 * 2.0**-8), double_precision: (1e-13, 1e-13)}
if keras.backend.backend() == "torch":
    del TOLERANCES[double_precision]  # Keras multiplies matrices of float64 in float32 there.


SLOW = {mobile_net_v2, mobile_net_v3}


def batch_of(model):
    """Inputs of a model, numbers of [0, 2), integers 0 or 1; an unknown length is 7."""
    random = np.random.default_rng(1)

    def drawn(shape, dtype="float32"):
        shape = [2, *(7 if size is None else size for size in shape[1:])]
        return random.uniform(0.0, 2.0, shape).astype(dtype)

    if type(model) is Subclassed:
        return {"image": drawn((2, 4, 4, 1)), "features": drawn((2, 4))}
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(lambda each: drawn(each.shape, each.dtype), inputs)


def outputs_of(model, batch):
    outputs = keras.tree.flatten(model(batch))
    return [np.array(ops.cast(each, "float64")) for each in outputs]


def losses_of(model):
    return [float(each) for each in model.losses]


def objects(model):
    return [(id(layer), layer.name, type(layer)) for layer in walk(model)]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(model, id=model.__name__, marks=[pytest.mark.slow] if model in SLOW else [])
        for model in MODELS
    ],
)
def case(request):
    """A model that has come some way from its initial values, and what it is at three times."""
    keras.utils.set_random_seed(0)
    model = request.param()
    random = np.random.default_rng(0)
    for weight in model.weights:
        # Variances stay positive, and biases are not zero.
        scaled = random.uniform(0.5, 1.5, weight.shape) * np.asarray(weight).astype("float64")
        weight.assign(scaled + random.uniform(0.0, 0.1, weight.shape))
    batch = batch_of(model)

    def now():
        return types.SimpleNamespace(
            outputs=outputs_of(model, batch),
            losses=losses_of(model),
            objects=objects(model),
            weights={each.path: np.array(each) for each in model.weights},
            flags={each.path: each.trainable for each in model.weights},
            factors={each.path: len(each.factors) for each in linear_maps(model)},
            defaults=[each.path for each in linear_maps(model) if each.is_default],
            imbalances=[
                float(each.layer.imbalance()) for each in linear_maps(model) if each.is_factorized
            ],
        )

    before = now()
    overparameterize(model, depth=3, verbose=0)
    converted = now()
    collapse(model)
    return types.SimpleNamespace(
        before=before,
        converted=converted,
        after=now(),
        tolerances=TOLERANCES.get(request.param, (1e-5, 1e-5)),
    )


def relative_gaps(outputs, others):
    """Of all outputs of a call, each relative to the largest entry."""
    gaps = []
    for output, other in zip(outputs, others, strict=True):
        assert output.shape == other.shape and np.abs(output).max() > 1e-3
        gaps.append(np.abs(output - other).max() / np.abs(output).max())
    return gaps


def test_the_function_is_the_same(case):
    gaps = relative_gaps(case.before.outputs, case.converted.outputs)
    assert max(gaps) <= case.tolerances[0]
    assert max(relative_gaps(case.before.outputs, case.after.outputs)) <= case.tolerances[1]


def test_every_map_is_factorized_but_embeddings_and_depthwise_kernels(case):
    assert list(case.converted.factors) == list(case.before.factors)
    for path, count in case.converted.factors.items():
        assert count == (3 if path in case.before.defaults else 0)
        if path not in case.before.defaults:
            # Convolutions of one channel a group are depthwise under another name.
            assert "embeddings" in path or "depthwise" in path or "conv2d" in path
    assert not any(case.after.factors.values())


def test_layers_are_the_same_objects(case):
    assert case.after.objects == case.before.objects
    names = [each[:2] for each in case.before.objects]
    assert [each[:2] for each in case.converted.objects] == names
    for (_, _, cls), (_, _, converted) in zip(case.before.objects, case.converted.objects):
        assert issubclass(converted, cls) and converted.__name__ == cls.__name__


def test_the_factors_are_balanced(case):
    assert case.converted.imbalances and max(case.converted.imbalances) <= 1e-5


def test_weights_and_flags_come_back_in_their_order(case):
    assert list(case.after.weights) == list(case.before.weights)
    assert case.after.flags == case.before.flags
    for path, weight in case.before.weights.items():
        assert case.after.weights[path].dtype == weight.dtype
        assert np.abs(case.after.weights[path] - weight).max() <= 1e-6 * np.abs(weight).max()


def test_penalties_are_the_same(case):
    for each in (case.converted, case.after):
        np.testing.assert_allclose(sorted(each.losses), sorted(case.before.losses), rtol=1e-5)
