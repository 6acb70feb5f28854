"""A canary for each name of Keras's that is not public: which one a new version has changed."""

import keras
import pytest
from keras import layers
from tfoverparam import keras_private


def test_layers():
    wrapper = layers.TimeDistributed(layers.Dense(3))
    assert wrapper._layers == [wrapper.layer]


def test_conv_lstm_cell():
    assert type(layers.ConvLSTM2D(1, 1).cell) is keras_private.CONV_LSTM_CELL


@pytest.mark.parametrize(
    "layer, variable, stored",
    [
        (layers.Dense(3), "kernel", "_kernel"),
        (layers.EinsumDense("ab,bc->ac", 3), "kernel", "_kernel"),
        (layers.Conv1D(3, 2), "kernel", "_kernel"),
        (layers.Embedding(3, 4), "embeddings", "_embeddings"),
        (layers.Conv1DTranspose(3, 2), "kernel", "kernel"),
        (layers.LSTMCell(3), "recurrent_kernel", "recurrent_kernel"),
        (layers.SeparableConv1D(3, 2), "pointwise_kernel", "pointwise_kernel"),
    ],
)
def test_where_variables_are_stored(layer, variable, stored):
    is_flat = isinstance(layer, (layers.EinsumDense, layers.LSTMCell))
    layer.build((None, 4) if is_flat else (None, 4, 4))
    assert keras_private.stored_name(type(layer), variable) == stored
    assert isinstance(getattr(layer, stored), keras.Variable)
    assert getattr(layer, stored).name == variable


def test_lists_of_variables_and_the_tracker():
    layer = layers.BatchNormalization()
    layer.build((None, 4))
    trainable, others = keras_private.own_variables(layer)
    assert trainable == [layer.gamma, layer.beta]
    assert others == [layer.moving_mean, layer.moving_variance]
    assert layer._tracker.locked and set(layer._tracker.stored_ids) >= {"trainable_variables"}
    layer._untrack_variable(layer.gamma)
    assert trainable == [layer.beta] and layer._tracker.locked
    layer._tracker.unlock()
    layer._track_variable(layer.gamma)
    layer._tracker.lock()
    assert trainable == [layer.beta, layer.gamma]


def test_variables_are_replaced_in_their_place():
    layer = layers.Dense(3)
    layer.build((None, 4))
    layer.kernel.trainable = False
    kernel, bias = layer.weights
    new = [keras_private.variable_like(kernel, name, kernel.value) for name in "ab"]
    assert [each.path for each in new] == [f"{layer.path}/a", f"{layer.path}/b"]
    keras_private.replace_variables(layer, [kernel], new)
    for found, expected in zip(layer.weights, [*new, bias], strict=True):
        assert found is expected
    assert [each.trainable for each in layer.weights] == [False, False, True]
    with keras_private.stand_ins(layer, [(new, "product")]):
        assert keras_private.own_variables(layer)[0] == ["product", bias]
    assert len(layer.weights) == 3


def test_the_autocast_flag():
    variable = keras.Variable(1.0, autocast=False)
    assert variable._autocast is False
    assert keras_private.variable_like(variable, "other", 1.0)._autocast is False


@pytest.mark.tensorflow("its own checkpoints")
def test_attributes_that_tensorflow_tracks():
    layer = layers.LSTMCell(3)
    layer.build((None, 4))
    assert "kernel" in layer._trackable_children()
    keras_private.remove_attribute(layer, "kernel")
    assert "kernel" not in layer._trackable_children() and not hasattr(layer, "kernel")
    assert all(keras_private.is_bookkeeping(name) for name in vars(layer) if "_self_" in name)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's own lists")
def test_parameters_that_pytorch_lists():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert {f"{model.name}/dense/kernel"} <= {
        path.replace(model.layers[0].name, "dense") for path in model._torch_params
    }
    del model._torch_params[model.layers[0].kernel.path]
    keras_private.renew_torch_parameters(model)
    assert model.layers[0].kernel.path in model._torch_params


def test_compiled_functions():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse", jit_compile=False)
    x, y = keras.ops.ones((2, 4)), keras.ops.ones((2, 3))
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    functions = "train_function", "test_function", "predict_function"
    assert all(getattr(model, name) is not None for name in functions)
    keras_private.renew_compiled_functions(model)
    assert all(getattr(model, name) is None for name in functions)


def test_the_configuration_that_a_model_was_compiled_with():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    one, other = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2)
    keras_private.renew_compile_config(model, one, other)  # It is not compiled.
    model.compile(one, "mse")
    assert model._compile_config.config["optimizer"] is one
    keras_private.renew_compile_config(model, other, one)
    assert model.get_compile_config()["optimizer"]["config"]["learning_rate"] == pytest.approx(0.1)
    keras_private.renew_compile_config(model, one, other)
    assert model.get_compile_config()["optimizer"]["config"]["learning_rate"] == pytest.approx(0.2)
    assert model.get_compile_config()["loss"] == "mse"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own")
def test_what_tensorflow_has_traced():
    import tensorflow as tf

    class Counted(layers.Layer):
        traces = 0

        @tf.function
        def call(self, x):
            type(self).traces += 1
            return 2.0 * x

    one, other = Counted(), Counted()
    for layer in (one, other, one):
        layer(tf.ones(3))
    assert Counted.traces == 2
    keras_private.renew_traced_methods(one)
    for layer in (one, other, one):
        layer(tf.ones(3))
    assert Counted.traces == 3


def test_variables_that_operations_hold():
    dense, inputs = layers.Dense(3, use_bias=False), keras.Input((4,))
    hidden = dense(inputs)
    model = keras.Model(inputs, keras.ops.einsum("bk,dk->bd", hidden, dense.kernel))
    ((operation, variable),) = keras_private.variables_of_operations(model)
    assert operation.name.startswith("einsum") and variable is dense.kernel
    assert keras_private.variables_of_operations(dense) == []


def test_the_functional_model_within_a_sequential():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    functional = keras_private.functional_of(model)
    assert isinstance(functional, keras.Model) and functional.layers[-1] is model.layers[0]
    assert keras_private.functional_of(keras.Model(*[keras.Input((4,))] * 2)) is None


def test_weight_decay_exclusions():
    one, two = keras.Variable(1.0, name="one"), keras.Variable(1.0, name="two")
    new = keras.Variable(1.0, name="new")
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_list=[one], var_names=["tw"])
    assert optimizer._exclude_from_weight_decay == {optimizer._var_key(one)}
    assert optimizer._exclude_from_weight_decay_pattern.pattern == "tw"
    twin = keras.optimizers.AdamW()
    keras_private.copy_weight_decay_exclusions(optimizer, twin, [(one, [new])])
    assert [twin._use_weight_decay(each) for each in (one, two, new)] == [True, False, False]


def test_quantization_asks_first():
    layer = layers.Dense(3)
    layer.build((None, 4))
    asked = []
    layer._check_quantize_args = lambda mode, compute_dtype: asked.append(mode)
    layer.quantize("int8")
    assert asked == ["int8"]


def test_what_an_optimizer_that_wraps_another_uses():
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5, use_ema=True)
    kernel, bias = (keras.Variable([2.0], name=name) for name in ("kernel", "bias"))
    optimizer.build([kernel, bias])
    assert [optimizer._get_variable_index(each) for each in (bias, kernel)] == [1, 0]
    assert [id(each) for each in optimizer._trainable_variables] == [id(kernel), id(bias)]
    assert len(optimizer._model_variables_moving_average) == 2
    assert {id(each) for each in optimizer.variables} == {id(each) for each in optimizer._variables}
    assert optimizer._iterations is optimizer.iterations
    assert float(optimizer._get_current_learning_rate()) == pytest.approx(0.1)
    optimizer._apply_weight_decay([kernel])
    assert float(kernel[0]) == pytest.approx(1.9) and float(bias[0]) == 2.0
