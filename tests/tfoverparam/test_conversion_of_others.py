"""What others hold of a model: other models, copies, optimizers, compiled functions, files."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfoverparam import EndToEnd, collapse, linear_maps, overparameterize

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")
ON_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")


def test_a_model_that_shares_layers_predicts_with_what_they_are_now():
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, "relu")(inputs)
    model, encoder = keras.Model(inputs, layers.Dense(2)(hidden)), keras.Model(inputs, hidden)
    around = keras.Sequential([keras.Input((4,)), model])
    model.compile(keras.optimizers.SGD(0.5), "mse")

    def check():
        for each in (encoder, around):
            np.testing.assert_allclose(each.predict(X, verbose=0), np.array(each(X)), atol=1e-6)

    check()
    for change in (lambda: overparameterize(model, verbose=0), lambda: collapse(model)):
        change()
        check()
        before = encoder.predict(X, verbose=0)
        model.fit(X, Y, epochs=3, verbose=0)
        check()
        assert np.abs(encoder.predict(X, verbose=0) - before).max() > 1e-3


def test_a_model_that_shares_layers_trains_them():
    inputs = keras.Input((4,))
    dense = layers.Dense(2)
    model, other = keras.Model(inputs, dense(inputs)), keras.Model(inputs, ops.tanh(dense(inputs)))
    untouched = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    for each in (model, other, untouched):
        each.compile(keras.optimizers.Adam(0.1), "mse")
        each.fit(X, Y, verbose=0)
    optimizer = untouched.optimizer
    overparameterize(model, verbose=0)
    factors = [np.array(each) for each in dense.factors]
    other.fit(X, Y, verbose=0)
    assert all(np.abs(np.array(a) - b).max() > 1e-3 for a, b in zip(dense.factors, factors))
    # A model that shares nothing is left alone.
    assert untouched.optimizer is optimizer and untouched.train_function is not None


def test_failure_brings_back_models_that_share_layers(monkeypatch):
    from tfoverparam import compilation

    inputs = keras.Input((4,))
    dense = layers.Dense(2)
    model, other = keras.Model(inputs, dense(inputs)), keras.Model(inputs, ops.tanh(dense(inputs)))
    other.compile("adam", "mse")
    other.fit(X, Y, verbose=0)
    optimizer = other.optimizer

    def fail(*_):
        raise OSError

    monkeypatch.setattr(compilation.keras_private, "renew_compiled_functions", fail)
    with pytest.raises(OSError):
        overparameterize(model, verbose=0)
    assert other.optimizer is optimizer and type(dense) is layers.Dense
    other.fit(X, Y, verbose=0)


@ON_TENSORFLOW
@pytest.mark.parametrize("method", ["call", "train_step"])
def test_methods_that_tensorflow_has_traced(method):
    import tensorflow as tf

    class Traced(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = layers.Dense(8, "relu"), layers.Dense(2)

        def build(self, shape):
            self.hidden.build(shape)
            self.head.build((None, 8))

        def call(self, x):
            return self.head(self.hidden(x))

        def train_step(self, data):
            return super().train_step(data)

    setattr(Traced, method, tf.function(getattr(Traced, method)))
    model = Traced()
    model.build((None, 4))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, verbose=0)
    overparameterize(model, verbose=0)
    factors = [np.array(each) for each in model.trainable_variables]
    (loss,) = model.fit(X, Y, verbose=0).history["loss"]
    assert loss > 0
    for before, after in zip(factors, model.trainable_variables):
        assert np.abs(np.array(after) - before).max() > 0
    model.head.factors[0].assign(np.zeros((8, 2), "float32"))
    bias = np.array(model.head.bias)
    np.testing.assert_allclose(np.array(model(X)), np.broadcast_to(bias, (8, 2)), atol=1e-6)
    collapse(model)
    kernel = np.array(model.head.kernel)
    model.fit(X, Y, verbose=0)
    assert np.abs(np.array(model.head.kernel) - kernel).max() > 0


class TwoNames(keras.Model):
    """Its optimizer is in an attribute of its own, too."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(2)

    def call(self, x):
        return self.head(x)

    def compile(self, optimizer, **arguments):
        super().compile(optimizer=optimizer, **arguments)
        self.own = optimizer


def test_an_optimizer_in_two_attributes_stays_one():
    model = TwoNames()
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(X, Y, verbose=0)
    overparameterize(model, verbose=0)
    assert model.own is model.optimizer
    # So it does if it has made no steps.
    collapse(model)
    assert model.own is model.optimizer


@pytest.mark.parametrize("scaled", [False, True])
def test_files_describe_the_optimizer_that_there_is(scaled):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1)
    outer = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
    model.compile(outer, "mse")
    model.fit(X, Y, verbose=0)
    overparameterize(model, verbose=0)
    model.fit(X, Y, verbose=0)
    model.optimizer.learning_rate = 1e-4
    config = model.get_compile_config()["optimizer"]["config"]
    config = config["inner_optimizer"]["config"] if scaled else config
    assert config["learning_rate"] == pytest.approx(1e-4)


def test_files_describe_the_optimizer_within_a_loss_scale_of_keras():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="mixed_float16")])
    model.compile(keras.optimizers.SGD(0.1), "mse", auto_scale_loss=True)
    model.optimizer = keras.optimizers.LossScaleOptimizer(model.optimizer)
    model.fit(X, Y, verbose=0)
    overparameterize(model, verbose=0)
    model.optimizer.inner_optimizer.learning_rate = 1e-4
    config = model.get_compile_config()["optimizer"]["config"]
    assert config["learning_rate"] == pytest.approx(1e-4)


class Own(layers.Dense):
    """In no registry of Keras's."""


MODELS = {
    "lstm": lambda: [keras.Input((5, 4)), layers.LSTM(3), layers.Dense(2)],
    "gru": lambda: [keras.Input((5, 4)), layers.GRU(3)],
    "both ways": lambda: [keras.Input((5, 4)), layers.Bidirectional(layers.SimpleRNN(3))],
    "cells": lambda: [keras.Input((5, 4)), layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)])],
    "convolutional": lambda: [keras.Input((5, 6, 2)), layers.ConvLSTM1D(3, 2)],
    "own class": lambda: [keras.Input((4,)), Own(5), layers.Dense(2)],
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_can_be_cloned(name):
    model = keras.Sequential(MODELS[name]())
    twin = keras.models.clone_model(overparameterize(model, verbose=0))
    collapse(twin).set_weights(collapse(model).get_weights())
    x = RNG.normal(size=(2, *model.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(np.array(twin(x)), np.array(model(x)), rtol=1e-5, atol=1e-6)


def test_a_clone_has_factors_where_its_layers_say_so():
    model = overparameterize(keras.Sequential(MODELS["own class"]()), depth=3, verbose=0)
    twin = keras.models.clone_model(model)
    assert [len(each.factors) for each in linear_maps(twin)] == [3, 3]
    assert [type(each).__mro__[0].__name__ for each in twin.layers] == ["Own", "Dense"]
    assert isinstance(twin.layers[0], Own)


def test_a_model_trained_by_the_rule_on_these_kernels_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model.compile(EndToEnd("sgd", apply_to=model), "mse")
    model.fit(X, Y, verbose=0)
    kernel = np.array(model.layers[0].kernel)
    with pytest.raises(ValueError, match="is `EndToEnd`, which was told to apply to"):
        overparameterize(model, verbose=0)
    np.testing.assert_array_equal(np.array(model.layers[0].kernel), kernel)
    model.fit(X, Y, verbose=0)  # as it was
    # Of other kernels it may be, and of those that are left.
    first, second = linear_maps(model)
    for rule in (EndToEnd("sgd", apply_to=second), EndToEnd("sgd")):
        model.compile(rule, "mse")
        overparameterize(model, filter=lambda each: each == first, verbose=0)
        model.fit(X, Y, verbose=0)
        collapse(model)


def test_a_rule_on_kernels_that_stay_is_none_of_its_business():
    critic = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(1)])
    critic.compile(EndToEnd("sgd", apply_to=critic), "mse")
    critic.fit(X, X[:, :1], verbose=0)
    critic.trainable = False
    generator = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
    both = keras.Sequential([keras.Input((6,)), generator, critic])
    both.compile("sgd", "mse")
    overparameterize(both, filter=lambda each: each.layer in generator.layers, verbose=0)
    with pytest.raises(ValueError, match="critic|sequential"):  # Of its own kernels it is.
        overparameterize(both, verbose=0)


def test_a_rule_with_the_path_of_a_kernel_that_is_factorized():
    def tower():
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(4, name="out")(inputs))

    one, two = tower(), tower()
    model = keras.Sequential([keras.Input((4,)), one, two])
    first, second = linear_maps(model)
    model.compile(EndToEnd("sgd", apply_to=one), "mse")
    model.fit(X, X, verbose=0)
    with pytest.raises(ValueError, match="`EndToEnd`"):
        overparameterize(model, filter=lambda each: each == first, verbose=0)


def test_models_that_nobody_has_any_more_and_broken_ones():
    base = keras.Sequential([keras.Input((6,)), layers.Dense(3)])

    def trial():
        model = keras.Sequential([keras.Input((6,)), base, layers.Dense(1)])
        model.compile(EndToEnd("sgd", apply_to=model), "mse")
        model.cycle = [model]

    trial()

    class Broken(keras.Model):
        @property
        def layers(self):
            raise AttributeError

    broken = Broken()
    overparameterize(base, verbose=0)
    assert isinstance(broken, keras.Model)


@pytest.mark.parametrize("depth", [2, 3])
def test_a_kernel_of_zeros_can_be_trained(depth):
    head = layers.Dense(2, kernel_initializer="zeros", name="head")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu"), head])
    with pytest.warns(UserWarning, match="head/kernel"):
        overparameterize(model, depth, verbose=0)
    np.testing.assert_array_equal(np.array(model(X)), np.zeros((8, 2)))
    assert sum(np.any(np.array(factor)) for factor in head.factors) == depth - 1
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    assert np.abs(np.array(head.kernel)).max() > 1e-3


def test_one_matrix_of_zeros_in_a_stack():
    layer = layers.Conv1D(4, 2, groups=2)
    model = keras.Sequential([keras.Input((5, 6)), layer])
    kernel = np.array(layer.kernel)
    kernel[..., :2] = 0.0
    layer.kernel.assign(kernel)
    with pytest.warns(UserWarning, match="are identities"):
        overparameterize(model, seed=1, verbose=0)
    np.testing.assert_allclose(np.array(layer.kernel), kernel, atol=1e-6)
    first, second = (np.array(each) for each in layer.factors)  # (groups, rows, columns)
    assert not first[0].any() and np.array_equal(second[0], np.eye(2))
    gram = second[1] @ second[1].T, first[1].T @ first[1]
    np.testing.assert_allclose(*gram, atol=1e-5)  # The other one is balanced.


def test_without_balance_nothing_is_said_of_zeros(recwarn):
    for arguments in ({"balanced": False}, {"depth": 1}):
        head = layers.Dense(2, kernel_initializer="zeros")
        overparameterize(keras.Sequential([keras.Input((4,)), head]), verbose=0, **arguments)
    assert not [each for each in recwarn if "zeros" in str(each.message)]


@pytest.mark.parametrize("jit", [False, True])
def test_a_factorized_layer_of_zeros_can_be_trained(jit):
    from tfoverparam import FactorizedDense

    layer = FactorizedDense(2, depth=3, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((4,)), layer])
    assert not np.array(layer.kernel).any()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
    model.fit(X, Y, epochs=2, verbose=0)
    assert np.array(layer.kernel).any()
    layer.assign_kernel(np.zeros((4, 2), "float32"))
    assert not np.array(layer.kernel).any() and np.array(layer.factors[1]).any()
