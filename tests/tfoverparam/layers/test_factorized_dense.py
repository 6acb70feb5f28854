"""`FactorizedDense` against numbers by hand, `Dense` holding the product, and Keras's battery."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from keras.src import testing
from tfoverparam import FactorizedDense, initializers

# Half of it is the relative error of one rounding in float32.
EPSILON = float(np.finfo("float32").eps)


def as_arrays(tensors):
    return [ops.convert_to_numpy(tensor).astype("float64") for tensor in tensors]


def chain(matrices, size=None):
    """Product of arrays in float64; the identity of that size where there are none."""
    return functools.reduce(np.matmul, matrices) if matrices else np.eye(size)


def test_forward_by_hand():
    layer = FactorizedDense(2, depth=2, hidden_units=2, activation="relu")
    layer.build((None, 3))
    layer.set_weights(
        [
            np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]),
            np.array([[1.0, -1.0], [3.0, 1.0]]),
            np.array([0.5, -10.0]),
        ]
    )
    # (1, 2, 3) -> (4, 7) -> (4 + 21, -4 + 7) -> (25.5, -7) -> (25.5, 0).
    np.testing.assert_array_equal(layer(np.array([[1.0, 2.0, 3.0]])), [[25.5, 0.0]])
    np.testing.assert_array_equal(layer.kernel, [[1.0, -1.0], [6.0, 2.0], [4.0, 0.0]])


def test_gradients_by_hand(layer_gradients):
    layer = FactorizedDense(1, hidden_units=1, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([np.array([[3.0]]), np.array([[5.0]])])
    gradients = layer_gradients(layer, np.array([[2.0]], "float32"), np.array([[1.0]], "float32"))
    # The inner product is 2 * a * b: by the input 3 * 5, by a 2 * 5 and by b 2 * 3.
    assert [float(gradient[0, 0]) for gradient in gradients] == [15.0, 10.0, 6.0]


@st.composite
def cases(draw):
    depth = draw(st.integers(1, 5))
    leading = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    widths = draw(st.lists(st.integers(1, 7), min_size=depth + 1, max_size=depth + 1))
    return leading, widths, draw(st.integers(0, 2**31 - 1))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(cases())
def test_forward_and_gradients_are_those_of_dense_with_the_product(layer_gradients, case):
    leading, widths, seed = case
    depth = len(widths) - 1
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(*leading, widths[0])).astype("float32")
    cotangent = random.normal(size=(*leading, widths[-1])).astype("float32")

    layer = FactorizedDense(widths[-1], depth=depth, hidden_units=widths[1:-1])
    layer.build(inputs.shape)
    shapes = zip(widths[:-1], widths[1:])
    layer.set_weights([random.normal(size=s) for s in [*shapes, (widths[-1],)]])
    dense = layers.Dense(widths[-1])
    dense.build(inputs.shape)
    dense.kernel.assign(layer.kernel)
    dense.bias.assign(layer.bias)

    def run(layer):
        return as_arrays([layer(inputs), *layer_gradients(layer, inputs, cotangent)])

    outputs, d_inputs, *d_factors, d_bias = run(layer)
    dense_outputs, dense_d_inputs, d_kernel, dense_d_bias = run(dense)

    # A dot product of n terms has an error of at most n * epsilon / 2 relative to the sum of
    # the terms' sizes, and so has each step of a chain. Both sides round, hence no half.
    rounding = (sum(widths) + inputs.size // widths[0] + depth + 2) * EPSILON
    sizes = [np.abs(factor) for factor in as_arrays(layer.factors)]
    rows, out = np.abs(inputs), np.abs(cotangent)

    def assert_close(actual, expected, size):
        np.testing.assert_array_less(np.abs(actual - expected), rounding * size + 1e-30)

    assert_close(outputs, dense_outputs, rows @ chain(sizes) + np.abs(np.asarray(layer.bias)))
    assert_close(d_inputs, dense_d_inputs, out @ chain(sizes).T)
    assert_close(d_bias, dense_d_bias, out.reshape(-1, widths[-1]).sum(axis=0))
    size = rows.reshape(-1, widths[0]).T @ out.reshape(-1, widths[-1])
    factors = as_arrays(layer.factors)
    for j in range(depth):
        # The chain rule: A' G B', A and B being the products before and after the factor.
        before, after = chain(factors[:j], widths[0]), chain(factors[j + 1 :], widths[-1])
        size_before, size_after = chain(sizes[:j], widths[0]), chain(sizes[j + 1 :], widths[-1])
        assert_close(
            d_factors[j], before.T @ d_kernel @ after.T, size_before.T @ size @ size_after.T
        )


def model_of(layer_class, **arguments):
    """Two layers with seeded initial values, ready to train."""
    uniform = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            keras.Input((6,)),
            layer_class(5, activation="tanh", kernel_initializer=uniform(seed=1), **arguments),
            layer_class(
                3, kernel_initializer=uniform(seed=2), kernel_regularizer="l2", **arguments
            ),
        ]
    )


@pytest.mark.parametrize("jit_compile, optimizer", [(False, "adam"), (True, "sgd")])
def test_at_depth_one_the_layer_is_dense_to_the_bit(variable_gradients, jit_compile, optimizer):
    random = np.random.default_rng(0)
    x = random.normal(size=(20, 6)).astype("float32")
    y = random.normal(size=(20, 3)).astype("float32")
    model, oracle = model_of(FactorizedDense, depth=1), model_of(layers.Dense)
    results = []
    for each in (model, oracle):
        start = each.get_weights()

        def loss():
            return ops.mean(ops.subtract(each(x), y) ** 2) + sum(each.losses)

        gradients = as_arrays([each(x), *variable_gradients(loss, each.trainable_weights)])
        each.compile(optimizer, "mse", jit_compile=jit_compile)
        history = each.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0).history
        results.append([*start, *gradients, *each.get_weights(), history["loss"]])
    assert len(results[0]) == len(results[1]) == 14
    for actual, expected in zip(*results):
        np.testing.assert_array_equal(actual, expected)


def test_at_depth_one_an_unseeded_model_starts_as_dense_does():
    starts = []
    for layer_class, arguments in [(FactorizedDense, {"depth": 1}), (layers.Dense, {})]:
        keras.utils.set_random_seed(5)
        both = [layer_class(3, **arguments), layer_class(3, **arguments)]
        for layer in both:
            layer.build((None, 3))
        starts.append([np.asarray(layer.kernel) for layer in both])
    np.testing.assert_array_equal(*starts)


# Keras's battery trains on a generator, and `fit` warns that it cannot shuffle one.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 1},
        {"depth": 2},
        {"depth": 3, "hidden_units": [7, 2], "activation": "relu"},
        {"depth": 2, "use_bias": False},
        {"depth": 3, "factor_initializer": initializers.NearIdentity()},
        {"depth": 2, "kernel_regularizer": "l2", "bias_regularizer": "l1"},
        {"depth": 2, "factor_regularizer": "l2", "activity_regularizer": "l2"},
        {"depth": 2, "kernel_regularizer": "l1", "factor_regularizer": "l2"},
        {"depth": 2, "factor_constraint": keras.constraints.MaxNorm(2.0), "seed": 3},
    ],
)
def test_keras_layer_battery(arguments):
    depth = arguments["depth"]
    factor_losses = "kernel_regularizer" in arguments
    if "factor_regularizer" in arguments:
        factor_losses = depth
    testing.TestCase().run_layer_test(
        FactorizedDense,
        init_kwargs={"units": 4, **arguments},
        input_shape=(2, 3, 5),
        expected_output_shape=(2, 3, 4),
        expected_output_dtype="float32",
        expected_num_trainable_weights=depth + arguments.get("use_bias", True),
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=factor_losses
        + ("bias_regularizer" in arguments)
        + ("activity_regularizer" in arguments),
        supports_masking=True,
    )


def test_serialization_keeps_every_argument():
    arguments = {
        "units": 4,
        "depth": 3,
        "hidden_units": [5, 6],
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
        "name": "linear",
        "trainable": False,
        "dtype": "mixed_bfloat16",
    }
    layer = FactorizedDense(**arguments)
    revived = testing.TestCase().run_class_serialization_test(layer)
    assert set(revived.get_config()) == set(arguments)
    assert revived.hidden_units == [5, 6] and revived.seed == 7
    assert keras.saving.get_registered_name(FactorizedDense) == "tfoverparam>FactorizedDense"


BAD_ARGUMENTS = [
    *[{"depth": depth} for depth in (0, -1, 1.5, True, "2", None)],
    *[{"units": units} for units in (0, -3, 2.0, "4", None)],
    *[{"depth": 3, "hidden_units": width} for width in (0, -1, 1.5, True, "4", "ab")],
    *[{"depth": 3, "hidden_units": widths} for widths in ([], [4], [4, 4, 4])],
    *[{"depth": 3, "hidden_units": [4, width]} for width in (0, -1, 1.5, "4", None, True)],
    {"depth": 1, "hidden_units": [4]},
    {"seed": "a"},
    {"seed": 1.0},
    {"seed": True},
]


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS, ids=str)
def test_bad_arguments_are_named_in_the_error(arguments):
    name, value = list(arguments.items())[-1]
    with pytest.raises(ValueError, match=f"`{name}` must") as error:
        FactorizedDense(**{"units": 4, **arguments})
    assert str(error.value).endswith(f"Received: {name}={value!r}")


@pytest.mark.parametrize(
    "arguments",
    [
        {"dtype": "floaty"},
        {"kernel_initializer": "no_such"},
        {"factor_initializer": "no_such"},
        {"kernel_regularizer": "no_such"},
        {"factor_constraint": "no_such"},
        {"activation": "no_such"},
        # Not the product's to keep: a constraint acts on one variable at a time.
        {"kernel_constraint": "max_norm"},
        {"no_such": 1},
    ],
    ids=str,
)
def test_what_keras_itself_refuses(arguments):
    with pytest.raises(ValueError, match=str(list(arguments.values())[0]) + "|Unrecognized"):
        FactorizedDense(4, **arguments)


@pytest.mark.parametrize("features", [None, 0])
def test_features_that_are_unknown_or_none(features):
    message = rf"must be known and positive. Received: input_shape=\(2, {features}\)"
    with pytest.raises(ValueError, match=message):
        FactorizedDense(4).build((2, features))


@pytest.mark.parametrize("what", ["kernel", "imbalance", "singular_values"])
def test_an_unbuilt_layer_has_no_kernel(what):
    message = f"build the layer before accessing `{what}"
    if what == "kernel" and keras.backend.backend() == "torch":
        message = "no attribute 'kernel'"  # What PyTorch makes of any error in a property.
    with pytest.raises(AttributeError, match=message):
        getattr(FactorizedDense(4), what)()


def test_wrong_input_dimension():
    layer = FactorizedDense(4)
    layer.build((None, 3))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 3"):
        layer(ops.ones((2, 5)))


def test_initializers_may_return_numpy_arrays_as_for_dense():
    layer = FactorizedDense(2, factor_initializer=lambda shape, dtype=None: np.full(shape, 0.5))
    layer.build((None, 3))
    assert [factor.dtype for factor in layer.factors] == ["float32", "float32"]
    np.testing.assert_array_equal(layer.kernel, np.full((3, 2), 0.5))
