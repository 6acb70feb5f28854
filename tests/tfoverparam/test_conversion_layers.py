"""Layers and models that a copy by configuration loses, each factorized where it stands."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import (
    FactorizedConv1D,
    FactorizedConv2D,
    FactorizedConv3D,
    FactorizedDense,
    FactorizedEinsumDense,
    collapse,
    linear_maps,
    overparameterize,
    register_linear_map,
)
from tfoverparam.layer_tree import walk
from tfoverparam.matrix_view import MatrixView


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def outputs_of(model, inputs):
    return np.array(ops.cast(model(inputs), "float64"))


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def assert_converts(model, inputs, targets=None, kept=0):
    """Factorized, a training step, collapsed: the same function, class, and methods."""
    found = list(walk(model))
    classes = [type(each) for each in found]
    expected = outputs_of(model, inputs)
    overparameterize(model, verbose=0)
    assert sum(not each.is_factorized for each in linear_maps(model)) == kept
    assert_close(outputs_of(model, inputs), expected)
    for layer, cls in zip(found, classes):
        assert isinstance(layer, cls) and type(layer).__name__ == cls.__name__
    assert type(model) is classes[0]
    if model.compiled:
        before = [np.array(each) for each in model.trainable_variables]
        model.train_on_batch(inputs, np.zeros_like(expected) if targets is None else targets)
        for weight, value in zip(model.trainable_variables, before, strict=True):
            assert np.abs(np.array(weight) - value).max() > 0, weight.path
        expected = outputs_of(model, inputs)
    collapse(model)
    assert [type(each) for each in walk(model)] == classes
    assert all(one is other for one, other in zip(walk(model), found, strict=True))
    assert_close(outputs_of(model, inputs), expected)


def compiled(model):
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    return model


class Subclassed(keras.Model):
    """Without `**kwargs` and `get_config`: nothing of it is in a configuration."""

    def __init__(self, units):
        super().__init__()
        self.hidden = layers.Dense(units, activation=lambda x: ops.tanh(2.0 * x))
        self.parts = {"head": layers.Dense(3), 2: layers.Dense(units), (3, "a"): [1, "b"]}

    def call(self, inputs):
        return self.parts["head"](self.parts[2](self.hidden(inputs)))


@pytest.mark.parametrize("when", ["built", "compiled", "trained"])
def test_a_subclassed_model_with_mixed_keys_and_a_custom_activation(when):
    model = Subclassed(5)
    inputs = drawn(0, 4, 6)
    model(inputs)
    if when != "built":
        compiled(model)
    if when == "trained":
        model.fit(inputs, np.zeros((4, 3)), verbose=0)
    assert_converts(model, inputs)


class BuildsLater(layers.Layer):
    """Makes its layers in `build`, and calls one of them in a way of its own."""

    def build(self, input_shape):
        self.linear = layers.Dense(input_shape[-1])
        self.linear.build(input_shape)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, inputs):
        return self.scale * ops.matmul(inputs, self.linear.kernel) + self.linear(inputs)


def test_layers_made_in_build():
    model = compiled(keras.Sequential([keras.Input((4,)), BuildsLater(), layers.Dense(2)]))
    assert_converts(model, drawn(0, 3, 4))


class OwnStep(keras.Model):
    """Its own step of training, and its own loss."""

    def __init__(self):
        super().__init__()
        self.linear = layers.Dense(3)
        self.steps = 0

    def call(self, inputs):
        return self.linear(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(y - y_pred)) * 3.0

    def train_step(self, *args):
        self.steps += 1
        return super().train_step(*args)


def test_an_own_train_step_and_loss():
    model = OwnStep()
    model(drawn(0, 3, 4))
    model.compile(keras.optimizers.SGD(0.01), jit_compile=False, run_eagerly=True)
    inputs, targets = drawn(0, 3, 4), drawn(1, 3, 3)
    loss = float(model.compute_loss(inputs, ops.convert_to_tensor(targets), model(inputs)))
    methods = type(model).train_step, type(model).compute_loss
    overparameterize(model, verbose=0)
    assert (type(model).train_step, type(model).compute_loss) == methods
    found = float(model.compute_loss(inputs, ops.convert_to_tensor(targets), model(inputs)))
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    model.fit(inputs, targets, verbose=0)
    assert model.steps == 1


def test_a_siamese_model_with_lambdas_and_an_adapted_normalization():
    normalization = layers.Normalization()
    normalization.adapt(3.0 + 2.0 * drawn(5, 64, 4))
    tower = keras.Sequential([keras.Input((4,)), normalization, layers.Dense(5), layers.Dense(5)])
    one, two = keras.Input((4,)), keras.Input((4,))
    distance = layers.Lambda(lambda pair: ops.abs(pair[0] - pair[1]))([tower(one), tower(two)])
    model = compiled(keras.Model([one, two], layers.Dense(2)(distance)))
    inputs = [drawn(0, 6, 4), drawn(1, 6, 4)]
    mean = np.array(normalization.mean)
    expected = outputs_of(model, inputs)
    overparameterize(model, verbose=0)
    assert_close(outputs_of(model, inputs), expected)
    model.train_on_batch(inputs, np.zeros((6, 2)))
    collapse(model)
    np.testing.assert_array_equal(normalization.mean, mean)


@pytest.mark.tensorflow("strings")
def test_inputs_of_strings():
    import tensorflow as tf

    lookup = layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, layers.Dense(3)(lookup(inputs)))
    words = tf.constant(["a", "c", "d"])
    expected = outputs_of(model, words)
    assert_close(outputs_of(overparameterize(model, verbose=0), words), expected)
    assert lookup.get_vocabulary() == ["[UNK]", "a", "b", "c"]


@pytest.mark.tensorflow("its own random numbers")
def test_random_numbers_of_tensorflow():
    import tensorflow as tf

    class Noisy(layers.Layer):
        def build(self, input_shape):
            self.linear = layers.Dense(3)
            self.linear.build(input_shape)

        def call(self, inputs):
            return self.linear(inputs) + tf.random.normal((3,))

    model = compiled(keras.Sequential([keras.Input((4,)), Noisy()]))
    overparameterize(model, verbose=0).train_on_batch(drawn(0, 3, 4), drawn(1, 3, 3))
    assert model.layers[0].linear.factors


def test_a_position_table_and_an_unknown_image_size():
    class Positions(layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(16, input_shape[-1]), name="table")

        def call(self, inputs):
            return inputs + self.table[: ops.shape(inputs)[1]]

    inputs = keras.Input((16, 4))
    model = compiled(keras.Model(inputs, layers.Dense(3)(Positions()(inputs))))
    assert_converts(model, drawn(0, 2, 16, 4))
    inputs = keras.Input((None, None, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2)(inputs))
    model = compiled(keras.Model(inputs, layers.Dense(2)(pooled)))
    assert_converts(model, drawn(0, 2, 9, 7, 3))


class OwnCell(layers.Layer):
    """A cell of a user, with a built-in layer and a raw weight in it."""

    def __init__(self, units):
        super().__init__()
        self.units = self.state_size = units
        self.mix = layers.Dense(units)

    def build(self, input_shape):
        self.mix.build((None, input_shape[-1] + self.units))
        self.raw = self.add_weight(shape=(self.units, self.units), name="raw")

    def call(self, inputs, states):
        state = self.mix(ops.concatenate([inputs, states[0]], axis=-1))
        state = ops.tanh(state + ops.matmul(states[0], self.raw))
        return state, [state]


def test_a_recurrent_layer_of_a_custom_cell():
    model = compiled(keras.Sequential([keras.Input((5, 4)), layers.RNN(OwnCell(3))]))
    assert [each.path.split("/")[-2:] for each in linear_maps(model)] == [
        [model.layers[0].cell.mix.name, "kernel"]
    ]
    assert_converts(model, drawn(0, 2, 5, 4))


# What is kept out


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize`")
@pytest.mark.parametrize("what", ["LoRA is enabled", "the layer is quantized"])
def test_lora_and_int8_on_an_attention_projection(what):
    inputs = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 3)
    model = compiled(keras.Model(inputs, layers.Dense(2)(attention(inputs, inputs))))
    if what == "LoRA is enabled":
        attention.query_dense.enable_lora(2)
    else:
        attention.query_dense.quantize("int8")
    x = drawn(0, 3, 5, 4)
    expected = outputs_of(model, x)
    with pytest.warns(UserWarning, match=rf"query/kernel \({what}\)"):
        overparameterize(model, verbose=0)
    assert [each.is_factorized for each in linear_maps(model)] == [False] + 4 * [True]
    assert_close(outputs_of(model, x), expected)
    model.train_on_batch(x, np.zeros((3, 5, 2)))


def test_spectral_normalization_fits_after_conversion():
    wrapped = layers.SpectralNormalization(layers.Dense(4, name="wrapped"))
    model = compiled(keras.Sequential([keras.Input((4,)), wrapped, layers.Dense(3)]))
    with pytest.warns(UserWarning, match="of class SpectralNormalization holds the same variable"):
        overparameterize(model, verbose=0)
    model.fit(drawn(0, 8, 4), drawn(1, 8, 3), verbose=0)
    assert type(wrapped.layer) is layers.Dense and model.layers[1].factors


class OverridesBuild(layers.Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.kernel.assign(2.0 * self.kernel)


class ReadsWeights(layers.Dense):
    def call(self, inputs):
        return ops.matmul(inputs, self.weights[0])


class Alias(layers.Dense):
    def call(self, inputs):
        self.alias = self._kernel
        return super().call(inputs)


class OwnFactors(layers.Dense):
    def call(self, inputs):
        self.factors = 3
        return super().call(inputs)


class Clipped(layers.Dense):
    def call(self, inputs):
        self.kernel.assign(ops.clip(self.kernel, -1.0, 1.0))
        return super().call(inputs)


@pytest.mark.parametrize(
    "cls, reason",
    [
        (OverridesBuild, "class OverridesBuild overrides `build`"),
        (Clipped, "class Clipped assigns to `kernel`"),
        (ReadsWeights, "class ReadsWeights reads `weights`, which factors change"),
        (Alias, "the layer holds it in `alias` too"),
        (OwnFactors, "the layer has an attribute `factors` of its own"),
    ],
)
def test_classes_that_are_kept_out(cls, reason):
    model = keras.Sequential([keras.Input((4,)), cls(3), layers.Dense(2)])
    inputs = drawn(0, 3, 4)
    expected = outputs_of(model, inputs)
    with pytest.warns(UserWarning, match=reason):
        overparameterize(model, verbose=0)
    assert type(model.layers[0]) is cls
    assert_close(outputs_of(model, inputs), expected)


class Tied(layers.Layer):
    """Of many an autoencoder: it multiplies by the transposed kernel of another layer."""

    def __init__(self, dense):
        super().__init__()
        self.dense = dense

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.dense.weights[0]))


class TiedByTheKernel(Tied):
    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.dense.kernel))


class Masked(layers.Layer):
    """After keras.io's "PixelCNN": it sets part of the kernel of a layer within it to zero."""

    def __init__(self, dense):
        super().__init__()
        self.dense = dense

    def call(self, inputs):
        self.dense.kernel.assign(ops.tril(self.dense.kernel))
        return self.dense(inputs)


class Penalized(layers.Layer):
    def __init__(self, dense):
        super().__init__()
        self.nested = keras.Sequential([dense])

    def call(self, inputs):
        self.add_loss(sum(ops.sum(ops.square(each)) for each in self.nested.trainable_weights))
        return self.nested(inputs)


@pytest.mark.parametrize(
    "cls, use",
    [
        (Tied, "reads `weights`, which factors change"),
        (Masked, "assigns to `kernel`"),
        (Penalized, "reads `trainable_weights`, which factors change"),
    ],
)
def test_layers_are_kept_out_whose_variables_another_layer_uses(cls, use):
    dense = layers.Dense(4, use_bias=False, name="used")
    model = keras.Sequential([keras.Input((4,)), dense, cls(dense), layers.Dense(2)])
    inputs = drawn(0, 3, 4)
    outputs_of(model, inputs)  # after which the kernel is masked
    expected = outputs_of(model, inputs)
    with pytest.warns(UserWarning, match=rf"used/kernel \(`.*` of class {cls.__name__} {use}\)"):
        overparameterize(model, verbose=0)
    assert [each.is_factorized for each in linear_maps(model)] == [False, True]
    assert_close(outputs_of(model, inputs), expected)


def test_a_kernel_that_another_layer_reads_is_the_product():
    dense = layers.Dense(4)
    model = keras.Sequential([keras.Input((4,)), dense, TiedByTheKernel(dense)])
    assert_converts(compiled(model), drawn(0, 3, 4))


# Classes of a user


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2.0 * ops.matmul(inputs, self._kernel) + self.bias

    def describe(self):
        return f"doubled {self.units}"


def test_a_subclass_of_a_user_keeps_its_methods():
    model = compiled(keras.Sequential([keras.Input((4,)), Doubled(3)]))
    assert_converts(model, drawn(0, 3, 4))
    overparameterize(model, verbose=0)
    (layer,) = model.layers
    assert type(layer).describe is Doubled.describe and layer.describe() == "doubled 3"
    assert isinstance(layer, Doubled) and not isinstance(layer, FactorizedDense)


class Transposed(layers.Layer):
    def build(self, input_shape):
        self.w = self.add_weight(shape=(3, input_shape[-1]), name="w")

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.w))


def test_a_class_that_was_registered():
    register_linear_map(Transposed, "w", lambda each: MatrixView(tuple(each.w.shape), (1,), (0,)))
    model = compiled(keras.Sequential([keras.Input((5,)), Transposed()]))
    assert_converts(model, drawn(0, 3, 5))
    overparameterize(model, verbose=0)
    assert [tuple(each.shape) for each in model.layers[0].factors] == [(5, 3), (3, 3)]


# What a factorized layer is


@pytest.mark.parametrize(
    "layer, shape, factorized",
    [
        (layers.Dense(3), (4,), FactorizedDense),
        (layers.EinsumDense("ab,bcd->acd", (2, 3)), (4,), FactorizedEinsumDense),
        (layers.Conv1D(4, 2, padding="causal"), (5, 2), FactorizedConv1D),
        (layers.Conv2D(4, 2, groups=2), (5, 4, 4), FactorizedConv2D),
        (layers.Conv3D(4, 2), (4, 4, 4, 2), FactorizedConv3D),
        (layers.Conv1DTranspose(4, 2), (5, 2), None),
        (layers.Conv2DTranspose(4, 2, strides=2), (5, 4, 2), None),
        (layers.SeparableConv1D(4, 2), (5, 2), None),
        (layers.SeparableConv2D(4, 2), (5, 4, 2), None),
        (layers.SimpleRNN(3), (5, 2), None),
        (layers.GRU(3), (5, 2), None),
        (layers.LSTM(3), (5, 2), None),
        (layers.Bidirectional(layers.GRU(3)), (5, 2), None),
        (layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), (5, 2), None),
        (layers.ConvLSTM1D(3, 2), (5, 4, 2), None),
        (layers.MultiHeadAttention(2, 3), (5, 4), None),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_every_kind_of_layer(layer, shape, factorized):
    inputs = keras.Input(shape)
    is_attention = isinstance(layer, layers.MultiHeadAttention)
    outputs = layer(inputs, inputs) if is_attention else layer(inputs)
    model = compiled(keras.Model(inputs, outputs))
    is_separable = "Separable" in type(layer).__name__
    assert_converts(model, drawn(0, 3, *shape), kept=int(is_separable))
    overparameterize(model, verbose=0)
    assert not factorized or isinstance(layer, factorized)
    # It says what to do in the place of what changes kernels.
    each = next(each for each in linear_maps(model) if each.is_factorized).layer
    with pytest.raises(ValueError, match="is factorized.*Call `collapse.*LoRA can be enabled"):
        each.enable_lora(2)
    with pytest.raises(NotImplementedError, match="is factorized.*Call `collapse.*be quantized"):
        each.quantize("int8")


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize`")
def test_int8_and_lora_after_collapse():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(3)])
    inputs = drawn(0, 5, 4)
    expected = outputs_of(model, inputs)
    collapse(overparameterize(model, verbose=0))
    model.layers[0].enable_lora(2)
    assert_close(outputs_of(model, inputs), expected)
    model.quantize("int8")
    assert model.layers[1].quantization_mode == "int8"
    gap = np.abs(outputs_of(model, inputs) - expected).max()
    assert gap <= 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kernel_constraint": "max_norm"}, "`kernel_constraint` must be None.*factor_constraint"),
        ({"lora_rank": 2}, "`lora_rank` must be None.*collapse.*Received: lora_rank=2"),
        ({"quantization_config": object()}, "`quantization_config` must be None.*collapse"),
        ({"dtype": "int8_from_float32"}, "cannot be quantized: call `collapse"),
    ],
)
def test_arguments_of_the_built_in_layer_that_mean_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        FactorizedDense(3, **arguments)
    layer = FactorizedDense(3, kernel_constraint=None, quantization_config=None, lora_rank=None)
    assert not {"kernel_constraint", "quantization_config", "lora_rank"} & set(layer.get_config())
