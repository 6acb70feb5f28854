"""A zoo of models, overparameterized and collapsed: the same function, and all else kept."""

import types

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import FactorizedConv2D, FactorizedDense, collapse, overparameterize
from tfoverparam.conversion import _random_batch
from tfoverparam.layer_tree import walk

FACTORIZED = {layers.Dense: FactorizedDense, layers.Conv2D: FactorizedConv2D}


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


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(model, id=model.__name__, marks=[pytest.mark.slow] if model in SLOW else [])
        for model in MODELS
    ],
)
def case(request):
    """A model that has come some way from its initial values, converted, and converted back."""
    keras.utils.set_random_seed(0)
    model = request.param()
    random = np.random.default_rng(0)
    for weight in model.weights:
        # Variances stay positive, and biases are not zero.
        scaled = random.uniform(0.5, 1.5, weight.shape) * np.asarray(weight).astype("float64")
        weight.assign(scaled + random.uniform(0.0, 0.1, weight.shape))
    before = [np.array(variable) for variable in model.variables]
    twin = overparameterize(model, depth=3)
    return types.SimpleNamespace(
        model=model,
        before=before,
        twin=twin,
        folded=collapse(twin),
        tolerances=TOLERANCES.get(request.param, (1e-5, 1e-5)),
    )


def relative_gaps(outputs, others):
    """Of all outputs of a call, each relative to the largest entry."""
    gaps = []
    for output, other in zip(keras.tree.flatten(outputs), keras.tree.flatten(others), strict=True):
        output, other = (np.asarray(each).astype("float64") for each in (output, other))
        assert output.shape == other.shape and np.abs(output).max() > 1e-3
        gaps.append(np.abs(output - other).max() / np.abs(output).max())
    return gaps


def test_the_function_is_the_same(case):
    batch = _random_batch(case.model)
    outputs = case.model(batch)
    assert max(relative_gaps(outputs, case.twin(batch))) <= case.tolerances[0]
    assert max(relative_gaps(outputs, case.folded(batch))) <= case.tolerances[1]


def test_every_dense_and_conv2d_is_replaced_and_nothing_else(case):
    originals = list(walk(case.model))
    assert any(type(layer) in FACTORIZED for layer in originals)
    expected = [FACTORIZED.get(type(layer), type(layer)) for layer in originals]
    assert [type(layer) for layer in walk(case.twin)] == expected
    assert [type(layer) for layer in walk(case.folded)] == [type(layer) for layer in originals]
    factorized = [layer for layer in walk(case.twin) if type(layer) in FACTORIZED.values()]
    assert all(layer.depth == len(layer.factors) == 3 for layer in factorized)


def test_names_flags_and_policies_are_kept(case):
    for other in (case.twin, case.folded):
        for layer, twin in zip(walk(case.model), walk(other), strict=True):
            assert twin is not layer
            # Attention names the layers in it itself.
            assert twin.name == layer.name or isinstance(layer, (layers.Softmax, layers.Dropout))
            assert twin.trainable == layer.trainable
            assert twin.dtype_policy == layer.dtype_policy
        assert len(other.trainable_weights) == len(case.model.trainable_weights) + 2 * (
            sum(type(layer) in FACTORIZED and layer.trainable for layer in walk(case.model))
            if other is case.twin
            else 0
        )


def test_the_factors_are_balanced(case):
    for layer in walk(case.twin):
        if type(layer) in FACTORIZED.values():
            assert float(layer.imbalance()) <= 1e-5


def test_weights_come_back_in_their_order(case):
    for weight, folded in zip(case.model.variables, case.folded.variables, strict=True):
        assert folded is not weight and folded.dtype == weight.dtype
        weight, folded = np.asarray(weight), np.asarray(folded)
        assert np.abs(folded - weight).max() <= 1e-6 * np.abs(weight).max()


def test_penalties_are_the_same(case):
    batch = _random_batch(case.model)
    totals = []
    for each in (case.model, case.twin, case.folded):
        each(batch)
        totals.append((len(each.losses), float(sum(each.losses))))
    for count, total in totals[1:]:
        assert count == totals[0][0]
        np.testing.assert_allclose(total, totals[0][1], rtol=1e-5)


def test_the_original_is_untouched(case):
    assert not any(type(layer) in FACTORIZED.values() for layer in walk(case.model))
    for variable, before in zip(case.model.variables, case.before, strict=True):
        np.testing.assert_array_equal(variable, before)
