"""What `overparameterize` and `collapse` change, keep, refuse and say."""

import contextlib
import functools
import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import (
    EndToEnd,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    initializers,
    keras_private,
    linear_maps,
    overparameterize,
)
from tfoverparam.layers import factorized_layer, in_place, kernel_factors

overparameterized = functools.partial(overparameterize, verbose=0)


def small_model(*more, units=3, **arguments):
    return keras.Sequential([keras.Input((4,)), *more, layers.Dense(units, **arguments)])


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def values(model):
    return [np.array(variable) for variable in model.variables]


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
            layers.Conv2D(6, 2, activation="tanh"),
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
        # Some layers are factorized, the rule does the others: both in one model.
        (2, lambda each: isinstance(each.layer, layers.Conv2D)),
    ],
    ids=["depth 2", "depth 3", "mixed"],
)
def test_a_step_of_sgd_is_a_step_of_the_rule_on_the_original(depth, filter, double_precision):
    keras.utils.set_random_seed(1)
    model = tanh_network()
    start = model.get_weights()
    rates, gaps, others = (1e-2, 1e-3, 1e-4), [], []
    for rate in rates:
        overparameterized(model, depth=depth, filter=filter)
        optimizer = keras.optimizers.SGD(rate)
        weights_after_a_step(model, EndToEnd(optimizer, depth=depth) if filter else optimizer)
        descended = collapse(model).get_weights()

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


# Arguments


def test_filter_and_hidden_units():
    model = small_model(layers.Dense(2, name="narrow"), layers.Dense(6, name="wide"), units=6)
    narrow, wide, last = model.layers
    overparameterized(
        model, depth=3, hidden_units=[7, 8], filter=lambda each: each.layer.name != "narrow"
    )
    assert type(narrow) is layers.Dense
    assert isinstance(wide, FactorizedDense) and isinstance(last, FactorizedDense)
    assert [tuple(factor.shape) for factor in wide.factors] == [(2, 7), (7, 8), (8, 6)]
    assert wide.depth == 3 and wide.hidden_units == [7, 8]


def test_the_filter_sees_linear_maps_and_decides_one_by_one():
    model = keras.Sequential([keras.Input((5, 4)), layers.SeparableConv1D(3, 2), layers.LSTM(2)])
    seen = []
    overparameterized(model, filter=lambda each: seen.append(each) or "recurrent" in each.path)
    assert seen == linear_maps(model)
    factorized = [each.variable for each in linear_maps(model) if each.is_factorized]
    assert factorized == ["recurrent_kernel"]


def test_embeddings_and_depthwise_kernels_are_left_unless_the_filter_takes_them():
    def model():
        return keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                layers.Embedding(9, 4),
                layers.DepthwiseConv1D(2),
                layers.SeparableConv1D(3, 2),
                layers.Dense(2),
            ]
        )

    factorized = [each for each in linear_maps(overparameterized(model())) if each.is_factorized]
    assert [each.variable for each in factorized] == ["pointwise_kernel", "kernel"]
    everything = overparameterized(model(), filter=lambda each: True)
    assert all(each.is_factorized for each in linear_maps(everything))


def test_depth_one():
    model = small_model(units=3)
    (layer,) = model.layers
    kernel = np.array(layer.kernel)
    overparameterized(model, depth=1, hidden_units=3)
    np.testing.assert_array_equal(layer.factors[0], kernel)


@pytest.mark.parametrize("units", [2, 6])
def test_unbalanced_factors_are_the_kernel_and_identities(units):
    model = small_model(units=units)
    (layer,) = model.layers
    kernel = np.array(layer.kernel)
    overparameterized(model, depth=3, balanced=False)
    *others, found = layer.factors if units == 6 else layer.factors[::-1]
    np.testing.assert_array_equal(found, kernel)
    for other in others:
        np.testing.assert_array_equal(other, np.eye(min(4, units)))


def test_unbalanced_factors_of_a_stack_can_be_trained():
    model = keras.Sequential([keras.Input((6, 4)), layers.Conv1D(4, 2, groups=2)])
    overparameterized(model, depth=3, balanced=False)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before = [np.array(each) for each in model.trainable_variables]
    model.train_on_batch(drawn(0, 3, 6, 4), drawn(1, 3, 5, 4))
    for weight, value in zip(model.trainable_variables, before):
        assert np.abs(np.array(weight) - value).max() > 0


def test_a_seed_makes_the_factors_repeatable():
    def factors(seed):
        keras.utils.set_random_seed(0)
        return overparameterized(small_model(layers.Dense(4)), seed=seed).get_weights()

    one, same, other = factors(1), factors(1), factors(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.allclose(one[0], other[0])


def test_a_network_and_its_copy_have_the_same_factors():
    # As training with a moving average of the weights needs them: it averages the factors.
    network, copy = (small_model(layers.Dense(4), layers.Dense(4)) for _ in range(2))
    copy.set_weights(network.get_weights())
    inputs = keras.Input((4,))
    overparameterized(keras.Model(inputs, layers.Add()([network(inputs), copy(inputs)])))
    factors, others = values(network), values(copy)
    assert all(np.array_equal(a, b) for a, b in zip(factors, others, strict=True))
    first, second = (layer.factors[1] for layer in network.layers[:2])
    assert abs(np.sum(np.array(first) * np.array(second))) < 0.99 * np.sum(np.array(first) ** 2)


def test_a_copy_of_a_converted_model_starts_like_any():
    model = overparameterized(small_model())
    copy = keras.models.clone_model(model)
    assert float(ops.norm(copy.layers[0].kernel)) > 0.1
    assert len(copy.layers[0].factors) == 2 and float(copy.layers[0].imbalance()) < 1e-5
    assert copy.layers[0].factors[0] is not model.layers[0].factors[0]


# Compilation


@pytest.mark.parametrize("convert", [overparameterized, collapse])
def test_a_compiled_model_stays_compiled(convert):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), FactorizedDense(2)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(0.25, beta_1=0.5)
    model.compile(optimizer, loss, metrics=["mae"], jit_compile=False)
    inputs, targets = drawn(0, 8, 4), np.eye(2)[np.arange(8) % 2]
    model.fit(inputs, targets, verbose=0)
    optimizer.learning_rate = 0.125
    predicted = model.predict(inputs, verbose=0)
    expected = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    parts = model.loss, model.metrics
    assert convert(model) is model
    assert model.compiled and (model.loss, model.metrics) == parts and model.loss is loss
    assert type(model.optimizer) is type(optimizer) and model.optimizer is not optimizer
    assert float(model.optimizer.learning_rate) == 0.125 and model.optimizer.beta_1 == 0.5
    assert int(model.optimizer.iterations) == 0 and not model.jit_compile
    found = model.evaluate(inputs, targets, verbose=0, return_dict=True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), predicted, atol=1e-6)
    # What was compiled before would train variables that are no more.
    before = values(model)
    assert np.isfinite(model.fit(inputs, targets, verbose=0).history["loss"][0])
    assert all(np.abs(a - b).max() > 0 for a, b in zip(values(model), before))
    assert np.abs(model.predict(inputs, verbose=0) - predicted).max() > 1e-3


def test_an_optimizer_without_steps_stays_the_object_that_it_is():
    model = small_model()
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, "mse")
    assert overparameterized(model).optimizer is optimizer


def test_a_model_that_is_not_compiled_stays_so():
    model = overparameterized(small_model())
    assert not model.compiled and not collapse(model).compiled


@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize("scaled", [True, False], ids=["loss scale", "alone"])
def test_weight_decay_is_on_what_it_was_on(is_built, scaled):
    model = small_model(layers.Dense(4, name="first"), name="second")
    first, second = model.layers
    optimizer = inner = keras.optimizers.AdamW(0.0, weight_decay=0.5)
    inner.exclude_from_weight_decay(var_list=[first.kernel], var_names=["bias"])
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
    model.compile(optimizer, "mse", jit_compile=False)
    if is_built:
        model.train_on_batch(drawn(0, 8, 4), drawn(1, 8, 3))
    overparameterized(model)
    found = model.optimizer.inner_optimizer if scaled else model.optimizer
    decayed = [found._use_weight_decay(each) for each in model.trainable_variables]
    assert decayed == [False] * 3 + [True, True, False]
    collapse(model)
    found = model.optimizer.inner_optimizer if scaled else model.optimizer
    decayed = [found._use_weight_decay(each) for each in model.trainable_variables]
    assert decayed == [False, False, True, False]


class TwoOptimizers(keras.Model):
    """As GANs do it: models and optimizers are arguments, the step its own."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def compile(self, first_optimizer, second_optimizer):
        super().compile()
        self.first_optimizer, self.second_optimizer = first_optimizer, second_optimizer

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_all_optimizers_of_a_model_start_afresh():
    first, second = small_model(units=4), small_model(units=2)
    model = TwoOptimizers(first, second)
    model.build((None, 4))
    optimizers = keras.optimizers.Adam(0.25), keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(*optimizers)
    for optimizer, part in zip(optimizers, (first, second)):
        optimizer.build(part.trainable_variables)
    second.compile("sgd", "mse")
    second.train_on_batch(drawn(0, 2, 4), drawn(1, 2, 2))
    overparameterized(model)
    found = model.first_optimizer, model.second_optimizer, second.optimizer
    expected = [type(optimizers[0]), type(optimizers[1]), type(keras.optimizers.SGD())]
    assert [type(each) for each in found] == expected
    assert found[0] is not optimizers[0] and not any(each.built for each in found)
    assert second.train_function is None
    second.train_on_batch(drawn(0, 2, 4), drawn(1, 2, 2))


class NoConfig(keras.optimizers.SGD):
    def get_config(self):
        raise NotImplementedError("no configuration")


def test_an_optimizer_that_cannot_start_afresh_is_an_error():
    model = small_model()
    model.compile(NoConfig(0.1), "mse")
    model.train_on_batch(drawn(0, 2, 4), drawn(1, 2, 3))
    before = values(model)
    with pytest.raises(ValueError, match="in `optimizer` of model.*NoConfig says: no configurat"):
        overparameterized(model)
    assert all(np.array_equal(a, b) for a, b in zip(values(model), before, strict=True))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's own lists")
def test_pytorch_lists_the_factors():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="inner")])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, name="outer")(inner(inputs)))
    before = {name for name, _ in model.named_parameters()}
    overparameterized(model)
    for listed in (dict(model.named_parameters()), model.state_dict()):
        assert not any(name.endswith("/kernel") for name in listed)
        assert {id(each.value) for each in model.trainable_variables} <= {
            id(each) for _, each in model.named_parameters()
        }
    assert len([name for name, _ in model.named_parameters() if "kernel_1" in name]) >= 2
    collapse(model)
    assert {name for name, _ in model.named_parameters()} == before


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
    others = {each.path: np.array(each) for each in model.variables if "kernel" not in each.name}
    overparameterized(model)
    for variable in model.variables:
        if "kernel" not in variable.name:
            np.testing.assert_array_equal(variable, others.pop(variable.path))
    assert not others


def test_factors_train_where_the_kernel_did():
    model = small_model(layers.Dense(5, trainable=False), layers.Dense(5))
    frozen, one, last = model.layers
    one.kernel.trainable = False
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    overparameterized(model, depth=3)
    before = model.get_weights()
    model.train_on_batch(drawn(0, 8, 4), drawn(1, 8, 3))
    moved = [np.abs(a - b).max() > 0 for a, b in zip(model.get_weights(), before)]
    assert moved == [False] * 4 + [False] * 3 + [True] + [True] * 4
    collapse(model)
    assert [each.trainable for each in model.weights] == [False] * 3 + [True] * 3
    assert not frozen.trainable and one.trainable and last.trainable


def test_everything_is_where_it_was():
    model = small_model(layers.Dense(5, kernel_regularizer="l2"))
    first, _ = model.layers
    inputs = drawn(0, 8, 4)
    paths, attributes = [each.path for each in model.weights], set(vars(first))
    kernel, regularizer, loss = np.array(first.kernel), first.kernel.regularizer, model.losses[0]
    overparameterized(model)
    assert [each.path for each in first.weights] == [
        f"{first.path}/{name}" for name in ("kernel_0", "kernel_1", "bias")
    ]
    (product_loss,) = model.losses
    np.testing.assert_allclose(product_loss, loss, rtol=1e-6)
    outputs = np.array(model(inputs))
    collapse(model)
    assert [each.path for each in model.weights] == paths
    assert type(first) is layers.Dense and set(vars(first)) == attributes
    assert first.kernel.regularizer is regularizer
    np.testing.assert_allclose(first.kernel, kernel, atol=1e-6)
    np.testing.assert_allclose(model(inputs), outputs, atol=1e-6)


# Refusals


def test_what_cannot_be_factorized_stays_and_is_named():
    model = small_model(layers.Dense(5, kernel_constraint="max_norm", name="kept"))
    with pytest.warns(UserWarning, match=r"kept/kernel \(it has a constraint, which acts on one"):
        overparameterized(model)
    assert type(model.layers[0]) is layers.Dense and model.layers[1].factors


def test_a_model_that_is_factorized_already():
    model = overparameterized(small_model())
    with pytest.raises(ValueError, match="is factorized already.*Call `collapse` on it first"):
        overparameterized(model)


def not_finite():
    model = small_model(name="broken")
    model.layers[0].kernel.assign(np.full((4, 3), np.nan))
    return model


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: layers.Dense(3), "`model` must be a `keras.Model`. Received: model=<Dense"),
        (lambda: keras.Sequential([layers.Dense(3)]), "is not built.*Call it on data"),
        (lambda: keras.Sequential([keras.Input((4,)), layers.ReLU()]), "nothing to factorize"),
        (not_finite, "broken/kernel` must hold finite numbers.*training diverged"),
    ],
    ids=["layer", "not built", "nothing", "not finite"],
)
def test_what_cannot_be_converted(make, message):
    with pytest.raises(ValueError, match=message):
        overparameterized(make())


def test_a_filter_that_accepts_nothing():
    with pytest.raises(ValueError, match="of its 1 linear maps there is none that.*`filter`"):
        overparameterized(small_model(), filter=lambda each: False)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 0}, "`depth` must be a positive integer. Received: depth=0"),
        ({"filter": "dense"}, "`filter` must be None or a function. Received: filter='dense'"),
        ({"hidden_units": 2}, "`hidden_units` must be at least 3 for `.*dense.*kernel.*units=2"),
        ({"depth": 3, "hidden_units": [3, 2]}, r"at least 3 .*Received: hidden_units=\[3, 2\]"),
        ({"depth": 3, "hidden_units": [3]}, "`hidden_units` must have one width per hidden"),
        ({"seed": 0.5}, "`seed` must be an integer or None. Received: seed=0.5"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        overparameterized(small_model(), **arguments)


# An error at any point leaves the model as it was


STEPS = [
    (in_place, "factor_values"),
    (in_place, "_convert"),
    (in_place, "KernelPenalty"),
    (keras_private, "variable_like"),
    (keras_private, "replace_variables"),
    (keras_private, "remove_attribute"),
    (keras_private, "renew_torch_parameters"),
    (keras_private, "copy_weight_decay_exclusions"),
    (keras_private, "renew_compiled_functions"),
    (factorized_layer, "FactorsInFile"),
    (kernel_factors.KernelFactors, "distance_from"),
    (kernel_factors.KernelFactors, "exact_kernel"),
]


class Interrupted(Exception):
    pass


@contextlib.contextmanager
def failing_at(call, monkeypatch):
    """The `call`-th call of any of STEPS fails, before or after it has done its work."""
    count = 0

    def failing(function):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            if count == call:
                raise Interrupted
            result = function(*args, **kwargs)
            count += 1
            if count == call:
                raise Interrupted
            return result

        return wrapper

    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, failing(getattr(owner, name)))
        yield


def everything_of(model):
    """All that a conversion touches, by identity."""
    found = {}
    for layer in [model, model.optimizer, *model._flatten_layers()]:
        attributes = {
            name: list(map(id, value)) if isinstance(value, list) else id(value)
            for name, value in vars(layer).items()
            if name != "_modules"  # of PyTorch, whose parameters are listed anew
        }
        found[id(layer)] = type(layer), attributes, layer._tracker.locked
    return found


@pytest.mark.parametrize("is_trained", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("convert", [overparameterized, collapse])
def test_an_error_at_any_step_leaves_the_model_as_it_was(convert, is_trained, monkeypatch):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            layers.LSTM(3),
            layers.Dense(4, kernel_regularizer="l2", trainable=False),
            layers.Dense(2),
        ]
    )
    optimizer = keras.optimizers.AdamW()
    model.compile(optimizer, "mse", jit_compile=False)
    inputs, targets = drawn(0, 8, 5, 4), drawn(1, 8, 2)
    if convert is collapse:
        overparameterized(model)
    optimizer.exclude_from_weight_decay(var_list=model.trainable_variables[:1])
    if is_trained:
        model.fit(inputs, targets, verbose=0)
    outputs = model.predict(inputs, verbose=0)
    before, weights = everything_of(model), values(model)
    for call in range(1, 500):
        with failing_at(call, monkeypatch):
            try:
                convert(model)
                break
            except Interrupted:
                pass
        assert everything_of(model) == before
        assert all(np.array_equal(a, b) for a, b in zip(values(model), weights, strict=True))
    assert 40 < call < 499
    np.testing.assert_allclose(model.predict(inputs, verbose=0), outputs, atol=1e-6)
    assert (convert is collapse) == (not any(each.is_factorized for each in linear_maps(model)))


def test_a_model_goes_on_after_an_error(monkeypatch):
    model = small_model()
    model.compile("adam", "mse", jit_compile=False)
    inputs, targets = drawn(0, 8, 4), drawn(1, 8, 3)
    model.fit(inputs, targets, verbose=0)
    with failing_at(9, monkeypatch), pytest.raises(Interrupted):
        overparameterized(model)
    model.fit(inputs, targets, verbose=0)
    assert int(model.optimizer.iterations) == 2
    overparameterized(model).fit(inputs, targets, verbose=0)


@pytest.mark.parametrize("wrong", ["flipped", "swapped", "one entry"])
def test_factors_of_another_kernel_are_noticed(wrong, monkeypatch):
    model = small_model(layers.Dense(4), layers.Dense(4))
    before, calls = values(model), []

    def wrong_values(view, kernel, *arguments):
        calls.append(kernel)
        if wrong == "swapped" and len(calls) < 3:
            kernel = model.layers[2 - len(calls)].kernel if len(calls) == 1 else calls[0]
        elif wrong == "flipped" and len(calls) == 2:
            kernel = -ops.convert_to_tensor(kernel)
        elif wrong == "one entry" and len(calls) == 2:
            kernel = ops.convert_to_tensor(kernel) + 1e-3 * np.eye(4, dtype="float32")
        return kernel_factors.factor_values(view, kernel, *arguments)

    monkeypatch.setattr(in_place, "factor_values", wrong_values)
    with pytest.raises(RuntimeError, match=r"The factors of `.*dense.*/kernel` do not multiply"):
        overparameterized(model)
    assert all(np.array_equal(a, b) for a, b in zip(values(model), before, strict=True))


# What it says


def test_the_report(capsys):
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(10, 4),
            layers.DepthwiseConv1D(2),
            layers.DepthwiseConv1D(2),
            layers.Dense(15),
        ]
    )
    overparameterize(model)
    # 60 of 40 + 2 * 8 + 60 entries of kernels.
    assert capsys.readouterr().out == (
        "factorized 1 of 4 linear maps, 51.7 % of their parameters; left: 1 Embedding, "
        "2 DepthwiseConv1D\n"
    )
    overparameterize(collapse(model), verbose=0)
    assert not capsys.readouterr().out


def test_docstrings_name_no_class_of_before():
    for function in (overparameterize, collapse):
        assert not re.search("twin|copy", function.__doc__)


def test_parts_of_the_package_do_not_stay_in_a_collapsed_layer():
    layer = FactorizedConv2D(4, 3, kernel_initializer=initializers.NearZero(0.5))
    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    assert "tfoverparam" in str(keras.saving.serialize_keras_object(layer))
    collapse(model)
    assert "tfoverparam" not in str(keras.saving.serialize_keras_object(layer))
