"""Models of many kinds, small, that the tests of the conversion turn inside out."""

import keras
import numpy as np
from keras import layers, ops


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
            layers.GRU(4),
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


ZOO = {
    model.__name__: model
    for model in (
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
    )
}
