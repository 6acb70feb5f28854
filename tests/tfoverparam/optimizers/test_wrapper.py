"""What Keras lets one do to an optimizer does the same through `EndToEnd`."""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from tfoverparam import EndToEnd

INPUTS = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((6,)), layers.Dense(6), layers.Dense(1)])


def kernels(*names):
    return [keras.Variable(np.array([[4.0]], "float32"), name=name) for name in names]


def ones(count):
    return [ops.ones((1, 1))] * count


@pytest.mark.parametrize("inner", [{"weight_decay": 0.5}, {}])
@pytest.mark.parametrize("by", ["var_list", "var_names"])
def test_exclude_from_weight_decay(inner, by):
    kept, excluded = kernels("kernel", "other_kernel")
    decay = None if inner else 0.25
    optimizer = EndToEnd(optimizers.SGD(0.1, **inner), depth=2, weight_decay=decay)
    optimizer.exclude_from_weight_decay(
        **{by: [excluded] if by == "var_list" else ["other_kernel"]}
    )
    optimizer.build([kept, excluded])
    optimizer.apply([ops.zeros((1, 1))] * 2)
    np.testing.assert_allclose(kept, [[4.0 * 0.95]], rtol=1e-6)
    np.testing.assert_array_equal(excluded, [[4.0]])


def test_the_users_inner_optimizer_keeps_its_settings():
    inner = optimizers.SGD(0.1)
    before = inner.get_config()
    optimizer = EndToEnd(inner, weight_decay=0.5)
    optimizer.build(kernels("kernel"))
    optimizer.apply(ones(1))
    assert optimizer.inner_optimizer is inner
    assert inner.get_config() == before and inner.weight_decay is None
    assert optimizer.weight_decay == 0.5


def test_weight_decay_with_accumulation_is_of_steps_that_move():
    variable, reference = kernels("kernel", "kernel")
    optimizer = EndToEnd(
        optimizers.SGD(0.1, gradient_accumulation_steps=2), depth=2, weight_decay=0.25
    )
    oracle = optimizers.SGD(0.1, gradient_accumulation_steps=2, weight_decay=0.5)
    optimizer.build([variable])
    oracle.build([reference])
    for _ in range(4):
        optimizer.apply([ops.zeros((1, 1))])
        oracle.apply([ops.zeros((1, 1))])
        np.testing.assert_allclose(variable, reference, rtol=1e-6)
    assert float(variable.value[0, 0]) == pytest.approx(4 * 0.95**2)


def test_apply_gradients_returns_the_inner_optimizers_steps():
    ours, theirs = kernels("kernel", "kernel")
    optimizer, oracle = EndToEnd(optimizers.SGD(0.1)), optimizers.SGD(0.1)
    for _ in range(2):
        found = optimizer.apply_gradients([(ops.ones((1, 1)), ours)])
        expected = oracle.apply_gradients([(ops.ones((1, 1)), theirs)])
        assert int(found) == int(expected)
    np.testing.assert_allclose(ours, [[(4 - 0.8) * 0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    "policy", [pytest.param("float32", marks=pytest.mark.slow), "mixed_float16"]
)
def test_swap_ema_weights(policy):
    def train(optimizer):
        keras.utils.set_random_seed(1)
        dense = layers.Dense(1, dtype=policy)
        model = keras.Sequential([keras.Input((6,)), dense])
        model.dtype_policy = keras.DTypePolicy(policy)
        model.compile(optimizer, "mse", jit_compile=False)
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        model.fit(INPUTS, TARGETS, batch_size=8, epochs=2, verbose=0, callbacks=[swap])
        return [np.array(each) for each in model.get_weights()]

    def inner():
        return optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5)

    for found, expected in zip(train(EndToEnd(inner(), depth=1)), train(inner())):
        np.testing.assert_array_equal(found, expected)
    assert all(np.isfinite(each).all() for each in train(EndToEnd(inner(), depth=2)))


def test_weights_of_an_averaging_swap_are_noticed():
    # The bases are those of other weights after a swap; the next step takes that in.
    model = network()
    optimizer = EndToEnd(optimizers.SGD(0.01), depth=2)
    model.compile(optimizer, "mse", jit_compile=False)
    model.fit(INPUTS, TARGETS, verbose=0)
    random = np.random.default_rng(3)
    model.set_weights([random.normal(size=each.shape) for each in model.get_weights()])
    kernel = ops.convert_to_numpy(model.layers[0].kernel).astype("float64")
    gradients = [
        ops.convert_to_tensor(random.normal(size=v.shape).astype("float32"))
        for v in model.trainable_variables
    ]
    gradient = ops.convert_to_numpy(gradients[0])
    optimizer.apply(gradients, model.trainable_variables)
    u, s, vt = np.linalg.svd(kernel)
    expected = u @ ((s[:, None] + s) * (u.T @ gradient @ vt.T)) @ vt
    found = (kernel - ops.convert_to_numpy(model.layers[0].kernel)) / 0.01
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_weights_can_be_read_and_set():
    optimizers_ = []
    for seed in range(2):
        model = network()
        model.compile(EndToEnd(optimizers.Adam(0.01)), "mse", jit_compile=False)
        model.fit(INPUTS, TARGETS, epochs=1 + seed, verbose=0)
        optimizers_.append(model.optimizer)
    values = [ops.convert_to_numpy(each) for each in optimizers_[1].variables]
    optimizers_[0].set_weights(values)
    for found, expected in zip(optimizers_[0].variables, values):
        np.testing.assert_array_equal(found, expected)


def test_backup_and_restore_goes_on_where_it_was(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    def fit(*callbacks):
        model = network()
        model.compile(
            EndToEnd(optimizers.SGD(0.01, momentum=0.9), depth=3), "mse", jit_compile=False
        )
        try:
            model.fit(
                INPUTS,
                TARGETS,
                batch_size=8,
                epochs=4,
                shuffle=False,
                verbose=0,
                callbacks=list(callbacks),
            )
        except InterruptedError:
            pass
        return model.get_weights()

    expected = fit()
    fit(keras.callbacks.BackupAndRestore(tmp_path / "backup"), Stop())
    found = fit(keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (5, 1)])
def test_grafting_takes_the_length_of_the_gradient(shape):
    random = np.random.default_rng(0)
    start, gradient = random.normal(size=(2, *shape)).astype("float32")
    steps = {}
    for grafting in (False, True):
        kernel = keras.Variable(start, name="kernel")
        optimizer = EndToEnd(optimizers.SGD(1.0), depth=3, grafting=grafting)
        optimizer.build([kernel])
        optimizer.apply([ops.convert_to_tensor(gradient)])
        steps[grafting] = start - ops.convert_to_numpy(kernel)
    length = np.linalg.norm(gradient)
    np.testing.assert_allclose(np.linalg.norm(steps[True]), length, rtol=1e-5)
    expected = steps[False] * length / np.linalg.norm(steps[False])
    np.testing.assert_allclose(steps[True], expected, rtol=1e-3, atol=1e-5)


def test_kernels_of_one_shape_move_as_each_by_itself():
    random = np.random.default_rng(0)
    shapes = [(4, 4), (4, 4), (6, 3), (3, 6), (5, 1), (1, 5)]
    values, gradients = (
        [random.normal(size=shape).astype("float32") for shape in shapes] for _ in range(2)
    )
    together = [keras.Variable(value, name="kernel") for value in values]
    optimizer = EndToEnd(optimizers.SGD(0.01), depth=3)
    optimizer.build(together)
    assert len(optimizer._stacks) == 3
    alone = [keras.Variable(value, name="kernel") for value in values]
    each_by_itself = [EndToEnd(optimizers.SGD(0.01), depth=3) for _ in alone]
    for _ in range(3):
        optimizer.apply([ops.convert_to_tensor(gradient) for gradient in gradients])
        for one, variable, gradient in zip(each_by_itself, alone, gradients):
            one.apply([ops.convert_to_tensor(gradient)], [variable])
    for one, other in zip(together, alone):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _multi_optimizer(**by_pattern):
    if not hasattr(optimizers, "MultiOptimizer"):
        pytest.skip("Of newer versions of Keras.")
    table = {f".*{name}": each for name, each in by_pattern.items()}
    return optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(0.01), table))


def test_an_optimizer_of_several_learning_rates():
    found, expected = network(), network()
    expected.set_weights(found.get_weights())
    for model, optimizer in [
        (found, EndToEnd(_multi_optimizer(bias=optimizers.SGD(0.1)), depth=2)),
        (expected, _multi_optimizer(kernel=EndToEnd("sgd", depth=2), bias=optimizers.SGD(0.1))),
    ]:
        model.compile(optimizer, "mse")
        model.fit(INPUTS, TARGETS, verbose=0, shuffle=False)
    for one, other, start in zip(found.get_weights(), expected.get_weights(), network().weights):
        assert np.any(one != ops.convert_to_numpy(start))
        np.testing.assert_array_equal(one, other)


def test_weight_decay_needs_one_learning_rate(refuses):
    inner = _multi_optimizer()
    refuses(lambda: EndToEnd(inner, weight_decay=0.1), "MultiOptimizer has several", "0.1")


def test_a_model_from_an_h5_file_predicts_and_can_be_compiled_anew(tmp_path):
    model = network()
    optimizer = EndToEnd(optimizers.SGD(0.01, momentum=0.9), apply_to=model)
    model.compile(optimizer, keras.losses.MeanSquaredError())
    model.fit(INPUTS, TARGETS, verbose=0)
    model.save(tmp_path / "model.h5")
    # Keras builds an optimizer that it reads from such a file with no variables, any optimizer: it
    # cannot go on.
    loaded = keras.saving.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(
        loaded.predict(INPUTS, verbose=0), model.predict(INPUTS, verbose=0)
    )
    loaded.compile(EndToEnd.from_config(loaded.optimizer.get_config()), "mse")
    loaded.fit(INPUTS, TARGETS, verbose=0)
    assert len(loaded.optimizer.apply_to) == 2


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_a_frozen_model_is_fitted():
    model = network()
    optimizer = EndToEnd("sgd", apply_to=model)
    model.trainable = False
    model.compile(optimizer, "mse")
    model.fit(INPUTS, TARGETS, verbose=0)
    assert model.optimizer.apply_to and not model.optimizer.known_variables
    for found, start in zip(model.get_weights(), network().get_weights()):
        np.testing.assert_array_equal(found, start)
