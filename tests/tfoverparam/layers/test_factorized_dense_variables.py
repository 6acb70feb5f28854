"""The start is right wherever Keras decides to create the variables."""

import copy
import os
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tfoverparam
from keras import layers
from tfoverparam import FactorizedDense

EPSILON = float(np.finfo("float32").eps)


def glorot(seed=3):
    return keras.initializers.GlorotUniform(seed=seed)


def linear(**arguments):
    return FactorizedDense(4, **{"depth": 3, "kernel_initializer": glorot(), **arguments})


def assert_right_start(layer):
    """Balanced factors that are not zero, and multiply to the kernel that the seed draws."""
    kernel = np.asarray(glorot()((6, 4)))
    # Three products of matrices from a decomposition, each off by 6 epsilon in norm.
    error = np.linalg.norm(np.asarray(layer.kernel) - kernel)
    assert error <= 18 * EPSILON * np.linalg.norm(kernel)
    assert float(layer.imbalance()) <= 12 * EPSILON
    assert all(np.linalg.norm(factor) > 0.1 for factor in layer.factors)


class Block(layers.Layer):
    """A user's layer without a `build` of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.linear = linear()

    def call(self, inputs):
        return self.linear(inputs)


def compiled(model, jit_compile=False):
    # A learning rate of zero leaves the start where it was.
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    return model


def fit(model):
    compiled(model).fit(np.ones((8, 6)), np.ones((8, 4)), batch_size=4, verbose=0)


def test_on_the_first_eager_call():
    layer = linear()
    layer(np.ones((2, 6)))
    assert_right_start(layer)


def test_on_a_symbolic_call():
    layer = linear()
    layer(keras.Input((6,)))
    assert_right_start(layer)


@pytest.mark.parametrize("how", ["eager", "functional", "fit"])
def test_nested_in_a_layer_without_build(how):
    block = Block()
    if how == "eager":
        block(np.ones((2, 6)))
    elif how == "functional":
        inputs = keras.Input((6,))
        keras.Model(inputs, block(inputs))
    else:
        fit(keras.Sequential([block]))
    assert_right_start(block.linear)


class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.linear = linear()

    def call(self, inputs):
        return self.linear(inputs)


@pytest.mark.parametrize("model_class", [Model, lambda: keras.Sequential([linear()])])
def test_within_fit(model_class):
    model = model_class()
    fit(model)
    assert_right_start(model.layers[0])


def test_within_fit_from_a_seed_generator():
    layer = linear(kernel_initializer=glorot(keras.random.SeedGenerator(3)))
    fit(keras.Sequential([layer]))
    assert_right_start(layer)


@pytest.mark.tensorflow("traced functions")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("seed", [3, keras.random.SeedGenerator(3)], ids=["integer", "generator"])
def test_within_a_traced_function(seed, jit_compile):
    import tensorflow as tf

    if not isinstance(seed, int):
        seed = keras.random.SeedGenerator(3)
    layer = linear(kernel_initializer=glorot(seed))

    @tf.function(jit_compile=jit_compile)
    def forward(inputs):
        return layer(inputs)

    outputs = forward(tf.ones((2, 6)))
    assert_right_start(layer)
    np.testing.assert_allclose(outputs[0], np.asarray(layer.kernel).sum(axis=0), atol=24 * EPSILON)


def test_one_by_one_within_fit():
    layer = linear(factor_initializer="glorot_uniform", hidden_units=6)
    fit(keras.Sequential([layer]))
    first, second = np.asarray(layer.factors[0]), np.asarray(layer.factors[1])
    assert np.abs(first).max() > 0 and np.abs(first - second).max() > 0.01


def test_saving_and_loading_keep_the_values_exactly(tmp_path):
    layer = linear(hidden_units=[5, 7], bias_initializer="ones")
    model = keras.Sequential([keras.Input((6,)), layer])
    model.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras")
    for actual, expected in zip(revived.weights, model.weights, strict=True):
        assert actual.name == expected.name
        np.testing.assert_array_equal(actual, expected)
    assert revived.layers[0].hidden_units == [5, 7]
    assert_right_start(revived.layers[0])


def test_saving_and_loading_weights(tmp_path):
    models = [keras.Sequential([keras.Input((6,)), linear(seed=seed)]) for seed in (1, 2)]
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    for actual, expected in zip(models[1].weights, models[0].weights, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_clone_starts_as_the_seeded_original():
    model = keras.Sequential([keras.Input((6,)), linear(seed=1, kernel_regularizer="l2")])
    clone = keras.models.clone_model(model)
    for actual, expected in zip(clone.weights, model.weights, strict=True):
        assert actual is not expected
        np.testing.assert_array_equal(actual, expected)
    assert_right_start(clone.layers[0])


def test_a_deep_copy_is_independent():
    layer = linear(kernel_regularizer="l2")
    layer.build((None, 6))
    twin = copy.deepcopy(layer)
    assert_right_start(twin)
    for factor in twin.factors:
        factor.assign(0 * factor)
    assert_right_start(layer)
    # The penalty of the copy is on the factors of the copy.
    assert float(twin.losses[0]) == 0 and float(layer.losses[0]) > 0


def test_building_eager_and_symbolic_calls_agree():
    built, eager, symbolic = (linear(seed=1) for _ in range(3))
    built.build((None, 5, 6))
    output = eager(np.ones((2, 5, 6)))
    symbolic_output = symbolic(keras.Input((5, 6), batch_size=2))
    assert tuple(output.shape) == symbolic_output.shape == built.compute_output_shape((2, 5, 6))
    for weights in zip(built.weights, eager.weights, symbolic.weights, strict=True):
        assert len({weight.path.split("/")[-1] for weight in weights}) == 1
        np.testing.assert_array_equal(weights[0], weights[1])
        np.testing.assert_array_equal(weights[0], weights[2])


# In a process of its own: virtual devices must be set up before TensorFlow starts.
REPLICAS = """
    import keras
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2

    from tfoverparam import FactorizedDense

    epsilon = float(np.finfo("float32").eps)
    expected = np.asarray(keras.initializers.GlorotUniform(seed=3)((6, 4)))

    def model(lazy, seed):
        initializer = keras.initializers.GlorotUniform(seed=seed)
        linear = FactorizedDense(4, 3, kernel_initializer=initializer, kernel_regularizer="l2")
        model = keras.Sequential([linear] if lazy else [keras.Input((6,)), linear])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        return model

    def check(layer):
        for replica in range(2):
            values = [factor.value.values[replica].numpy() for factor in layer.factors]
            kernel = np.linalg.multi_dot(values)
            assert np.linalg.norm(kernel - expected) <= 18 * epsilon * np.linalg.norm(expected)
            for left, right in zip(values[:-1], values[1:]):
                gap = np.linalg.norm(left.T @ left - right @ right.T)
                assert gap <= 12 * epsilon * np.linalg.norm(left.T @ left)

    x, y = np.ones((8, 6), "float32"), np.ones((8, 4), "float32")
    # Built at once from a generator, and within `fit` from an integer.
    for lazy, seed in ((False, keras.random.SeedGenerator), (True, int)):
        with strategy.scope():
            mirrored = model(lazy, seed(3))
        if lazy:
            mirrored.optimizer.learning_rate = 0.0
            mirrored.fit(x, y, verbose=0)
        check(mirrored.layers[0])
        if not lazy:
            mirrored.fit(x, y, verbose=0)
            # A step on two replicas has kept their factors the same.
            for factor in mirrored.layers[0].factors:
                first, second = factor.value.values
                np.testing.assert_array_equal(first.numpy(), second.numpy())
            assert np.linalg.norm(mirrored.layers[0].kernel - expected) > 0.1
    print("as expected")
"""


@pytest.mark.slow
@pytest.mark.tensorflow("tf.distribute")
def test_on_every_replica_of_a_distributed_model():
    root = pathlib.Path(tfoverparam.__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REPLICAS)],
        cwd=root,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.stdout.endswith("as expected\n"), process.stderr
