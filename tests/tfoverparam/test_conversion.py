"""What `overparameterize` and `collapse` carry over, refuse, and are equal to."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tfoverparam import (
    EndToEnd,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    initializers,
    overparameterize,
)
from tfoverparam.layer_tree import walk


def small_model(*more, units=3, **arguments):
    return keras.Sequential([keras.Input((4,)), *more, layers.Dense(units, **arguments)])


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# The two halves of the library


@pytest.fixture
def double_precision():
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield


def tanh_network():
    return keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2D(4, 3, padding="same", strides=2, activation="tanh"),
            layers.Conv2D(6, 2, groups=2, activation="tanh"),
            layers.Flatten(),
            layers.Dense(5, activation="tanh", kernel_regularizer="l2"),
            layers.Dense(2, bias_initializer="ones"),
        ]
    )


def weights_after_a_step(model, optimizer):
    # Eagerly: to trace a step costs more than to take it.
    model.compile(optimizer, "mse", run_eagerly=True)
    model.train_on_batch(drawn(0, 8, 6, 6, 4), drawn(1, 8, 2))
    return model.get_weights()


def distance(weights, others):
    return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(weights, others, strict=True)))


@pytest.mark.float64
@pytest.mark.parametrize(
    "depth, filter",
    [
        (2, None),
        (3, None),
        # Some layers are factorised, the rule does the others: both in one model.
        (2, lambda layer: type(layer) is layers.Conv2D),
    ],
    ids=["depth 2", "depth 3", "mixed"],
)
def test_a_step_of_sgd_is_a_step_of_the_rule_on_the_original(depth, filter, double_precision):
    keras.utils.set_random_seed(1)
    model = tanh_network()
    start = model.get_weights()
    rates, gaps, others = (1e-2, 1e-3, 1e-4), [], []
    for rate in rates:
        twin = overparameterize(model, depth=depth, filter=filter)
        optimizer = keras.optimizers.SGD(rate)
        weights_after_a_step(twin, EndToEnd(optimizer, depth=depth) if filter else optimizer)
        descended = collapse_with_stock_optimizer(twin).get_weights()

        model.set_weights(start)
        ruled = weights_after_a_step(model, EndToEnd(keras.optimizers.SGD(rate), depth=depth))
        model.set_weights(start)
        plain = weights_after_a_step(model, keras.optimizers.SGD(rate))
        model.set_weights(start)
        gaps.append(distance(descended, ruled))
        others.append(distance(descended, plain))
    # Equal to first order: what is left is of the second. Plain descent differs in the first.
    assert 1.9 < np.polyfit(np.log(rates), np.log(gaps), 1)[0] < 2.1
    assert 0.9 < np.polyfit(np.log(rates), np.log(others), 1)[0] < 1.1


def collapse_with_stock_optimizer(model):
    model.compile("sgd", "mse")
    return collapse(model)


# Arguments


def test_filter_and_hidden_units():
    model = small_model(layers.Dense(2, name="narrow"), layers.Dense(6, name="wide"), units=6)
    twin = overparameterize(
        model, depth=3, hidden_units=[7, 8], filter=lambda layer: layer.name != "narrow"
    )
    assert [type(layer) for layer in twin.layers] == [layers.Dense] + 2 * [FactorizedDense]
    assert [tuple(factor.shape) for factor in twin.layers[1].factors] == [(2, 7), (7, 8), (8, 6)]


def test_depth_one():
    model = small_model(units=3)
    twin = overparameterize(model, depth=1, hidden_units=2)
    np.testing.assert_array_equal(twin.layers[0].factors[0], model.layers[0].kernel)


def test_unbalanced_factors_are_the_kernel_and_identities():
    model = small_model(units=2)
    twin = overparameterize(model, depth=3, balanced=False)
    first, second, third = twin.layers[0].factors
    np.testing.assert_array_equal(first, model.layers[0].kernel)
    np.testing.assert_array_equal(second, np.eye(2))
    np.testing.assert_array_equal(third, np.eye(2))


def test_the_twin_starts_like_any_factorised_layer_when_it_is_copied():
    twin = overparameterize(small_model())
    copy = keras.models.clone_model(twin)
    assert float(ops.norm(copy.layers[0].kernel)) > 0.1
    assert twin.layers[0].factor_initializer is None


def with_lora():
    model = small_model(layers.Dense(5, name="kept"))
    model.layers[0].enable_lora(2)
    return model


def quantized():
    model = small_model(layers.Dense(5, name="kept"))
    model.layers[0].quantize("int8")
    return model


def constrained():
    return small_model(layers.Dense(5, kernel_constraint="max_norm", name="kept"))


@pytest.mark.parametrize("make", [with_lora, quantized, constrained])
def test_layers_without_a_twin_stay_and_are_named(make):
    model = make()
    with pytest.warns(UserWarning, match="no factorised twin and stay as they are: kept$"):
        twin = overparameterize(model)
    assert [type(layer) for layer in twin.layers] == [layers.Dense, FactorizedDense]
    for weight, kept in zip(model.layers[0].weights, twin.layers[0].weights, strict=True):
        np.testing.assert_array_equal(weight, kept)


# Compilation


@pytest.mark.parametrize("convert", [overparameterize, collapse])
def test_the_compilation_is_carried_over(convert):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), FactorizedDense(2)])
    model.compile(
        keras.optimizers.Adam(0.25, beta_1=0.5),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["mae"],
        jit_compile=False,
    )
    twin = convert(model)
    optimizer = twin.optimizer
    assert type(optimizer) is type(model.optimizer) and optimizer is not model.optimizer
    assert float(optimizer.learning_rate) == 0.25 and optimizer.beta_1 == 0.5
    inputs, targets = drawn(0, 8, 4), np.eye(2)[np.arange(8) % 2]
    found = twin.evaluate(inputs, targets, verbose=0, return_dict=True)
    expected = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    assert set(found) == {"loss", "mae"} and not twin.jit_compile
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    assert np.isfinite(twin.fit(inputs, targets, verbose=0).history["loss"][0])
    assert model.compiled and model.optimizer.iterations == 0


def test_a_model_that_is_not_compiled_stays_so():
    twin = overparameterize(small_model())
    assert not twin.compiled and not collapse(twin).compiled


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_what_keras_cannot_rebuild_is_left_to_the_user():
    model = small_model()
    model.compile("sgd", loss=lambda targets, outputs: ops.mean(outputs))
    with pytest.warns(UserWarning, match="is not compiled: Keras cannot.*Call `compile` on it"):
        twin = overparameterize(model)
    assert not twin.compiled and model.compiled


def test_a_collapsed_model_is_not_compiled_with_parts_of_this_package():
    model = overparameterize(small_model(layers.Dense(5)), filter=lambda layer: layer.units == 5)
    model.compile(EndToEnd("sgd", depth=2), "mse")
    assert type(overparameterize(model).optimizer) is EndToEnd
    with pytest.warns(UserWarning, match="compiled with parts of tfoverparam. Call `compile`"):
        assert not collapse(model).compiled


# State


def test_neither_statistics_nor_seeds_nor_states_change():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(3, 5, 4)),
            layers.GaussianNoise(0.5, seed=1),
            layers.LSTM(3, stateful=True),
            layers.BatchNormalization(),
            layers.Dense(2),
        ]
    )
    model(np.ones((3, 5, 4)), training=True)
    before = [np.array(variable) for variable in model.variables]
    twin = overparameterize(model)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    # The twin goes on from the same states, and draws the same noise.
    outputs, others = (each(np.ones((3, 5, 4)), training=True) for each in (model, twin))
    np.testing.assert_allclose(others, outputs, atol=1e-5)


def test_factors_train_where_the_original_did():
    model = small_model(layers.Dense(5, trainable=False))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    twin = overparameterize(model, depth=3)
    before = twin.get_weights()
    twin.train_on_batch(drawn(0, 8, 4), drawn(1, 8, 3))
    moved = [np.abs(a - b).max() > 0 for a, b in zip(twin.get_weights(), before)]
    assert moved == [False] * 4 + [True] * 4


# Files

LOAD_ELSEWHERE = """
    import sys

    sys.modules["tfoverparam"] = None  # importing it fails from here on
    import keras
    import numpy as np

    folder = sys.argv[1]
    model = keras.saving.load_model(f"{folder}/model.keras")
    inputs, expected = np.load(f"{folder}/inputs.npy"), np.load(f"{folder}/outputs.npy")
    gap = np.abs(model.predict(inputs, verbose=0) - expected).max()
    assert gap <= 1e-6 * np.abs(expected).max(), gap
    assert np.isfinite(model.train_on_batch(inputs, expected))
    print("as expected")
"""


@pytest.fixture(scope="module")
def trained():
    """A factorised model with every part of this package that a file could remember."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            FactorizedConv2D(4, 3, kernel_initializer=initializers.NearZero(0.5)),
            layers.Flatten(),
            FactorizedDense(5, factor_initializer=initializers.NearIdentity(0.5)),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", jit_compile=False)
    model.fit(drawn(0, 16, 6, 6, 2), drawn(1, 16, 1), verbose=0)
    return model


@pytest.mark.slow
def test_a_collapsed_model_loads_where_the_package_is_not_installed(trained, tmp_path):
    folded = collapse(trained)
    inputs = drawn(2, 4, 6, 6, 2).astype("float32")
    folded.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "outputs.npy", trained.predict(inputs, verbose=0))
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD_ELSEWHERE), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.stdout.endswith("as expected\n"), process.stderr


def test_a_factorised_model_is_saved_and_loaded(trained, tmp_path):
    twin = overparameterize(trained, depth=3)
    twin.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras")
    inputs = drawn(2, 4, 6, 6, 2)
    np.testing.assert_array_equal(revived(inputs), twin(inputs))
    assert type(revived.layers[-1]) is FactorizedDense


@pytest.mark.tensorflow("saved models")
def test_export_as_a_tensorflow_model(trained, tmp_path):
    folded = collapse(trained)
    folded.export(tmp_path / "exported", format="tf_saved_model", verbose=False)
    inputs = drawn(2, 4, 6, 6, 2).astype("float32")
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = exported.serve(inputs)
    expected = trained(inputs)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_export_to_litert(trained, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    folded = collapse(trained)
    folded.export(tmp_path / "model.tflite", format="litert", verbose=False)
    runner = interpreter.Interpreter(str(tmp_path / "model.tflite")).get_signature_runner()
    inputs = drawn(2, 1, 6, 6, 2).astype("float32")
    (name,) = runner.get_input_details()
    (served,) = runner(**{name: inputs}).values()
    expected = trained(inputs)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


# Refusals


class BuildsLater(layers.Layer):
    """Creates its layer in `build`, where a copy has none to replace."""

    def build(self, input_shape):
        self.linear = layers.Dense(3, name="late")
        self.linear.build(input_shape)

    def call(self, inputs):
        return self.linear(inputs)


class KnowsTheKind(layers.Layer):
    """Computes something else for layers that it does not know."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.linear = layers.Dense(3)

    def call(self, inputs):
        return self.linear(inputs) * (1.0 if type(self.linear) is layers.Dense else 1.1)


class NoConfig(layers.Layer):
    """Its argument is not one that Keras can write down."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


class TwoArguments(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.linear = layers.Dense(3)

    def call(self, one, other):
        return self.linear(one) + self.linear(other)


def two_arguments():
    model = TwoArguments(name="two")
    model(np.ones((2, 4)), np.ones((2, 4)))
    return model


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: layers.Dense(3), "`model` must be a `keras.Model`. Received: model=<Dense"),
        (lambda: keras.Sequential([layers.Dense(3)]), "is not built.*Call it on data"),
        (lambda: keras.Sequential([keras.Input((4,)), layers.ReLU()]), "no layer to overparam"),
        (lambda: small_model(BuildsLater()), "layers late are not where.*in its `__init__`"),
        (lambda: small_model(NoConfig(ops.exp)), "class NoConfig cannot be copied.*`get_config`"),
        (two_arguments, "cannot be called on a random batch.*all of them in the first"),
    ],
    ids=["layer", "not built", "nothing", "built later", "no config", "two arguments"],
)
def test_what_cannot_be_converted(make, message):
    with pytest.raises(ValueError, match=message):
        overparameterize(make())


def test_a_copy_that_computes_something_else_is_an_error():
    model = keras.Sequential([keras.Input((4,)), KnowsTheKind()])
    with pytest.raises(RuntimeError, match="does not compute the same.*differ by 1.0e-01"):
        overparameterize(model)
    # What it says to do helps: without that layer there is nothing else to replace.
    with pytest.raises(ValueError, match="no layer to overparameterize"):
        overparameterize(model, filter=lambda layer: False)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 0}, "`depth` must be a positive integer. Received: depth=0"),
        ({"filter": "dense"}, "`filter` must be None or a function. Received: filter='dense'"),
        ({"hidden_units": 2}, "`hidden_units` must be at least 3 for layer `dense.*units=2"),
        ({"depth": 3, "hidden_units": [3, 2]}, r"at least 3 .*Received: hidden_units=\[3, 2\]"),
        ({"depth": 3, "hidden_units": [3]}, "`hidden_units` must have one width per hidden"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        overparameterize(small_model(), **arguments)


def test_models_that_give_nan_are_compared_where_they_do_not():
    inputs = keras.Input((4,))
    x = layers.Dense(6)(inputs)
    model = keras.Model(inputs, ops.concatenate([ops.log(x - x - 1.0), x], axis=-1))
    assert np.isnan(np.asarray(overparameterize(model)(np.ones((1, 4))))[0, :6]).all()


def test_all_layers_are_found_once():
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared, layers.ReLU(name="relu")], name="inner")
    model = keras.Sequential([keras.Input((3, 4)), layers.TimeDistributed(inner, name="each")])
    names = [layer.name for layer in walk(model)]
    assert names == [model.name, "each", "inner", "shared", "relu"]
