"""The end-to-end rule as an optimizer: what is its own, and that the inner one stays itself."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, optimizers
from tfoverparam import EndToEnd

INPUTS = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="tanh"), layers.Dense(1)]
    )


def fit(optimizer, epochs=2, jit_compile=False):
    model = network()
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    model.fit(INPUTS, TARGETS, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def tensors(*values):
    return [keras.ops.convert_to_tensor(value, dtype="float32") for value in values]


def eigenvalues_of(left, right, depth):
    """Those of the preconditioner (Claim 1), for any real depth."""
    a, b = left[:, None] ** (2 / depth), right[None, :] ** (2 / depth)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (left[:, None] ** 2 - right[None, :] ** 2) / (a - b)
    return np.where(np.isfinite(found), found, depth * a ** (depth - 1))


def exact_direction(kernel, gradient, depth, basis=None):
    """Equation 10 by NumPy's decomposition in float64, of this kernel if of no other."""
    u, s, vt = np.linalg.svd(np.asarray(kernel, "float64")) if basis is None else basis
    left, right = (np.append(s, np.zeros(n - len(s))) for n in kernel.shape)
    return u @ (eigenvalues_of(left, right, depth) * (u.T @ gradient @ vt.T)) @ vt


def assert_equal_weights(ours, theirs):
    for one, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_step_by_hand():
    # Depth 2 on a 1 x 1 kernel: 2 |w| g = 2 * 4 * 0.5.
    kernel = keras.Variable([[4.0]], name="kernel")
    bias = keras.Variable([1.0], name="bias")
    optimizer = EndToEnd(optimizers.SGD(0.1), depth=2)
    optimizer.build([kernel, bias])
    optimizer.apply(tensors([[0.5]], [0.5]))
    np.testing.assert_allclose(kernel, [[4.0 - 0.1 * 4.0]], rtol=1e-6)
    np.testing.assert_allclose(bias, [0.95], rtol=1e-6)


def test_weight_decay_by_hand():
    # 1 - learning rate * lambda * N = 1 - 0.1 * 0.5 * 2, and the direction is taken before it.
    kernel = keras.Variable([[4.0]], name="kernel")
    bias = keras.Variable([1.0], name="bias")
    optimizer = EndToEnd(optimizers.SGD(0.1), depth=2, weight_decay=0.5)
    optimizer.build([kernel, bias])
    optimizer.apply(tensors([[0.5]], [0.0]))
    np.testing.assert_allclose(kernel, [[4.0 * 0.9 - 0.1 * 4.0]], rtol=1e-6)
    np.testing.assert_array_equal(bias, [1.0])


def test_no_weight_decay_by_hand():
    kernel = keras.Variable([[4.0]], name="kernel")
    optimizer = EndToEnd(optimizers.SGD(0.1), depth=2, weight_decay=0)
    optimizer.build([kernel])
    optimizer.apply(tensors([[0.5]]))
    np.testing.assert_allclose(kernel, [[4.0 - 0.1 * 4.0]], rtol=1e-6)


def test_the_inner_optimizers_weight_decay_keeps_its_meaning():
    kernel = keras.Variable([[4.0]], name="kernel")
    optimizer = EndToEnd(optimizers.SGD(0.1, weight_decay=0.5), depth=2)
    optimizer.build([kernel])
    optimizer.apply(tensors([[0.5]]))
    np.testing.assert_allclose(kernel, [[4.0 * 0.95 - 0.1 * 4.0]], rtol=1e-6)


INNER = {
    "sgd": lambda: optimizers.SGD(0.05),
    "momentum": lambda: optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01),
    "adamw": lambda: optimizers.AdamW(0.01),
    "nadam": lambda: optimizers.Nadam(0.01),
    "lion": lambda: optimizers.Lion(0.01),
    "muon": lambda: optimizers.Muon(0.01),
    "adagrad": lambda: optimizers.Adagrad(0.01),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "clipnorm": lambda: optimizers.SGD(0.1, clipnorm=0.1),
    "global_clipnorm": lambda: optimizers.SGD(0.1, global_clipnorm=0.1),
    "clipvalue": lambda: optimizers.SGD(0.1, clipvalue=0.01),
    "average": lambda: optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "accumulation": lambda: optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "loss_scale": lambda: optimizers.SGD(0.05, loss_scale_factor=8.0),
}


def in_part_slow(*names, quick=("momentum", "adam")):
    """Parameters, those apart that are needed at each change marked as slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", in_part_slow(*INNER))
def test_depth_1_is_the_inner_optimizer_bit_for_bit(name):
    assert_equal_weights(fit(EndToEnd(INNER[name](), depth=1)), fit(INNER[name]()))


@pytest.mark.parametrize("name", in_part_slow(*INNER, quick=[]))
def test_depth_3_trains_with_every_inner_optimizer(name):
    model = network()
    model.compile(EndToEnd(INNER[name](), depth=3), "mse", jit_compile=False)
    start = model.evaluate(INPUTS, TARGETS, verbose=0)
    model.fit(INPUTS, TARGETS, batch_size=8, epochs=4, verbose=0)
    if name == "average":
        model.optimizer.finalize_variable_values(model.trainable_variables)
    assert model.evaluate(INPUTS, TARGETS, verbose=0) < start


@pytest.mark.parametrize("name", ["momentum", "adam", "schedule", "accumulation"])
def test_the_inner_optimizer_gets_the_direction_in_place_of_the_gradient(name):
    start = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    ours, theirs = (keras.Variable(start, name="kernel") for _ in range(2))
    optimizer, oracle = EndToEnd(INNER[name](), depth=3), INNER[name]()
    optimizer.build([ours])
    oracle.build([theirs])
    for step in range(4):
        gradient = np.cos(start + step)
        direction = exact_direction(keras.ops.convert_to_numpy(theirs), gradient, 3)
        optimizer.apply(tensors(gradient))
        oracle.apply(tensors(direction))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.float64
def test_a_kernel_in_float64_is_moved_in_float64():
    values, gradient = np.random.default_rng(3).normal(size=(2, 5, 4))
    kernel = keras.Variable(values, dtype="float64", name="kernel")
    optimizer = EndToEnd(optimizers.SGD(0.5), depth=2)
    optimizer.build([kernel])
    optimizer.apply([keras.ops.convert_to_tensor(gradient, dtype="float64")])
    # Depth 2: (W W')^(1/2) G + G (W' W)^(1/2).
    left, singular, right = np.linalg.svd(values, full_matrices=False)
    direction = (left * singular) @ left.T @ gradient + gradient @ (right.T * singular) @ right
    np.testing.assert_allclose(kernel, values - 0.5 * direction, rtol=1e-12)


def test_what_has_no_gradient_stays_where_it_is():
    used, unused = (keras.Variable([[4.0]], name="kernel") for _ in range(2))
    optimizer = EndToEnd(optimizers.SGD(0.1), depth=2)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([*tensors([[0.5]]), None], [used, unused])
    np.testing.assert_allclose(used, [[4.0 - 0.1 * 4.0]], rtol=1e-6)
    np.testing.assert_array_equal(unused, [[4.0]])


def test_without_gradients_nothing_is_done():
    kernel = keras.Variable(np.ones((2, 2)), name="kernel")
    optimizer = EndToEnd("sgd")
    optimizer.apply([])
    optimizer.build([kernel])
    optimizer.apply([], [])
    assert int(optimizer.iterations) == 0


def test_variables_that_are_not_known_are_told():
    kernel, other = (keras.Variable(np.ones((2, 2)), name=name) for name in ("kernel", "other"))
    optimizer = EndToEnd("sgd")
    with pytest.raises(ValueError, match="must have been built"):
        optimizer.apply(tensors(np.ones((2, 2))))
    optimizer.build([kernel])
    with pytest.raises(
        ValueError, match="(?s)Unknown variable: .*other.*built for .*kernel.* make a new one"
    ):
        optimizer.apply(tensors(np.ones((2, 2))), [other])


@pytest.mark.parametrize("count", [1, 3])
def test_gradients_too_few_or_too_many(count):
    optimizer = EndToEnd(optimizers.SGD(0.1))
    variables = [keras.Variable([[4.0]], name=name) for name in ("first", "second")]
    with pytest.raises(ValueError, match=f"one gradient for each.*{count} for 2 variables"):
        optimizer.apply(tensors([[0.5]]) * count, variables)
    np.testing.assert_array_equal(variables[0], [[4.0]])


@pytest.mark.parametrize("shape", [(4, 4), (4, 3), (3, 4), (2, 2, 2, 3)])
@pytest.mark.parametrize("depth", [2, 3, 2.5])
def test_between_refreshes_the_singular_bases_and_values_stay(shape, depth):
    random = np.random.default_rng(1)
    kernel = keras.Variable(random.normal(size=shape).astype("float32"), name="kernel")
    optimizer = EndToEnd(optimizers.SGD(0.001), depth=depth, refresh_every=2)
    optimizer.build([kernel])
    matrix = (-1, shape[-1])
    for step in range(4):
        before = keras.ops.convert_to_numpy(kernel).reshape(matrix)
        gradient = random.normal(size=before.shape)
        if step % 2 == 0:
            basis = np.linalg.svd(before.astype("float64"))
        expected = exact_direction(before, gradient, depth, basis)
        optimizer.apply(tensors(gradient.reshape(shape)))
        found = (before - keras.ops.convert_to_numpy(kernel).reshape(matrix)) / 0.001
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert error < 1e-3  # what rounding leaves of a step of this size


SHAPES_OF_TWO = [((4, 4), (5, 5)), ((4, 3), (7, 3))]


def step_error(optimizer, kernel, gradient, depth):
    """Of a step at the rate 1, relative to the exact one."""
    before = np.array(kernel)
    optimizer.apply(tensors(gradient), [kernel])
    expected = exact_direction(before, gradient, depth)
    return np.linalg.norm(before - np.array(kernel) - expected) / np.linalg.norm(expected)


def two_kernels(shapes, depth, refresh_every):
    random = np.random.default_rng(3)
    kernels = [keras.Variable(random.normal(size=each), name="kernel") for each in shapes]
    gradients = [1e-4 * random.normal(size=each) for each in shapes]
    optimizer = EndToEnd(optimizers.SGD(1.0), depth=depth, refresh_every=refresh_every)
    optimizer.build(kernels)
    return kernels, gradients, optimizer


@pytest.mark.parametrize("depth", [2, 3, 2.5])
@pytest.mark.parametrize("shapes", SHAPES_OF_TWO)
def test_a_kernel_that_is_first_moved_between_refreshes_has_bases_of_its_own(shapes, depth):
    kernels, gradients, optimizer = two_kernels(shapes, depth, refresh_every=2)
    for step in range(6):  # In turns: the second kernel is never there in a step that refreshes.
        n = step % 2
        assert step_error(optimizer, kernels[n], gradients[n], depth) < 0.02


@pytest.mark.parametrize("depth", [2, 3, 2.5])
@pytest.mark.parametrize("shapes", SHAPES_OF_TWO)
def test_weights_that_are_set_between_refreshes_are_noticed(shapes, depth):
    kernels, gradients, optimizer = two_kernels(shapes, depth, refresh_every=2)
    for kernel, gradient in zip(kernels, gradients):  # Each in four steps, of which two refresh.
        assert step_error(optimizer, kernel, gradient, depth) < 0.02
        there = np.array(kernel)
        kernel.assign(np.random.default_rng(4).normal(size=kernel.shape))
        assert step_error(optimizer, kernel, gradient, depth) < 0.02
        kernel.assign(np.full(kernel.shape, np.nan))
        optimizer.apply(tensors(gradient), [kernel])  # The bases that this refreshes are none.
        kernel.assign(there)
        assert step_error(optimizer, kernel, gradient, depth) < 0.02


def test_bases_that_were_followed_in_each_step_may_stand_from_now_on():
    depth, shapes = 3, ((8, 3),)  # well conditioned: U is not kept
    (kernel,), (gradient,), optimizer = two_kernels(shapes, depth, refresh_every=1)
    for _ in range(3):
        assert step_error(optimizer, kernel, gradient, depth) < 1e-3
    later = EndToEnd(optimizers.SGD(1.0), depth=depth, refresh_every=7)
    later.build([kernel])
    later.set_weights([keras.ops.convert_to_numpy(each) for each in optimizer.variables])
    for _ in range(3):
        assert step_error(later, kernel, gradient, depth) < 0.02


def test_grafting_in_float16_has_room():
    random = np.random.default_rng(0)
    kernel = keras.Variable(random.normal(size=(320, 320)) / 18, dtype="float16", name="kernel")
    before = np.array(kernel, "float64")
    optimizer = EndToEnd(optimizers.SGD(1.0), depth=2, grafting=True)
    gradient = 0.01 * random.choice([-1.0, 1.0], size=kernel.shape)
    optimizer.apply([keras.ops.convert_to_tensor(gradient, "float16")], [kernel])
    moved = np.array(kernel, "float64") - before
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(gradient), rel=1e-2)


def test_state_is_one_basis_for_each_shape():
    random = np.random.default_rng(0)
    shapes = [(4, 3), (3, 4), (4, 3), (5, 5), (7, 1)]
    variables = [keras.Variable(random.normal(size=shape), name="kernel") for shape in shapes]
    optimizer = EndToEnd(optimizers.SGD(0.1))
    optimizer.build(variables)
    found = sorted(tuple(each.shape) for each in optimizer.variables if "basis_of" in each.path)
    assert found == [(3, 3, 3), (3, 4, 3), (5, 5), (5, 5)]  # a vector needs none
    optimizer = EndToEnd(optimizers.SGD(0.1), refresh_every=2)
    optimizer.build(variables)
    found = sorted(tuple(each.shape) for each in optimizer.variables if "root_of" in each.path)
    assert found == [(3, 3, 3), (3, 4, 4), (5, 5), (5, 5)]


def test_a_convolution_kernel_is_a_matrix_of_receptive_field_by_output_channels():
    start = np.random.default_rng(1).normal(size=(3, 2, 4, 5)).astype("float32")
    gradient = np.cos(start)
    kernel = keras.Variable(start, name="kernel")
    optimizer = EndToEnd(optimizers.SGD(1.0), depth=2)
    optimizer.build([kernel])
    optimizer.apply([gradient])
    direction = exact_direction(start.reshape(24, 5), gradient.reshape(24, 5), 2)
    np.testing.assert_allclose(kernel, start - direction.reshape(start.shape), atol=2e-4)


@pytest.mark.parametrize("refresh_every", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize(
    "name", in_part_slow("adam", "momentum", "average", "accumulation", quick=["adam"])
)
def test_a_saved_model_goes_on_as_if_it_had_not_been_interrupted(name, refresh_every, tmp_path):
    if name == "average" and keras.backend.backend() == "jax":
        pytest.skip("with JAX, Keras cannot go on from averages, whatever the optimizer")

    def go_on(model):
        model.fit(INPUTS, TARGETS, batch_size=8, epochs=1, shuffle=False, verbose=0)

    optimizer = EndToEnd(INNER[name](), 3, weight_decay=0.1, refresh_every=refresh_every)
    model = fit(optimizer, epochs=1)
    model.save(tmp_path / "model.keras")
    revived = keras.saving.load_model(tmp_path / "model.keras")
    assert int(revived.optimizer.iterations) == int(model.optimizer.iterations) > 0
    go_on(model)
    go_on(revived)
    assert_equal_weights(revived, model)


def test_learning_rate_and_iterations_are_the_inner_optimizers():
    optimizer = EndToEnd(optimizers.SGD(0.5))
    optimizer.learning_rate = 0.25
    assert float(optimizer.inner_optimizer.learning_rate) == 0.25
    assert optimizer.iterations is optimizer.inner_optimizer.iterations
    optimizer.loss_scale_factor = 4.0
    assert optimizer.inner_optimizer.loss_scale_factor == 4.0
    optimizer.loss_scale_factor = None
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = network()
    model.compile(optimizer, "mse", jit_compile=False)
    model.fit(INPUTS, TARGETS, epochs=2, verbose=0, callbacks=[callback])
    assert float(optimizer.learning_rate) == 0.0625


def test_mixed_float16_trains_with_keras_own_loss_scaling():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, dtype="mixed_float16")])
    model.dtype_policy = keras.DTypePolicy("mixed_float16")
    model.compile(EndToEnd(optimizers.SGD(0.01), depth=2), "mse")
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)
    history = model.fit(INPUTS, TARGETS, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.slow
@pytest.mark.jit_compile
def test_jit_compiled_training_is_the_same_to_rounding():
    ours = fit(EndToEnd(optimizers.SGD(0.05), depth=3), jit_compile=True)
    theirs = fit(EndToEnd(optimizers.SGD(0.05), depth=3), jit_compile=False)
    for one, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_kernel_of_zeros_is_told():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_initializer="zeros")])
    with pytest.warns(UserWarning, match="dense.*/kernel` is zero"):
        EndToEnd(depth=2).build(model.trainable_variables)
    with warnings.catch_warnings(record=True) as told:
        # As errors, NumPy's own warnings would keep the values from being read.
        warnings.simplefilter("always")
        EndToEnd(depth=1).build(model.trainable_variables)
        EndToEnd(depth=2).build(network().trainable_variables)
    assert not [each for each in told if "is zero" in str(each.message)]
