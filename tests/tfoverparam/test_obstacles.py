"""Code that computes with the variables of other layers: kept out, whatever way it goes."""

import contextlib
import functools
import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from tfoverparam import linear_maps, overparameterize

X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")


def transposed(layer, z):
    return ops.matmul(z, ops.transpose(layer.weights[0]))


def through_a_function(layer, z):
    return transposed(layer, z)


def traced_like(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


class Tied(keras.Model):
    """An autoencoder whose decoder is the encoder's kernel, transposed."""

    def __init__(self):
        super().__init__()
        self.encoder = layers.Dense(4, use_bias=False)
        self.head = layers.Dense(6)

    def call(self, x):
        return self.head(self.decode(self.encoder(x)))


class ByMethod(Tied):
    def decode(self, z):
        return transposed(self.encoder, z)


class ByMethodOfMethod(Tied):
    def decode(self, z):
        return self._once_more(z)

    def _once_more(self, z):
        return ops.matmul(z, ops.transpose(self.encoder.trainable_weights[0]))


class ByProperty(Tied):
    @property
    def tie(self):
        return self.encoder.weights[0]

    def decode(self, z):
        return ops.matmul(z, ops.transpose(self.tie))


class ByCachedProperty(Tied):
    @functools.cached_property
    def tie(self):
        return self.encoder.weights[0]

    def decode(self, z):
        return ops.matmul(z, ops.transpose(self.tie))


class ByStaticMethod(Tied):
    @staticmethod
    def _transposed(layer, z):
        return ops.matmul(z, ops.transpose(layer.weights[0]))

    def decode(self, z):
        return self._transposed(self.encoder, z)


class ByFunction(Tied):
    def decode(self, z):
        return through_a_function(self.encoder, z)


class ByDecorated(Tied):
    @traced_like
    def decode(self, z):
        return ops.matmul(z, ops.transpose(self.encoder.weights[0]))


class InBase(ByMethod):
    def call(self, x):
        return super().call(x)


class ByModule(Tied):
    def decode(self, z):
        return helpers.tied(self.encoder, z)


class ByAttribute(Tied):
    def __init__(self):
        super().__init__()
        self.decode = [lambda z: transposed(self.encoder, z)]

    def call(self, x):
        return self.head(self.decode[0](self.encoder(x)))


helpers = types.ModuleType("helpers")
helpers.tied = transposed


@pytest.mark.parametrize(
    "cls",
    [
        InBase,
        ByModule,
        ByAttribute,
        ByMethod,
        ByMethodOfMethod,
        ByProperty,
        ByCachedProperty,
        ByStaticMethod,
        ByFunction,
        ByDecorated,
    ],
)
def test_what_call_reads_by_way_of_others(cls):
    model = cls()
    before = np.array(model(X))
    # All of the model is kept out where it reads, the encoder alone where it holds the kernel.
    with pytest.warns(UserWarning, match=f"class {cls.__name__} (reads|holds)"):
        with contextlib.suppress(ValueError):
            overparameterize(model, verbose=0)
    assert type(model.encoder) is layers.Dense
    np.testing.assert_allclose(np.array(model(X)), before, rtol=1e-5, atol=1e-5)


class StepsOnly(keras.Model):
    """What trains a model, or describes it, is not what it computes."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(6)

    def call(self, x):
        return self.head(x)

    def norm(self):
        return sum(ops.sum(ops.square(each)) for each in self.trainable_variables)

    def train_step(self, data):
        return {"norm": self.norm()}


def test_other_methods_may_read_what_they_like():
    model = StepsOnly()
    model(X)
    overparameterize(model, verbose=0)
    assert [each.is_factorized for each in linear_maps(model)] == [True]


class Transposer:
    def __init__(self, dense):
        self.dense = dense

    def __call__(self, z):
        return transposed(self.dense, z)

    def method(self, z):
        return transposed(self.dense, z)


LAMBDAS = {
    "closure": lambda d: layers.Lambda(lambda z: ops.matmul(z, ops.transpose(d.weights[0]))),
    "function": lambda d: layers.Lambda(lambda z: transposed(d, z)),
    "list": lambda d: layers.Lambda(
        lambda z, of=({"first": [d]},): transposed(of[0]["first"][0], z)
    ),
    "partial": lambda d: layers.Lambda(functools.partial(transposed, d)),
    "keyword": lambda d: layers.Lambda(functools.partial(lambda z, *, of: transposed(of, z), of=d)),
    "activation": lambda d: layers.Activation(lambda z: transposed(d, z)),
}


@pytest.mark.parametrize("name", LAMBDAS)
def test_a_lambda_that_reads_the_weights_of_another_layer(name):
    dense, inputs = layers.Dense(4, use_bias=False), keras.Input((6,))
    hidden = dense(inputs)
    model = keras.Model(inputs, LAMBDAS[name](dense)(hidden))
    before = np.array(model(X))
    with pytest.warns(UserWarning, match="reads `weights`"), pytest.raises(ValueError):
        overparameterize(model, verbose=0)
    np.testing.assert_array_equal(np.array(model(X)), before)


@pytest.mark.parametrize("of", [abs, np.abs, lambda z: z, functools.partial(ops.multiply, 2.0)])
def test_other_lambdas_are_no_obstacle(of):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Lambda(of)])
    overparameterize(model, verbose=0)
    assert linear_maps(model)[0].is_factorized


def test_a_live_tie_is_none_either():
    dense, inputs = layers.Dense(4, use_bias=False), keras.Input((6,))
    tie = layers.Lambda(lambda z: ops.matmul(z, ops.transpose(dense.kernel)))
    model = keras.Model(inputs, tie(dense(inputs)))
    overparameterize(model, verbose=0)
    dense.assign_kernel(np.ones((6, 4), "float32"))
    np.testing.assert_allclose(np.array(model(X)), X @ np.full((6, 6), 4.0), rtol=1e-4, atol=1e-4)


def test_an_operation_that_holds_a_kernel():
    dense, inputs = layers.Dense(4, use_bias=False), keras.Input((6,))
    model = keras.Model(inputs, ops.einsum("bk,dk->bd", dense(inputs), dense.kernel))
    with pytest.warns(UserWarning, match="of class Einsum holds"), pytest.raises(ValueError):
        overparameterize(model, verbose=0)
    # In a model within another one, too, and by a layer that is given it.
    other = layers.Dense(4)
    model = keras.Sequential([keras.Input((6,)), model, other])
    with pytest.warns(UserWarning, match="of class Einsum holds"):
        overparameterize(model, verbose=0)
    assert [each.is_factorized for each in linear_maps(model)] == [False, True]


class Holder(layers.Layer):
    def __init__(self, dense, container):
        super().__init__()
        self.dense = dense
        self.held = container(dense.kernel)

    def call(self, x):
        return ops.matmul(x, self.get(self.held))

    def get(self, held):
        return held if isinstance(held, keras.Variable) else self.get(list(held.values())[0][0])


def test_a_kernel_in_containers_of_containers():
    dense = layers.Dense(4)
    dense.build((None, 6))
    holder = Holder(dense, lambda kernel: {"encoder": [{"first": (kernel,)}]})
    model = keras.Sequential([keras.Input((6,)), holder])
    with pytest.warns(UserWarning, match="of class Holder holds"), pytest.raises(ValueError):
        overparameterize(model, verbose=0)


class WithProperty(layers.Dense):
    @property
    def first(self):
        return self.weights[0]


def test_a_property_of_a_subclass_of_the_layer():
    model = keras.Sequential([keras.Input((6,)), WithProperty(3)])
    with pytest.warns(UserWarning, match="WithProperty reads"), pytest.raises(ValueError):
        overparameterize(model, verbose=0)


def norm_of(layer):
    return ops.sum(ops.square(layer.weights[0]))


class ByFunctionOfItself(layers.Dense):
    def call(self, x):
        return super().call(x) / norm_of(self)


def test_a_function_that_reads_the_weights_of_a_subclass():
    model = keras.Sequential([keras.Input((6,)), ByFunctionOfItself(3)])
    with pytest.warns(UserWarning, match="ByFunctionOfItself reads"), pytest.raises(ValueError):
        overparameterize(model, verbose=0)


def encode(model):
    return model.get_weights()


class Named(keras.Model):
    """Its attributes have the names of functions that it does not call, and of strange things."""

    def __init__(self):
        super().__init__()
        self.encode = layers.Dense(4)
        self.func = np.arange(3, dtype="float32")
        self.history = []
        self.history.append(self.history)

    def build(self, shape):
        self.encode.build(shape)
        self.start()

    def start(self):
        self.encode.set_weights([0.5 * each for each in self.encode.get_weights()])

    def call(self, x):
        return self.encode(x) + ops.sum(self.func)


def test_what_only_looks_like_an_obstacle_is_none():
    model = Named()
    model.build((None, 6))
    strange = {"__name__": None}
    exec("def of_nowhere(z): return z", strange)
    both = keras.Sequential([keras.Input((6,)), model, layers.Lambda(strange["of_nowhere"])])
    both.compile("sgd", loss=lambda t, y: ops.mean(y) + sum(map(ops.sum, both.trainable_weights)))
    overparameterize(both, verbose=0)
    assert linear_maps(both)[0].is_factorized


def test_models_that_share_layers_may_be_obstacles():
    inputs = keras.Input((6,))
    dense = layers.Dense(4, use_bias=False)
    hidden = dense(inputs)
    encoder = keras.Model(inputs, hidden)
    tied = keras.Model(inputs, ops.einsum("bk,dk->bd", hidden, dense.kernel))
    with pytest.warns(UserWarning, match="of class Einsum holds"), pytest.raises(ValueError):
        overparameterize(encoder, verbose=0)
    del tied
    overparameterize(encoder, verbose=0)  # Nobody has the other one any more.
    other = ByMethod()
    other(X)
    encoder = keras.Sequential([keras.Input((6,)), other.encoder])
    with pytest.warns(UserWarning, match="ByMethod reads"), pytest.raises(ValueError):
        overparameterize(encoder, verbose=0)
