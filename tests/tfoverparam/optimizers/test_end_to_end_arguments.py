"""The arguments of the end-to-end rule's optimizer, what it applies to, and its configuration."""

import gc
import json
import weakref

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from keras.src.testing import TestCase
from tfoverparam import EndToEnd, FactorizedDense, linear_maps


def everything():
    """One layer of each kind that has variables of rank 2 or more."""
    tokens = keras.Input((4,), dtype="int32")
    hidden = layers.Embedding(9, 8, name="embedding")(tokens)
    hidden = layers.Conv2D(8, (3, 1), padding="same", name="conv")(hidden[:, :, None])
    hidden = layers.Reshape((4, 8))(hidden)
    hidden = layers.LSTM(4, return_sequences=True, name="lstm")(hidden)
    hidden = layers.Reshape((4, 4, 1))(hidden)
    hidden = layers.DepthwiseConv2D(2, name="depthwise")(hidden)
    hidden = layers.SeparableConv2D(2, 2, name="separable")(hidden)
    hidden = layers.Flatten()(hidden)
    hidden = FactorizedDense(3, name="factorized")(hidden)
    return keras.Model(tokens, layers.Dense(2, name="dense")(hidden))


def chosen_paths(model=None, **arguments):
    variables = (model or everything()).trainable_variables
    optimizer = EndToEnd(**arguments)
    optimizer.build(variables)
    return {variables[position].path for position in optimizer._positions}


def test_by_default_the_rule_applies_to_kernels():
    assert chosen_paths() == {
        "conv/kernel",
        "lstm/lstm_cell/kernel",
        "lstm/lstm_cell/recurrent_kernel",
        "separable/pointwise_kernel",
        "dense/kernel",
    }


def test_of_a_model_it_applies_to_every_kernel_that_is_not_factorized():
    model = everything()
    expected = chosen_paths() | {"depthwise/kernel", "separable/depthwise_kernel"}
    assert chosen_paths(model, apply_to=model) == expected
    maps = [each for each in linear_maps(model) if each.path in ("dense/kernel", "conv/kernel")]
    assert chosen_paths(model, apply_to=maps) == {"dense/kernel", "conv/kernel"}


@pytest.mark.parametrize(
    "apply_to, expected",
    [
        ("dense/kernel", {"dense/kernel"}),
        (["embedding/embeddings", "conv/kernel"], {"embedding/embeddings", "conv/kernel"}),
        (lambda v: v.shape[-1] == 2 and "dense" in v.path, {"dense/kernel"}),
        # A factor is left alone, whatever a predicate says.
        (lambda v: "factorized" in v.path or "dense" in v.path, {"dense/kernel"}),
    ],
)
def test_apply_to(apply_to, expected):
    assert chosen_paths(apply_to=apply_to) == expected


@pytest.mark.parametrize("name", ["dense", "ense/kernel", "factorized/kernel_0", "dense/bias"])
def test_a_name_is_the_whole_path_of_a_variable_that_is_no_factor(name):
    with pytest.raises(ValueError, match=f"by its whole path.* Received: '{name}'"):
        chosen_paths(apply_to=["conv/kernel", name])


def test_a_variable_is_refused_with_the_way_to_write_it():
    kernel = everything().get_layer("dense").kernel
    with pytest.raises(ValueError, match="the path of a variable.*apply_to='dense/kernel'"):
        EndToEnd(apply_to=[kernel])


def test_a_factorized_map_is_refused():
    factorized = [each for each in linear_maps(everything()) if each.is_factorized]
    with pytest.raises(ValueError, match="`factorized/kernel` is factorized"):
        EndToEnd(apply_to=factorized)
    with pytest.raises(ValueError, match="must be a built model with a kernel"):
        EndToEnd(apply_to=keras.Sequential([keras.Input((3,)), FactorizedDense(2)]))


def test_a_view_without_a_variable_is_an_error():
    model, other = (
        keras.Sequential([keras.Input((3,)), layers.Dense(units, name=name)])
        for units, name in ((2, "dense"), (4, "other"))
    )
    with pytest.raises(ValueError, match=r"view of `.*dense/kernel`, of shape \(3, 2\).*other"):
        EndToEnd(apply_to=model).build(other.trainable_variables)


def test_layers_stand_for_their_kernels():
    model = everything()
    dense, lstm = model.get_layer("dense"), model.get_layer("lstm")
    of_lstm = {"lstm/lstm_cell/kernel", "lstm/lstm_cell/recurrent_kernel"}
    assert chosen_paths(model, apply_to=dense) == {"dense/kernel"}
    assert chosen_paths(model, apply_to=[lstm, dense]) == {"dense/kernel", *of_lstm}
    assert chosen_paths(model, apply_to=(model,)) == chosen_paths(model, apply_to=model)
    assert chosen_paths(model, apply_to=model.layers) == chosen_paths(model, apply_to=model)
    with pytest.raises(ValueError, match="must be a built model with a kernel"):
        EndToEnd(apply_to=[model.get_layer("embedding")])
    with pytest.raises(ValueError, match="or a list of these; or a list of layers"):
        EndToEnd(apply_to=["dense/kernel", dense])


def two_alike(first, second):
    """Kernels of one shape, of layers with these names."""
    layers_ = [layers.Dense(3, use_bias=False, name=name) for name in (first, second)]
    for layer in layers_:
        layer.build((3,))
    return [layer.kernel for layer in layers_]


def test_in_a_list_as_long_a_view_goes_by_position():
    # Of a model that is loaded, names have other numbers: `dense_1` is another layer than it was.
    optimizer = EndToEnd(apply_to="dense_1/kernel")
    optimizer.build(two_alike("dense", "dense_1"))
    other = EndToEnd.from_config(json.loads(json.dumps(optimizer.get_config())))
    other.build(two_alike("dense_1", "dense_2"))
    assert other._positions == [1]


def test_in_the_first_list_a_view_goes_by_path():
    # Whoever builds the optimizer may give variables in another order than the model's.
    tokens = keras.Input((4,), dtype="int32")
    hidden = layers.Embedding(3, 3, name="embedding")(tokens)
    model = keras.Model(tokens, layers.Dense(3, use_bias=False, name="dense")(hidden))
    optimizer = EndToEnd(apply_to=model)
    optimizer.build(model.trainable_variables[::-1])
    assert [each.path for each in model.trainable_variables] == [
        "embedding/embeddings",
        "dense/kernel",
    ]
    assert optimizer._positions == [0]


def test_in_any_other_list_a_view_goes_by_path():
    # Where layers are frozen, variables have other positions.
    variables = two_alike("one", "two")
    optimizer = EndToEnd(apply_to=["one/kernel", "two/kernel"])
    optimizer.build(variables)
    config = optimizer.get_config()
    with pytest.raises(ValueError, match="a view of `one/kernel`"):
        EndToEnd.from_config(config).build(variables[1:])
    config["apply_to"] = config["apply_to"][1:]
    other = EndToEnd.from_config(config)
    other.build(variables[1:])
    assert other._positions == [0]


def test_of_a_configuration_parts_may_be_missing():
    config = {"class_name": "tfoverparam>EndToEnd", "config": {"depth": 3}}
    found = keras.optimizers.get(config)
    assert isinstance(found, EndToEnd) and found.depth == 3
    assert isinstance(found.inner_optimizer, optimizers.SGD) and found.apply_to is None


def test_where_paths_are_others_a_view_goes_by_position_and_shape():
    model, again = (
        keras.Sequential([keras.Input((3,)), layers.Dense(4, name=name), layers.Dense(4)])
        for name in ("first", "renamed")
    )
    optimizer = EndToEnd(apply_to=linear_maps(model)[:1])
    optimizer.build(model.trainable_variables)
    revived = EndToEnd.from_config(json.loads(json.dumps(optimizer.get_config())))
    revived.build(again.trainable_variables)
    assert [target.path for target in revived.apply_to] == [again.layers[0].kernel.path]
    # By its path where that is there: not the first kernel of this shape.
    revived = EndToEnd.from_config(optimizer.get_config())
    revived.build(again.trainable_variables[2:] + model.trainable_variables[:2])
    assert revived._positions == [2]


def test_a_rule_for_one_kernel_does_not_cover_another_after_loading(tmp_path):
    inputs = keras.Input((3,))
    hidden = layers.Dense(3, name="my_dense")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="dense")(hidden))
    model.compile(EndToEnd(apply_to="dense/kernel"), "mse", jit_compile=False)
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))
    model.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras")
    assert [target.path for target in revived.optimizer.apply_to] == ["dense/kernel"]
    assert revived.optimizer._positions == model.optimizer._positions == [2]


def test_kernels_whose_view_cannot_be_known_are_told():
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    inputs = keras.Input((4, 5))
    model = keras.Model(inputs, attention(inputs, inputs))
    with pytest.warns(UserWarning, match="attention/.*/kernel.*apply_to=model") as told:
        EndToEnd().build(model.trainable_variables)
    assert len([each for each in told if "apply_to=model" in str(each.message)]) == 4
    EndToEnd(apply_to=model).build(model.trainable_variables)


def test_no_variable_of_the_model_is_among_its_state():
    # With JAX, `fit` would give the same buffer away twice.
    model = everything()
    optimizer = EndToEnd(apply_to=model, refresh_every=2)
    optimizer.build(model.trainable_variables)
    state = {id(variable) for variable in optimizer.variables}
    assert len(state) == len(optimizer.variables)
    assert not state & {id(variable) for variable in model.variables}


def test_the_optimizer_does_not_keep_the_model():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    optimizer, reference = EndToEnd(apply_to=model), weakref.ref(model)
    del model
    gc.collect()
    assert optimizer.apply_to[0].view.shape == (3, 2)
    assert reference() is None


def test_what_its_gradient_replaces_is_no_kernel():
    # Keras sets this for the scales of float8.
    kernel = keras.Variable([[4.0]], name="kernel")
    kernel.overwrite_with_gradient = True
    with pytest.raises(ValueError, match="that is no factor. Received: 'kernel'"):
        EndToEnd(apply_to="kernel").build([kernel])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 0.5}, "`depth` must be a number >= 1. Received: depth=0.5"),
        ({"depth": "2"}, "`depth` must be a number >= 1. Received: depth='2'"),
        ({"depth": float("nan")}, "`depth` must be a number >= 1. Received: depth=nan"),
        ({"weight_decay": -1}, "`weight_decay` must be None or a number >= 0"),
        ({"inner_optimizer": "adamw", "weight_decay": 0.1}, "Both `weight_decay` and the inner"),
        ({"clipnorm": 1.0}, "`clipnorm` is an argument of the inner optimizer"),
        ({"learning_rate": 0.1}, "`learning_rate` is an argument of the inner optimizer"),
        ({"use_ema": True}, "`use_ema` is an argument of the inner optimizer"),
        ({"gradient_accumulation_steps": 2}, "is an argument of the inner optimizer"),
        ({"refresh_every": 0}, "`refresh_every` must be a positive integer. Received: refresh_"),
        ({"refresh_every": 1.5}, "`refresh_every` must be a positive integer"),
        ({"width": 3}, "not recognized"),
        ({"inner_optimizer": "no_such"}, "no_such"),
        ({"grafting": 1}, "`grafting` must be True or False. Received: grafting=1"),
        ({"apply_to": 3}, "`apply_to` must be None, a model, or linear maps, paths of variables"),
        ({"apply_to": ["kernel", 3]}, "`apply_to` must be None, a model, or linear maps"),
        ({"apply_to": []}, "`apply_to` must be None, a model, or linear maps"),
        ({"inner_optimizer": None}, "must be an optimizer other than EndToEnd"),
        ({"inner_optimizer": EndToEnd()}, "must be an optimizer other than EndToEnd"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EndToEnd(**arguments)


def test_configuration():
    TestCase().run_class_serialization_test(
        EndToEnd(
            optimizers.SGD(0.1, momentum=0.9),
            depth=2.5,
            weight_decay=0.1,
            apply_to="dense/kernel",
            refresh_every=3,
            grafting=True,
        )
    )


def test_custom_objects_are_found_for_all_parts_of_a_configuration():
    class Slow(optimizers.SGD):
        pass

    def is_wide(variable):
        return variable.shape[-1] > 3

    config = EndToEnd(Slow(), apply_to=is_wide).get_config()
    again = EndToEnd.from_config(config, custom_objects={"Slow": Slow, "is_wide": is_wide})
    assert type(again.inner_optimizer) is Slow
    assert again.apply_to == [is_wide]


def test_defaults():
    config = EndToEnd(name="rule").get_config()
    inner = keras.saving.deserialize_keras_object(config.pop("inner_optimizer"))
    assert isinstance(inner, optimizers.SGD)
    assert config == {
        "depth": 2,
        "weight_decay": None,
        "apply_to": None,
        "refresh_every": 1,
        "grafting": False,
        "name": "rule",
    }


def test_building_does_not_change_the_configuration():
    optimizer = EndToEnd(optimizers.SGD(0.1), weight_decay=0.1)
    before = optimizer.get_config()
    optimizer.build(everything().trainable_variables)
    assert optimizer.get_config() == before


def _tower(name, widths=(4, 4)):
    first, second = widths
    inputs = keras.Input((4,))
    hidden = layers.Dense(first, "tanh", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(second, name="out")(hidden), name=name)


@pytest.mark.parametrize("widths", [(4, 4), (3, 4)])
def test_kernels_of_the_same_path(widths):
    one, two = _tower("encoder", widths), _tower("decoder")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, two(one(inputs)))
    for apply_to in (model, [one, two], None):
        optimizer = EndToEnd("sgd", apply_to=apply_to)
        optimizer.build(model.trainable_variables)
        assert optimizer._positions == [0, 2, 4, 6]
    # So it is when it comes from a file.
    config = EndToEnd("sgd", apply_to=model).get_config()
    again = EndToEnd.from_config(config)
    again.build(model.trainable_variables)
    assert again._positions == [0, 2, 4, 6]


class TwoKernels(layers.Layer):
    """Its kernels have the names that factors have."""

    def build(self, shape):
        self.kernel_1 = self.add_weight(shape=(shape[-1], 4), name="kernel_1")
        self.kernel_2 = self.add_weight(shape=(4, 2), name="kernel_2")

    def call(self, x):
        return keras.ops.matmul(keras.ops.tanh(keras.ops.matmul(x, self.kernel_1)), self.kernel_2)


def test_a_kernel_may_have_the_name_of_a_factor():
    from tfoverparam import register_linear_map

    register_linear_map(TwoKernels, "kernel_1")
    register_linear_map(TwoKernels, "kernel_2")
    model = keras.Sequential([keras.Input((6,)), TwoKernels()])
    paths = [each.path for each in model.trainable_variables]
    for apply_to in (model, paths, lambda variable: True):
        optimizer = EndToEnd("sgd", apply_to=apply_to)
        optimizer.build(model.trainable_variables)
        assert optimizer._positions == [0, 1]
