"""The arguments of the end-to-end rule's optimizer, what it applies to, and its configuration."""

import keras
import pytest
from keras import layers, optimizers
from keras.src.testing import TestCase
from tfoverparam import EndToEnd, FactorizedDense


def everything():
    """One layer of each kind that has variables of rank 2 or more."""
    tokens = keras.Input((4,), dtype="int32")
    hidden = layers.Embedding(9, 8, name="embedding")(tokens)
    hidden = layers.Conv1D(8, 3, padding="same", name="conv")(hidden)
    hidden = layers.LSTM(4, return_sequences=True, name="lstm")(hidden)
    hidden = layers.Reshape((4, 4, 1))(hidden)
    hidden = layers.DepthwiseConv2D(2, name="depthwise")(hidden)
    hidden = layers.SeparableConv2D(2, 2, name="separable")(hidden)
    hidden = layers.Flatten()(hidden)
    hidden = FactorizedDense(3, name="factorized")(hidden)
    return keras.Model(tokens, layers.Dense(2, name="dense")(hidden))


def chosen_paths(**arguments):
    optimizer = EndToEnd(**arguments)
    optimizer.build(everything().trainable_variables)
    return {variable.path for variable in optimizer._preconditioned}


def test_by_default_the_rule_applies_to_kernels():
    assert chosen_paths() == {
        "conv/kernel",
        "lstm/lstm_cell/kernel",
        "lstm/lstm_cell/recurrent_kernel",
        "separable/pointwise_kernel",
        "dense/kernel",
    }


@pytest.mark.parametrize(
    "apply_to, expected",
    [
        ("dense/", {"dense/kernel"}),
        (["embeddings", "conv/"], {"embedding/embeddings", "conv/kernel"}),
        (lambda v: v.shape[-1] == 2 and "dense" in v.path, {"dense/kernel"}),
        (["factorized", lambda v: "embed" in v.path], None),
    ],
)
def test_apply_to(apply_to, expected):
    if expected is None:
        expected = {"factorized/kernel_0", "factorized/kernel_1", "embedding/embeddings"}
    assert chosen_paths(apply_to=apply_to) == expected


def test_apply_to_a_variable():
    model = everything()
    kernel = model.get_layer("dense").kernel
    optimizer = EndToEnd(apply_to=kernel)
    optimizer.build(model.trainable_variables)
    assert optimizer._preconditioned == [kernel]
    assert EndToEnd.from_config(optimizer.get_config()).apply_to == [kernel.path]


def test_no_variable_of_the_model_is_among_its_state():
    # With JAX, `fit` would give the same buffer away twice.
    model = everything()
    optimizer = EndToEnd(apply_to=model.get_layer("dense").kernel, refresh_every=2)
    optimizer.build(model.trainable_variables)
    state = {id(variable) for variable in optimizer.variables}
    assert len(state) == len(optimizer.variables) == 7  # two counts and rates, a step, a basis
    assert not state & {id(variable) for variable in model.variables}


def test_what_its_gradient_replaces_is_no_kernel():
    # Keras sets this for the scales of float8.
    kernel = keras.Variable([[4.0]], name="kernel")
    kernel.overwrite_with_gradient = True
    with pytest.raises(ValueError, match="of rank 2 or more. Received: 'kernel'"):
        EndToEnd(apply_to="kernel").build([kernel])


def test_apply_to_what_is_not_there():
    with pytest.raises(ValueError, match="must name a variable of rank 2 or more. Received: 'no"):
        chosen_paths(apply_to=["dense", "nowhere"])


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
        ({"apply_to": 3}, "`apply_to` must be None, or parts of paths, predicates, variables"),
        ({"apply_to": ["kernel", 3]}, "`apply_to` must be None, or parts of paths"),
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
            apply_to="dense",
            refresh_every=3,
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
        "name": "rule",
    }


def test_building_does_not_change_the_configuration():
    optimizer = EndToEnd(optimizers.SGD(0.1), weight_decay=0.1)
    before = optimizer.get_config()
    optimizer.build(everything().trainable_variables)
    assert optimizer.get_config() == before
