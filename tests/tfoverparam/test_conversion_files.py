"""Files of converted models: what the plain model reads, and how training goes on exactly."""

import importlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import textwrap

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import (
    FactorizedConv2D,
    FactorizedDense,
    FactorizedEinsumDense,
    collapse,
    initializers,
    linear_maps,
    overparameterize,
)

OF_0_1_0 = pathlib.Path(__file__).parent / "files_of_0_1_0"


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Block(layers.Layer):
    """A custom layer that makes its own layers, which its configuration does not describe."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.project = layers.EinsumDense("abc,cd->abd", (None, 4))
        self.mix = [layers.Dense(8, "relu"), layers.Dense(4)]

    def build(self, input_shape):
        self.project.build(input_shape)
        self.mix[0].build(input_shape)
        self.mix[1].build((*input_shape[:-1], 8))

    def call(self, inputs):
        hidden = inputs + self.project(inputs)
        return hidden + self.mix[1](self.mix[0](hidden))


def plain_model(is_compiled=False):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, name="tokens")(inputs)
    x = Block(name="block")(x)
    x = layers.Conv1D(6, 3, groups=2, name="conv", kernel_regularizer="l2")(x)
    x = layers.SeparableConv1D(5, 2, name="separable")(x)
    x = layers.SimpleRNN(4, name="recurrent")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x), name="model")
    if is_compiled:
        # Eagerly: to trace a step costs more than to take the few here.
        model.compile(keras.optimizers.Adam(0.05), "mse", run_eagerly=True)
    return model


INPUTS = np.random.default_rng(0).integers(0, 9, (16, 6))
TARGETS = drawn(1, 16, 2)


def fitted(model, epochs=1, initial_epoch=0, callbacks=()):
    model.fit(
        INPUTS,
        TARGETS,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        batch_size=16,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def converted():
    return overparameterize(plain_model(is_compiled=True), depth=3, seed=1, verbose=0)


def assert_same_weights(model, other):
    for weight, expected in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(weight, expected)


def predictions(model):
    return model.predict(INPUTS, verbose=0)


# The plain model and the factorized one read each other's files


def test_the_plain_model_reads_the_products(tmp_path):
    model = fitted(converted())
    model.save_weights(tmp_path / "model.weights.h5")
    plain = plain_model()
    plain.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(predictions(plain), predictions(model), atol=1e-5)


def test_the_file_of_a_plain_model_is_split_into_balanced_factors(tmp_path):
    plain = plain_model()
    plain.save_weights(tmp_path / "model.weights.h5")
    model = overparameterize(plain_model(), depth=3, balanced=False, verbose=0)
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(predictions(model), predictions(plain), atol=1e-5)
    factorized = [each for each in linear_maps(model) if each.is_factorized]
    assert max(float(each.layer.imbalance()) for each in factorized) < 1e-5


@pytest.mark.slow
def test_factors_of_another_depth_are_split_anew(tmp_path):
    model = fitted(converted())
    model.save_weights(tmp_path / "model.weights.h5")
    for depth in (1, 2, 4):
        other = overparameterize(plain_model(), depth=depth, verbose=0)
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_allclose(predictions(other), predictions(model), atol=1e-5)


def test_factors_that_do_not_multiply_to_the_product_are_not_taken(tmp_path):
    model = fitted(converted())
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5", "a") as file:
        kernel = file["layers/dense/vars/0"]
        kernel[...] = -kernel[...]
    other = overparameterize(plain_model(), depth=3, verbose=0)
    other.load_weights(tmp_path / "model.weights.h5")
    head, expected = other.get_layer("head"), model.get_layer("head")
    np.testing.assert_allclose(head.kernel, -np.asarray(expected.kernel), atol=1e-5)
    assert float(head.imbalance()) < 1e-5


def test_a_kernel_of_another_shape_is_an_error(tmp_path):
    def model(units):
        return keras.Sequential([keras.Input((4,)), layers.Dense(units)])

    model(3).save_weights(tmp_path / "model.weights.h5")
    other = overparameterize(model(2), verbose=0)
    with pytest.raises(ValueError, match=r"kernel of shape \(4, 2\) cannot be loaded.*\(4, 3\)"):
        other.load_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "bfloat16"])
def test_every_precision(policy, tmp_path):
    layer = layers.Dense(6, dtype=policy)
    model = overparameterize(keras.Sequential([keras.Input((5,)), layer]), verbose=0)
    before = [np.array(each).astype("float64") for each in model.weights]
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in model.weights:
        weight.assign(0 * weight)
    model.load_weights(tmp_path / "model.weights.h5")
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(np.array(weight).astype("float64"), value)


# Training goes on exactly


@pytest.fixture(scope="module")
def whole():
    """A model that was trained without a break."""
    return fitted(converted(), epochs=2)


def test_resumed_from_weights_and_optimizer(whole, tmp_path):
    path = tmp_path / "model.weights.h5"
    fitted(converted()).save_weights(path)
    model = converted()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    assert int(model.optimizer.iterations) == 1
    assert_same_weights(fitted(model, epochs=2, initial_epoch=1), whole)


@pytest.mark.slow
def test_resumed_from_a_saved_model(whole, tmp_path):
    path = tmp_path / "model.keras"
    fitted(converted()).save(path)
    model = converted()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    assert_same_weights(fitted(model, epochs=2, initial_epoch=1), whole)


@pytest.mark.slow
@pytest.mark.parametrize("is_whole", [True, False])
def test_resumed_from_a_checkpoint(is_whole, whole, tmp_path):
    path = tmp_path / ("model.keras" if is_whole else "model.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=not is_whole)
    fitted(converted(), callbacks=[checkpoint])
    model = converted()
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    assert_same_weights(fitted(model, epochs=2, initial_epoch=1), whole)


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_resumed_by_backup_and_restore(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(converted(), epochs=2, callbacks=[backup(tmp_path), Stop()])
    model = fitted(converted(), epochs=2, callbacks=[backup(tmp_path)])
    assert_same_weights(model, whole)


def backup(folder):
    return keras.callbacks.BackupAndRestore(folder / "backup")


# `.keras` files


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_layers_that_the_file_describes_come_back_with_their_factors(tmp_path):
    model = fitted(converted())
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"Block": Block})
    np.testing.assert_allclose(predictions(back), predictions(model), atol=1e-6)
    factorized = {each.path for each in linear_maps(back) if each.is_factorized}
    assert factorized == {
        "conv/kernel",
        "separable/pointwise_kernel",
        "head/kernel",
    }
    head, expected = back.get_layer("head"), model.get_layer("head")
    for factor, other in zip(head.factors, expected.factors, strict=True):
        np.testing.assert_array_equal(factor, other)
    assert type(head).__name__ == "Dense" and isinstance(head, FactorizedDense)
    collapse(back)
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in plain_model().layers]


@keras.saving.register_keras_serializable(package="tfoverparam_tests")
class Doubled(layers.Dense):
    """A subclass of a user, with a configuration of its own."""

    def __init__(self, units, twice=True, **kwargs):
        super().__init__(units, **kwargs)
        self.twice = twice

    def call(self, inputs):
        return super().call(inputs) * (2.0 if self.twice else 1.0)

    def get_config(self):
        return {**super().get_config(), "twice": self.twice}


def test_a_subclass_of_a_user_comes_back_as_it_was(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Doubled(3, twice=True, activation="tanh")])
    inputs = drawn(0, 5, 4)
    before = np.array(model(inputs))
    overparameterize(model, verbose=0)
    np.testing.assert_allclose(model(inputs), before, atol=1e-6)
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(back(inputs), before, atol=1e-6)
    assert isinstance(back.layers[0], Doubled) and back.layers[0].factors
    assert type(collapse(back).layers[0]) is Doubled


def made_by_constructors():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            FactorizedConv2D(4, 3, kernel_initializer=initializers.NearZero(0.5)),
            FactorizedEinsumDense("bhwc,cd->bhwd", (4, 4, 3), bias_axes="d"),
            layers.Flatten(),
            FactorizedDense(5, factor_initializer=initializers.NearIdentity(0.5)),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(drawn(0, 16, 6, 6, 2), drawn(1, 16, 1), verbose=0)
    return model


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_model_with_layers_of_both_kinds_is_saved_and_loaded(tmp_path):
    model = overparameterize(made_by_constructors(), depth=3, verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer).__name__ for layer in back.layers] == [
        "FactorizedConv2D",
        "FactorizedEinsumDense",
        "Flatten",
        "FactorizedDense",
        "Dense",
    ]
    assert_same_weights(back, model)


# Files of version 0.1.0


def model_of_0_1_0():
    return keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            FactorizedConv2D(4, 2, depth=2, kernel_regularizer="l2", name="conv"),
            layers.Flatten(name="flatten"),
            FactorizedDense(3, depth=3, hidden_units=[4, 5], name="with_bias"),
            FactorizedDense(2, depth=2, use_bias=False, name="without_bias"),
            FactorizedDense(2, depth=1, name="depth_1"),
        ]
    )


def grouped_of_0_1_0():
    convolution = FactorizedConv2D(4, 2, depth=3, groups=2, name="grouped")
    return keras.Sequential([keras.Input((5, 5, 2)), convolution])


def loaded_of_0_1_0(name, make):
    if name.endswith(".keras"):
        if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15):
            pytest.skip("written by Keras 3.15, whose initializers older versions do not read")
        return keras.saving.load_model(OF_0_1_0 / name)
    model = make()
    model.load_weights(OF_0_1_0 / name)
    return model


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_files_of_0_1_0_still_load(name):
    model, expected = loaded_of_0_1_0(name, model_of_0_1_0), np.load(OF_0_1_0 / "expected.npz")
    for index, weight in enumerate(model.weights):
        np.testing.assert_array_equal(weight, expected[f"weight_{index}"])
    outputs = model.predict(expected["inputs"], verbose=0)
    np.testing.assert_allclose(outputs, expected["outputs"], atol=1e-6)
    if name == "model.keras":
        # The optimizer's state comes along: training goes on where it ended.
        model.train_on_batch(expected["inputs"], expected["targets"])
        outputs = model.predict(expected["inputs"], verbose=0)
        np.testing.assert_allclose(outputs, expected["outputs_after_a_step"], atol=1e-5)


@pytest.mark.parametrize("name", ["grouped.keras", "grouped.weights.h5"])
def test_groups_of_0_1_0_are_split_anew(name):
    # The first factor was common to all groups then; now each group has its own factors.
    model, expected = loaded_of_0_1_0(name, grouped_of_0_1_0), np.load(OF_0_1_0 / "expected.npz")
    outputs = model.predict(expected["inputs"], verbose=0)
    np.testing.assert_allclose(outputs, expected["grouped_outputs"], atol=1e-6)
    assert float(model.layers[0].imbalance()) < 1e-5


# A collapsed model needs nothing of this package


LOAD_ELSEWHERE = """
    import sys

    sys.modules["tfoverparam"] = None  # importing it fails from here on
    import keras
    import numpy as np

    folder = sys.argv[1]
    model = keras.saving.load_model(f"{folder}/model.keras")
    inputs, expected = np.load(f"{folder}/inputs.npy"), np.load(f"{folder}/outputs.npy")
    gap = np.abs(model.predict(inputs, verbose=0) - expected).max()
    assert gap <= 1e-5 * np.abs(expected).max(), gap
    assert np.isfinite(model.train_on_batch(inputs, expected))
    print("as expected")
"""


@pytest.mark.slow
def test_a_collapsed_model_loads_where_the_package_is_not_installed(tmp_path):
    model = made_by_constructors()
    inputs = drawn(2, 4, 6, 6, 2)
    np.save(tmp_path / "inputs.npy", inputs)
    np.save(tmp_path / "outputs.npy", model.predict(inputs, verbose=0))
    collapse(overparameterize(model, verbose=0)).save(tmp_path / "model.keras")
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOAD_ELSEWHERE), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.stdout.endswith("as expected\n"), process.stderr


@pytest.mark.tensorflow("saved models")
@pytest.mark.parametrize("is_collapsed", [True, False])
def test_export_as_a_tensorflow_model(is_collapsed, tmp_path):
    import tensorflow as tf

    model = made_by_constructors()
    inputs = drawn(2, 4, 6, 6, 2)
    expected = model.predict(inputs, verbose=0)
    overparameterize(model, verbose=0)
    if is_collapsed:
        collapse(model)
    model.export(tmp_path / "exported", format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = exported.serve(inputs)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def litert_interpreter():
    """LiteRT's own, or the one in TensorFlow, which that is to replace."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        import tensorflow as tf

        return tf.lite.Interpreter
    return importlib.import_module("ai_edge_litert.interpreter").Interpreter


@pytest.mark.slow
@pytest.mark.tensorflow("Keras exports to LiteRT by other packages elsewhere")
@pytest.mark.filterwarnings("ignore:\\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")
def test_export_to_litert(tmp_path):
    model = made_by_constructors()
    inputs = drawn(2, 1, 6, 6, 2)
    expected = model.predict(inputs, verbose=0)
    collapse(model).export(tmp_path / "model.tflite", format="litert", verbose=False)
    runner = litert_interpreter()(str(tmp_path / "model.tflite")).get_signature_runner()
    (name,) = runner.get_input_details()
    (served,) = runner(**{name: inputs}).values()
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.tensorflow("Keras exports to ONNX by other packages elsewhere")
@pytest.mark.filterwarnings("ignore:In the future .np.object. will be:FutureWarning")  # tf2onnx
def test_export_to_onnx(tmp_path):
    for package in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="needs pip install 'tfoverparam[export]'")
    import onnxruntime as runtime

    model = made_by_constructors()
    inputs = drawn(2, 4, 6, 6, 2)
    expected = model.predict(inputs, verbose=0)
    collapse(model).export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (served,) = session.run(None, {session.get_inputs()[0].name: inputs})
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.tensorflow("its own checkpoints")
def test_checkpoints_of_tensorflow_hold_the_factors(tmp_path):
    import tensorflow as tf

    def model(seed):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(3)])
        return overparameterize(model, seed=seed, verbose=0)

    one, other = model(1), model(2)
    path = tf.train.Checkpoint(one).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(other).read(path)
    for weight, expected in zip(other.weights, one.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
