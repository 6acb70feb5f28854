"""`FactorizedConv2D` against numbers by hand and against `Conv2D` holding the product."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src import testing
from tfoverparam import FactorizedConv2D, initializers
from tfoverparam.layers import factorized_conv

EPSILON = float(np.finfo("float32").eps)


def as_arrays(tensors):
    return [ops.convert_to_numpy(tensor).astype("float64") for tensor in tensors]


def product(layer):
    return functools.reduce(np.matmul, as_arrays(layer.factors))


def as_matrices(kernel, groups):
    """The kernel's matrix, or one per group: each group's receptive field to its filters."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return matrix if groups == 1 else np.stack(np.split(matrix, groups, axis=1))


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def set_random_weights(layer, seed=1):
    layer.set_weights(
        [drawn(seed + i, *w.shape) / np.sqrt(w.shape[0]) for i, w in enumerate(layer.weights)]
    )


@pytest.fixture
def convolutions(monkeypatch):
    """A list of the kernels of all convolutions from now on, but for those of shapes alone."""
    record, conv = [], ops.conv

    def recording_conv(inputs, kernel, **arguments):
        if not isinstance(kernel, keras.KerasTensor):
            record.append(kernel)
        return conv(inputs, kernel, **arguments)

    monkeypatch.setattr(factorized_conv.ops, "conv", recording_conv)
    return record


@pytest.mark.parametrize("pixels", [1, 9])
def test_forward_by_hand(pixels):
    layer = FactorizedConv2D(1, (1, 2), hidden_filters=1, padding="same", activation="relu")
    inputs = np.zeros((1, 1, pixels, 1))
    layer.build(inputs.shape)
    layer.set_weights([np.array([[2.0], [5.0]]), np.array([[3.0]]), np.array([-1.0])])
    np.testing.assert_array_equal(layer.kernel, np.reshape([6.0, 15.0], (1, 2, 1, 1)))
    inputs[0, 0, :, 0] = 1.0
    # 6 + 15 - 1, and at the right border, where the padding adds one zero, 6 - 1.
    expected = [20.0] * (pixels - 1) + [5.0]
    np.testing.assert_array_equal(np.ravel(layer(inputs)), expected)


CASES = {
    "valid": {},
    "same": {"padding": "same"},
    "same, strides": {"padding": "same", "strides": 2},
    "valid, strides": {"strides": (1, 2)},
    "valid, dilation": {"dilation_rate": 2},
    "same, dilation": {"padding": "same", "dilation_rate": (2, 1)},
    "no bias": {"use_bias": False},
    "groups": {"groups": 2, "padding": "same", "strides": 2},
    "groups, dilation": {"groups": 4, "dilation_rate": 2},
}


@pytest.mark.parametrize(
    "data_format, hidden_filters",
    [("channels_last", None), ("channels_last", [1, 2]), ("channels_first", [1, 2])],
)
@pytest.mark.parametrize("name", CASES)
def test_forward_and_gradients_are_those_of_conv2d_with_the_product(
    layer_gradients, name, hidden_filters, data_format
):
    arguments = {"data_format": data_format, **CASES[name]}
    layer = FactorizedConv2D(8, (3, 2), depth=3, hidden_filters=hidden_filters, **arguments)
    shape = (2, 7, 6, 4) if data_format == "channels_last" else (2, 4, 7, 6)
    inputs = drawn(0, *shape)
    layer.build(shape)
    set_random_weights(layer)
    stock = layers.Conv2D(8, (3, 2), **arguments)
    stock.build(shape)
    matrices = product(layer)
    assert matrices.shape[-2] == np.prod(stock.kernel.shape[:3])
    together = matrices if layer.groups == 1 else np.concatenate(matrices, axis=1)
    kernel = together.reshape(stock.kernel.shape)
    stock.set_weights([kernel, *layer.get_weights()[3:]])
    np.testing.assert_allclose(layer.kernel, kernel, rtol=0, atol=99 * EPSILON * np.max(kernel))

    results = []
    for each in (layer, stock):
        outputs = each(inputs)
        gradients = layer_gradients(each, inputs, drawn(9, *outputs.shape))
        results.append(as_arrays([outputs, *gradients]))
    (outputs, d_inputs, *d_weights), (stock_outputs, stock_d_inputs, d_kernel, *d_bias) = results

    # The chain rule on the matrix: A' G B', A and B being the products before and after.
    a, b, c = as_arrays(layer.factors)
    d_matrix = as_matrices(d_kernel, layer.groups)
    bc_t, a_t, c_t, ab_t = (np.swapaxes(each, -1, -2) for each in (b @ c, a, c, a @ b))
    expected = [d_matrix @ bc_t, a_t @ d_matrix @ c_t, ab_t @ d_matrix, *d_bias]
    pairs = [(outputs, stock_outputs), (d_inputs, stock_d_inputs), *zip(d_weights, expected)]
    assert len(pairs) == 5 + layer.use_bias
    for actual, wanted in pairs:
        assert actual.shape == wanted.shape
        # Sums of up to 2 * 7 * 6 * 8 terms of either sign.
        assert np.abs(actual - wanted).max() <= 200 * EPSILON * np.abs(wanted).max()
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *stock_outputs.shape[1:])


@pytest.mark.parametrize(
    "batch_size, arguments, expected",
    [
        # Per pixel 36 * 16 multiplications against 36 * 16 + 16 * 16, and 36 * 16 * 16 once.
        (2, {"depth": 2}, 1),
        # One image of 4 pixels does not pay for the product of the factors.
        (1, {"depth": 2, "strides": 4}, 2),
        # A bottleneck: 36 * 2 + 2 * 16 is less.
        (2, {"depth": 2, "hidden_filters": 2}, 2),
        (2, {"depth": 3, "hidden_filters": [2, 3]}, 3),
        (None, {"depth": 3, "hidden_filters": [2, 3]}, 3),
        # An unknown batch size counts as 32.
        (None, {"depth": 2, "strides": 4}, 1),
        (2, {"depth": 1}, 1),
    ],
)
def test_the_cheaper_way_is_taken(batch_size, arguments, expected, convolutions):
    layer = FactorizedConv2D(16, 3, padding="same", **arguments)
    layer.build((None, 8, 8, 4))
    layer.call(keras.KerasTensor((batch_size, 8, 8, 4)))
    assert len(convolutions) == expected


def test_images_of_unknown_size():
    layer = FactorizedConv2D(6, 3, strides=2)
    inputs = keras.Input((None, None, 3))
    assert layer(inputs).shape == (None, None, None, 6)
    assert tuple(layer(drawn(0, 2, 9, 11, 3)).shape) == (2, 4, 5, 6)


def stock_kernel(layer, initializer, shape):
    stock = layers.Conv2D(
        layer.filters, layer.kernel_size, groups=layer.groups, kernel_initializer=initializer
    )
    stock.build(shape)
    return np.asarray(stock.kernel).astype("float64")


@pytest.mark.parametrize("filters, groups", [(16, 1), (40, 1), (8, 4)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_default_start_is_balanced_and_multiplies_to_the_kernel_of_conv2d(
    depth, filters, groups
):
    initializer = keras.initializers.GlorotUniform(seed=3)
    layer = FactorizedConv2D(filters, 3, depth=depth, groups=groups, kernel_initializer=initializer)
    layer.build((None, 8, 8, 4))
    kernel = stock_kernel(layer, initializer, (None, 8, 8, 4))
    # Products of up to 40 terms, of matrices from a decomposition.
    error = np.linalg.norm(product(layer) - as_matrices(kernel, groups))
    assert error <= 40 * depth * EPSILON * np.linalg.norm(kernel)
    assert float(layer.imbalance()) <= 80 * EPSILON
    assert min(np.linalg.norm(factor) for factor in layer.factors) > 0.1


def test_factors_drawn_one_by_one_are_matrices():
    layer = FactorizedConv2D(5, 3, depth=3, factor_initializer=initializers.NearIdentity(0.0))
    layer.build((None, 8, 8, 2))
    np.testing.assert_array_equal(product(layer), np.eye(18, 5))


@pytest.mark.parametrize("regularizer", ["l1", "l2"])
def test_the_penalty_is_that_of_conv2d_on_the_product(regularizer):
    layer = FactorizedConv2D(5, 3, depth=3, kernel_regularizer=regularizer)
    layer.build((None, 8, 8, 2))
    kernel = keras.ops.convert_to_tensor(np.asarray(layer.kernel))
    expected = float(keras.regularizers.get(regularizer)(kernel))
    assert len(layer.losses) == 1
    np.testing.assert_allclose(float(layer.losses[0]), expected, rtol=1e-5)


def model_of(layer_class, **arguments):
    uniform = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layer_class(4, 3, activation="tanh", kernel_initializer=uniform(seed=1), **arguments),
            layer_class(3, 2, strides=2, kernel_initializer=uniform(seed=2), **arguments),
        ]
    )


@pytest.mark.parametrize("jit_compile, optimizer", [(False, "adam"), (True, "sgd")])
def test_at_depth_one_the_layer_is_conv2d_to_the_bit(jit_compile, optimizer):
    x, y = drawn(0, 8, 8, 8, 2), drawn(1, 8, 3, 3, 3)
    results = []
    for each in (model_of(FactorizedConv2D, depth=1), model_of(layers.Conv2D)):
        start = each.get_weights()
        each.compile(optimizer, "mse", jit_compile=jit_compile)
        history = each.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
        results.append([*start, *each.get_weights(), history["loss"]])
    assert len(results[0]) == 9
    for actual, expected in zip(*results, strict=True):
        # Its kernel is stored as a matrix.
        np.testing.assert_array_equal(np.ravel(actual), np.ravel(expected))


def test_at_depth_one_an_unseeded_model_starts_as_conv2d_does():
    starts = []
    for layer_class, arguments in [(FactorizedConv2D, {"depth": 1}), (layers.Conv2D, {})]:
        keras.utils.set_random_seed(5)
        both = [layer_class(3, 2, **arguments), layer_class(3, 2, **arguments)]
        for layer in both:
            layer.build((None, 4, 4, 3))
        starts.append([np.asarray(layer.kernel) for layer in both])
    np.testing.assert_array_equal(*starts)


def test_it_takes_no_names_from_other_layers():
    names = []
    for first in (lambda: layers.Conv2D(3, 2), lambda: FactorizedConv2D(3, 2)):
        keras.backend.clear_session()
        first()
        names.append(layers.Conv2D(3, 2).name)
    assert names == ["conv2d_1", "conv2d"]


# Keras's battery trains on a generator, and `fit` warns that it cannot shuffle one.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 3, "hidden_filters": [7, 2], "strides": 2, "kernel_regularizer": "l2"},
        {"depth": 2, "padding": "same", "groups": 2, "use_bias": False},
    ],
)
def test_keras_layer_battery(arguments):
    testing.TestCase().run_layer_test(
        FactorizedConv2D,
        init_kwargs={"filters": 4, "kernel_size": 2, **arguments},
        input_shape=(2, 6, 6, 4),
        expected_output_shape=(2, 3, 3, 4) if "strides" in arguments else (2, 6, 6, 4),
        expected_output_dtype="float32",
        expected_num_trainable_weights=arguments["depth"] + arguments.get("use_bias", True),
        expected_num_non_trainable_weights=0,
        expected_num_losses="kernel_regularizer" in arguments,
        supports_masking=False,
    )


def test_serialization_keeps_every_argument():
    arguments = {
        "filters": 4,
        "kernel_size": (3, 2),
        "depth": 3,
        "hidden_filters": [5, 6],
        "strides": (2, 1),
        "padding": "same",
        "data_format": "channels_first",
        "dilation_rate": (1, 1),
        "groups": 2,
        "activation": "gelu",
        "use_bias": False,
        "kernel_initializer": keras.initializers.HeNormal(seed=1),
        "factor_initializer": initializers.NearZero(stddev=0.5, seed=2),
        "bias_initializer": "ones",
        "kernel_regularizer": keras.regularizers.L1(0.5),
        "factor_regularizer": keras.regularizers.L2(0.25),
        "bias_regularizer": keras.regularizers.L1L2(0.5, 0.25),
        "activity_regularizer": keras.regularizers.L2(0.125),
        "factor_constraint": keras.constraints.MaxNorm(3.0),
        "bias_constraint": keras.constraints.NonNeg(),
        "seed": 7,
        "name": "convolution",
        "trainable": False,
        "dtype": "mixed_bfloat16",
    }
    layer = FactorizedConv2D(**arguments)
    revived = testing.TestCase().run_class_serialization_test(layer)
    assert set(revived.get_config()) == set(arguments)
    assert revived.hidden_filters == [5, 6] and revived.strides == (2, 1)
    assert keras.saving.get_registered_name(FactorizedConv2D) == "tfoverparam>FactorizedConv2D"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 0}, "`depth` must be a positive integer. Received: depth=0"),
        ({"depth": 3, "hidden_filters": [4]}, "`hidden_filters` must have one width per"),
        ({"hidden_filters": 0}, "`hidden_filters` must be None.*Received: hidden_filters=0"),
        ({"seed": 1.5}, "`seed` must be an integer"),
        # What Conv2D refuses, in its own words.
        ({"filters": 0}, "filters"),
        ({"groups": 3}, "evenly divisible by the number of groups"),
        ({"groups": 0}, "number of groups must be a positive integer"),
        ({"kernel_size": (3, 0)}, "kernel_size"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"padding": "causal"}, "causal"),
        ({"strides": 2, "dilation_rate": 2}, "not supported in conjunction"),
        ({"data_format": "nhwc"}, "data_format"),
        ({"kernel_constraint": "max_norm"}, "kernel_constraint"),
    ],
    ids=str,
)
def test_bad_arguments_are_named_in_the_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        FactorizedConv2D(**{"filters": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize(
    "shape, message",
    [
        ((None, 8, 8, None), "channels must be known"),
        ((None, 8, 8, 0), "must be known, positive and.*8, 0\\) and groups=2"),
        ((None, 8, 8, 3), "divisible by the number of groups.*8, 3\\) and groups=2"),
        ((None, 1, 8, 4), "output size would be .*negative"),
    ],
)
def test_bad_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        FactorizedConv2D(4, 3, groups=2).build(shape)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_collapse_gives_conv2d_with_the_same_function(data_format, policy):
    layer = FactorizedConv2D(
        8,
        (3, 2),
        depth=3,
        hidden_filters=[2, 9],
        strides=(1, 2),
        padding="same",
        data_format=data_format,
        groups=2,
        activation="tanh",
        kernel_initializer=initializers.NearZero(1.0),
        kernel_regularizer=keras.regularizers.L1(0.5),
        factor_constraint="non_neg",
        bias_initializer="ones",
        name="convolution",
        trainable=False,
        dtype=policy,
    )
    inputs = drawn(0, 2, 6, 6, 6)
    expected = np.asarray(layer(inputs)).astype("float64")
    stock = layer.collapse()
    assert type(stock) is layers.Conv2D and stock.built and len(stock.weights) == 2
    assert stock.name == "convolution" and not stock.trainable
    assert stock.dtype_policy == layer.dtype_policy and stock.kernel_regularizer.l1 == 0.5
    assert "tfoverparam" not in str(keras.saving.serialize_keras_object(stock))
    actual = np.asarray(stock(inputs)).astype("float64")
    # In half precision each of depth + 1 products rounds to 8 bits.
    bound = 8 * 2.0**-7 if policy == "mixed_bfloat16" else 1e-5
    assert np.abs(actual - expected).max() <= bound * np.abs(expected).max()


def test_an_unbuilt_layer_collapses_to_an_unbuilt_one():
    stock = FactorizedConv2D(4, 3, kernel_initializer=initializers.NearZero()).collapse()
    assert type(stock) is layers.Conv2D and not stock.built
    assert type(stock.kernel_initializer) is initializers.NearZero
