"""Recurrent layers of factorized cells against the plain layers, and how often they multiply."""

import collections

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import collapse, linear_maps, overparameterize

from tests.tfoverparam.oracles import assert_close, assert_conversion_changes_nothing

SEQUENCES, FILMS = (5, 4), {1: (3, 6, 2), 2: (3, 5, 5, 2), 3: (3, 4, 4, 4, 2)}


def conv_lstm(rank):
    return getattr(layers, f"ConvLSTM{rank}D")(3, 2, padding="same", recurrent_dropout=0.1)


# Layer, shape of its inputs, number of kernels. The fast tests have one of a kind.
RECURRENT = {
    "lstm": (lambda: layers.LSTM(3), SEQUENCES, 2),
    "lstm, parts by themselves": (lambda: layers.LSTM(3, implementation=1), SEQUENCES, 2),
    "lstm, unrolled": (lambda: layers.LSTM(3, unroll=True), SEQUENCES, 2),
    "gru": (lambda: layers.GRU(3, return_sequences=True), SEQUENCES, 2),
    "gru of another form": (
        lambda: layers.GRU(3, reset_after=False, implementation=1),
        SEQUENCES,
        2,
    ),
    "simple": (lambda: layers.SimpleRNN(3, go_backwards=True, dropout=0.2), SEQUENCES, 2),
    "one cell": (lambda: layers.RNN(layers.LSTMCell(3)), SEQUENCES, 2),
    "stacked cells": (
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(4), layers.SimpleRNNCell(2)]),
        SEQUENCES,
        6,
    ),
    "both directions": (lambda: layers.Bidirectional(layers.LSTM(3)), SEQUENCES, 4),
    **{f"conv lstm {rank}D": (lambda r=rank: conv_lstm(r), FILMS[rank], 2) for rank in FILMS},
}


QUICK = {"lstm", "gru of another form", "stacked cells", "both directions", "conv lstm 1D"}


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RECURRENT
    ]
)
def case(request):
    """A model of the layer, its inputs, and how many kernels it has."""
    keras.utils.set_random_seed(0)
    make, shape, count = RECURRENT[request.param]
    inputs = np.random.default_rng(0).normal(size=(7, *shape)).astype("float32")
    return keras.Sequential([keras.Input(shape), make()]), inputs, count


class Failed(Exception):
    """A call that does."""


def fail(*arguments, **options):
    raise Failed


def cells_of(model):
    return list({id(each.layer): each.layer for each in linear_maps(model)}.values())


def test_outputs_and_gradients_are_those_of_the_plain_layer(case, layer_gradients):
    model, inputs, count = case
    maps = assert_conversion_changes_nothing(model, inputs, layer_gradients)
    assert len(maps) == len(linear_maps(model)) == count


def test_nothing_is_held_after_a_call_and_an_error(case, monkeypatch):
    model, inputs, _ = case
    overparameterize(model, verbose=0)
    outputs = model.predict(inputs, verbose=0)
    cells = cells_of(model)
    assert not any(cell.is_holding for cell in cells)
    with monkeypatch.context() as patch, pytest.raises(Failed):
        for each in (layers.RNN, layers.LSTM, layers.GRU, layers.SimpleRNN, layers.ConvLSTM1D):
            patch.setattr(each, "call", fail)
        model(inputs)
    assert not any(cell.is_holding for cell in cells)
    assert_close(model(inputs), outputs)


def count_of(model, inputs):
    """How many products of matrices there are before loops, and in them, in a graph."""
    counts = collections.Counter()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        graph = tf.function(model).get_concrete_function(inputs).graph.as_graph_def()
        counts["before"] = sum(node.op == "MatMul" for node in graph.node)
        for function in graph.library.function:
            counts["in"] += sum(node.op == "MatMul" for node in function.node_def)
    else:
        import jax

        def walk(jaxpr, where):
            for equation in jaxpr.eqns:
                counts[where] += equation.primitive.name == "dot_general"
                inside = "in" if equation.primitive.name in ("scan", "while") else where
                for value in equation.params.values():
                    if hasattr(value, "jaxpr"):
                        walk(value.jaxpr, inside)

        state = model.trainable_variables, model.non_trainable_variables
        values = [[variable.value for variable in variables] for variables in state]
        walk(jax.make_jaxpr(model.stateless_call)(*values, inputs).jaxpr, "before")
    return counts


@pytest.mark.parametrize("depth", [2, 3])
def test_products_are_computed_once_and_before_the_loop(case, depth):
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch has no graph")
    model, inputs, count = case
    plain = count_of(model, inputs)
    overparameterize(model, depth=depth, verbose=0)
    found = count_of(model, inputs)
    assert found["in"] == plain["in"]
    assert found["before"] == plain["before"] + (depth - 1) * count


@pytest.mark.parametrize("implementation", [1, 2])
def test_a_cell_by_itself_multiplies_once_in_each_step(implementation):
    cell = layers.LSTMCell(3, implementation=implementation)
    inputs, state = ops.ones((2, 4)), [ops.ones((2, 3))] * 2
    layer = layers.RNN(cell)
    model = keras.Sequential([keras.Input((5, 4)), layer])
    expected, _ = cell(inputs, state)
    overparameterize(model, verbose=0)
    products, factors = [], cell.factorized_kernels["kernel"]
    kernel = factors.kernel
    factors.kernel = lambda: products.append(0) or kernel()
    output, _ = cell(inputs, state)
    assert_close(output, expected)
    assert len(products) == 1


def test_half_precision_is_that_of_the_cell():
    keras.utils.set_random_seed(0)
    layer = layers.RNN(layers.LSTMCell(3, dtype="mixed_bfloat16"), dtype="float32")
    model = keras.Sequential([keras.Input(SEQUENCES), layer])
    inputs = np.random.default_rng(0).normal(size=(7, *SEQUENCES)).astype("float32")
    plain = model(inputs)
    overparameterize(model, verbose=0)
    seen = []
    cell, call = layer.cell, type(layer.cell).call

    def spy(*args, **kwargs):
        seen.append(keras.backend.standardize_dtype(cell.kernel.dtype))
        return call(cell, *args, **kwargs)

    cell.call = spy
    assert model(inputs).dtype == plain.dtype
    assert set(seen) == {"bfloat16"}
    assert_close(model(inputs), plain, rtol=8 * 2.0**-8)


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_regularizers_act_on_the_product(make):
    layer = make(3, kernel_regularizer="l2", recurrent_regularizer="l1")
    model = keras.Sequential([keras.Input(SEQUENCES), layer])
    before = [float(loss) for loss in model.losses]
    overparameterize(model, depth=3, verbose=0)
    np.testing.assert_allclose([float(loss) for loss in model.losses], before, rtol=1e-5)


def text_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.RNN([layers.LSTMCell(3), layers.LSTMCell(4)]),
            layers.Dense(2),
        ]
    )
    model.compile("adam", "mse", jit_compile=False)
    return model, np.random.default_rng(0).integers(0, 9, (16, 5))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_training_and_files(tmp_path):
    model, inputs = text_model()
    targets = np.ones((16, 2), "float32")
    overparameterize(model, verbose=0)
    before = model.evaluate(inputs, targets, verbose=0)
    model.fit(inputs, targets, epochs=5, verbose=0)
    assert model.evaluate(inputs, targets, verbose=0) < before
    outputs = model.predict(inputs, verbose=0)

    model.save_weights(tmp_path / "model.weights.h5")
    plain, _ = text_model()
    plain.load_weights(tmp_path / "model.weights.h5")
    assert_close(plain.predict(inputs, verbose=0), outputs)
    overparameterize(plain, verbose=0, seed=1)
    plain.load_weights(tmp_path / "model.weights.h5")
    for one, other in zip(plain.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)

    collapse(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(inputs, verbose=0), outputs)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_keras_file_of_a_converted_model_loads(tmp_path):
    model, inputs = text_model()
    overparameterize(model, verbose=0)
    outputs = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(inputs, verbose=0), outputs)


@keras.saving.register_keras_serializable(package="test_recurrent")
class Echo(layers.LSTM):
    """A user's own."""

    def echo(self):
        return "echo"


def test_a_users_subclass_keeps_its_methods_and_its_name_in_files(tmp_path):
    model = keras.Sequential([keras.Input(SEQUENCES), Echo(3)])
    inputs = np.ones((2, *SEQUENCES), "float32")
    overparameterize(model, verbose=0)
    (layer,) = model.layers
    assert isinstance(layer, Echo) and type(layer) is not Echo and layer.echo() == "echo"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is Echo
    assert_close(loaded(inputs), model(inputs))
    assert layer.collapse() is layer and type(layer) is Echo
    assert not linear_maps(model)[0].is_factorized
