"""`BalanceMonitor` against numbers computed apart from it, from recorded weights."""

import builtins
import csv
import functools
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from tfoverparam import (
    BalanceMonitor,
    FactorizedConv2D,
    FactorizedDense,
    linear_maps,
    overparameterize,
)
from tfoverparam.initializers import NearIdentity, NearZero

WHAT = ("imbalance", "largest_singular_value", "smallest_singular_value", "step", "rule_step")
X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = X @ np.random.default_rng(1).normal(size=(6, 3)).astype("float32") / 3


def linear_model(rate=0.05, depth=2, start=None, steps_per_execution=1, **arguments):
    layer = FactorizedDense(
        3, depth=depth, factor_initializer=start, use_bias=False, name="f", seed=1, **arguments
    )
    model = keras.Sequential([keras.Input((6,)), layer])
    optimizer = keras.optimizers.SGD(rate)
    model.compile(optimizer, "mse", jit_compile=False, steps_per_execution=steps_per_execution)
    return model


def fit(model, *callbacks, epochs=3, batch_size=8, verbose=0):
    return model.fit(
        X, Y, epochs=epochs, batch_size=batch_size, callbacks=list(callbacks), verbose=verbose
    ).history


class Recorder(keras.callbacks.Callback):
    """Keeps the weights before and after each batch, and the logs of batches."""

    def __init__(self):
        super().__init__()
        self.weights, self.logs = [], []

    def on_train_begin(self, logs=None):
        self.weights.append(self.model.get_weights())

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())
        self.logs.append(dict(logs))


def product(factors):
    return functools.reduce(np.matmul, [np.asarray(f).astype("float64") for f in factors])


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_every_number(steps_per_execution):
    if steps_per_execution > 1 and keras.backend.backend() == "torch":
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    recorder, monitor = Recorder(), BalanceMonitor(every=3, logs="all")
    model = linear_model(depth=3, start="glorot_normal", steps_per_execution=steps_per_execution)
    fit(model, monitor, recorder, epochs=2, batch_size=4)
    # Eight steps an epoch: a report at the first of each, and when three more have been made.
    calls = {1: [0, 3, 6, 8, 11, 14], 2: [0, 2, 4, 6]}[steps_per_execution]
    reported = [call for call, logs in enumerate(recorder.logs) if "imbalance" in logs]
    assert reported == calls
    assert monitor.history["iteration"] == [(call + 1) * steps_per_execution for call in calls]
    for number, call in enumerate(calls):
        logs = recorder.logs[call]
        before, after = recorder.weights[call], recorder.weights[call + 1]
        found = [logs[f"f_{what}"] for what in WHAT[:4]]
        values = np.linalg.svd(product(after), compute_uv=False)
        grams = [(left.T @ left, right @ right.T) for left, right in zip(after[:-1], after[1:])]
        imbalance = max(np.linalg.norm(b - a) for a, b in grams) / max(
            np.linalg.norm(each) for pair in grams for each in pair
        )
        step = np.linalg.norm(product(after) - product(before))
        np.testing.assert_allclose(found, [imbalance, values[0], values[-1], step], rtol=1e-5)
        assert logs["imbalance"] == logs["f_imbalance"]
        for what in WHAT:
            assert monitor.history[f"f_{what}"][number] == logs[f"f_{what}"]


def test_the_largest_imbalance_is_all_that_the_logs_get_by_default():
    recorder, monitor = Recorder(), BalanceMonitor(every=2)
    one, two = FactorizedDense(6, name="one"), FactorizedDense(3, name="two")
    model = keras.Sequential([keras.Input((6,)), one, two])
    model.compile("sgd", "mse", jit_compile=False)
    one.factors[0].assign(3 * one.factors[0])
    fit(model, monitor, recorder, epochs=1)
    assert [set(logs) for logs in recorder.logs] == [{"loss", "imbalance"}, {"loss"}] * 2
    ones, twos = monitor.history["one_imbalance"], monitor.history["two_imbalance"]
    assert monitor.history["imbalance"] == ones
    assert ones == [logs["imbalance"] for logs in recorder.logs[::2]]
    assert len(twos) == 2 and max(twos) < 0.1 < min(ones)
    assert set(monitor.history) == {"iteration", "imbalance"} | {
        f"{name}_{what}" for name in ("one", "two") for what in WHAT
    }


def rule(kernel, gradient, depth):
    """Equation 10 by eigendecompositions in float64."""

    def power(gram, exponent):
        values, vectors = np.linalg.eigh(gram)
        return (vectors * np.maximum(values, 0.0) ** exponent) @ vectors.T

    return sum(
        power(kernel @ kernel.T, (j - 1) / depth)
        @ gradient
        @ power(kernel.T @ kernel, (depth - j) / depth)
        for j in range(1, depth + 1)
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_rules_step_is_equation_10_for_the_gradient_of_the_product(depth, scale):
    model = linear_model(rate=1e-3, depth=depth, kernel_initializer="glorot_normal")
    factors = model.get_weights()
    if depth > 1:
        factors = [scale * factors[0], *factors[1:-1], factors[-1] / scale]
        model.set_weights(factors)
    kernel = product(factors)
    monitor = BalanceMonitor()
    fit(model, monitor, epochs=1, batch_size=32)
    history = monitor.history
    gradient = 2 * X.T @ (X @ kernel - Y) / Y.size
    expected = 1e-3 * np.linalg.norm(rule(kernel, gradient, depth))
    np.testing.assert_allclose(history["f_rule_step"], [expected], rtol=1e-3)
    ratio = history["f_step"][0] / history["f_rule_step"][0]
    # Theorem 1 holds for balanced factors, and not for these others.
    assert abs(ratio - 1) < 1e-2 if scale == 1 or depth == 1 else ratio > 1.5


def network(**arguments):
    twice = FactorizedDense(4, activation="relu", name="twice")
    inner = keras.Sequential([keras.Input((4,)), twice, twice], name="inner")
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            FactorizedConv2D(3, 3, depth=3, dtype="mixed_bfloat16", name="convolution"),
            layers.GlobalAveragePooling2D(),
            FactorizedDense(4, trainable=False, name="frozen"),
            inner,
            layers.Dense(2),
        ]
    )


def test_which_layers_are_reported():
    model = network()
    model.compile("adam", "mse", jit_compile=False)
    monitor = BalanceMonitor()
    model.fit(np.ones((4, 6, 6, 1)), np.ones((4, 2)), callbacks=[monitor], verbose=0)
    expected = {f"{name}_{what}" for name in ("convolution", "twice") for what in WHAT}
    assert set(monitor.history) == {"iteration", "imbalance"} | expected
    assert all(np.isfinite(value) for (value,) in monitor.history.values())


def test_kernels_that_are_stacks_and_several_of_a_layer():
    inputs = keras.Input((5, 4))
    x = layers.Conv1D(6, 2, groups=2, name="grouped")(inputs)
    x = layers.Bidirectional(layers.GRU(3, name="gru"))(x)
    model = overparameterize(keras.Model(inputs, layers.Dense(2, name="out")(x)))
    model.compile("sgd", "mse", jit_compile=False)
    monitor = BalanceMonitor()
    random = np.random.default_rng(0)
    model.fit(random.normal(size=(8, 5, 4)), np.ones((8, 2)), callbacks=[monitor], verbose=0)
    names = {name.removesuffix("_rule_step") for name in monitor.history if "rule_step" in name}
    assert len(names) == 6 and {"grouped", "out"} < names
    assert sum(name.endswith("_recurrent_kernel") for name in names) == 2
    (grouped,) = [each for each in linear_maps(model) if each.layer.name == "grouped"]
    values = np.linalg.svd(grouped.view.to_matrices(grouped.kernel))[1]
    found = [monitor.history[f"grouped_{w}_singular_value"][0] for w in ("largest", "smallest")]
    np.testing.assert_allclose(found, [values.max(), values.min()], rtol=1e-4)
    assert all(monitor.history[f"{name}_step"][0] > 0 for name in names)


def test_layers_of_the_same_name_are_told_apart():
    parts = [
        keras.Sequential([keras.Input((6,)), FactorizedDense(6, name="f")], name=name)
        for name in ("one", "two")
    ]
    model = keras.Sequential(parts)
    model.compile("sgd", "mse", jit_compile=False)
    monitor = BalanceMonitor()
    model.fit(X, X, callbacks=[monitor], verbose=0)
    assert set(monitor.history) == {"iteration", "imbalance"} | {
        f"{name}_{what}" for name in ("one_f", "two_f") for what in WHAT
    }


@pytest.mark.parametrize("validated", [True, False])
def test_csv_files_have_no_empty_columns(tmp_path, validated):
    logger, monitor = keras.callbacks.CSVLogger(tmp_path / "log.csv"), BalanceMonitor(logs="all")
    data = {"validation_data": (X, Y)} if validated else {}
    callbacks = [monitor, logger]
    history = linear_model().fit(X, Y, epochs=2, callbacks=callbacks, verbose=0, **data).history
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    names = {"imbalance", *(f"f_{what}" for what in WHAT)} if validated else set()
    assert set(rows[0]) == {"epoch", "loss", "val_loss"} | names
    for name in names:
        assert [float(row[name]) for row in rows] == history[name] == monitor.history[name]


def test_the_progress_bar_shows_it(capsys):
    fit(linear_model(), BalanceMonitor(), epochs=1, verbose=1)
    shown = capsys.readouterr().out
    assert "imbalance:" in shown and "rule_step" not in shown


def test_each_epoch_has_a_report_of_its_own():
    recorder, monitor = Recorder(), BalanceMonitor(every=1000)
    fit(linear_model(), monitor, recorder, epochs=3)
    assert monitor.history["iteration"] == [1, 5, 9]
    assert len(set(monitor.history["f_step"])) == 3
    assert [call for call, logs in enumerate(recorder.logs) if "imbalance" in logs] == [0, 4, 8]


class OwnTraining(keras.Model):
    """Is built in its first batch, and trained by an optimizer of its own."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.own = keras.optimizers.SGD(0.05)

    def call(self, inputs):
        return self.linear(inputs)

    def _symbolic_build(self, *args, **kwargs):
        """Not before the first batch, as for what Keras cannot call on symbols."""

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(self(x) - y))
        variables = [variable.value for variable in self.trainable_variables]
        self.own.apply(tape.gradient(loss, variables), self.trainable_variables)
        return {"loss": loss}


@pytest.mark.tensorflow("a train_step that is written with a tape")
def test_a_model_that_is_built_and_trained_by_its_own_train_step(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = OwnTraining(FactorizedDense(3, name="f"))
    monitor = BalanceMonitor(every=2, log_dir=tmp_path)
    model.compile(run_eagerly=True)
    fit(model, monitor, epochs=2)
    # Of the first batch there is no report, as there were no factors before it.
    assert monitor.history["iteration"] == [2, 4, 5, 7]
    events = accumulators.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("f/step")] == [2, 4, 5, 7]


@pytest.mark.tensorflow("run_eagerly builds the model in its first batch")
def test_a_model_that_turns_out_to_have_nothing_to_see():
    model = OwnTraining(layers.Dense(3))
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="no factorized kernel that is trained"):
        fit(model, BalanceMonitor())


def test_steps_count_on_from_the_initial_epoch():
    monitor = BalanceMonitor(every=1000)
    model = linear_model()
    model.fit(X, Y, initial_epoch=3, epochs=5, batch_size=8, callbacks=[monitor], verbose=0)
    assert monitor.history["iteration"] == [13, 17]
    model.fit(X, Y, epochs=1, batch_size=8, callbacks=[monitor], verbose=0)
    assert monitor.history["iteration"] == [13, 17, 21]


def test_epochs_before_the_initial_one_are_not_left():
    # Two epochs of four steps are left, and two steps of them made at the second report.
    model = linear_model(depth=3, start=NearZero(0.03))
    with pytest.warns(UserWarning, match="training has 6 left"):
        model.fit(
            *(X, Y),
            initial_epoch=9998,
            epochs=10000,
            batch_size=8,
            verbose=0,
            callbacks=[BalanceMonitor(every=2)],
        )


def test_training_is_the_same_with_and_without():
    weights = []
    for callbacks in ([], [BalanceMonitor(every=2)]):
        keras.utils.set_random_seed(0)
        model = linear_model(depth=3)
        fit(model, *callbacks)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_by_default_reports_take_a_hundredth_of_the_time(monkeypatch):
    clock, reports = [0.0], []

    def quantities(self, name, before, after, imbalance, steps):
        reports.append(self._done)
        clock[0] += 2.0
        return dict.fromkeys(WHAT, 0.0)

    class Step(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock[0] += 10.0

    monkeypatch.setattr("tfoverparam.callbacks.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(BalanceMonitor, "_quantities", quantities)
    fit(linear_model(), BalanceMonitor(), Step(), epochs=1, batch_size=1)
    # Two seconds for a report, so twenty of the 32 steps of ten seconds until the next.
    assert reports == [0, 20]


# The plateau


def of_factors(caught):
    """Those of our warnings: older versions of Keras have some of their own."""
    return [each for each in caught if "factors" in str(each.message)]


@pytest.mark.parametrize(
    "depth, needs",
    # The order of magnitude: the rest depends on the draw.
    [(3, r"needs some [1-9]\.\de.03 iterations"), (8, "needs infinitely many")],
)
def test_it_warns_once_of_factors_that_will_not_leave_zero(depth, needs):
    keras.utils.set_random_seed(0)
    model = linear_model(depth=depth, start=NearZero(0.01))
    message = f"layer `f` are near zero.*depth {depth}, .*{needs}.*NearIdentity"
    with pytest.warns(UserWarning, match=message) as caught:
        fit(model, BalanceMonitor(every=2))
    assert len(of_factors(caught)) == 1
    # And it was right.
    assert np.linalg.norm(product(model.get_weights())) < 1e-3


@pytest.mark.parametrize(
    "arguments",
    [
        {"depth": 8},
        {"depth": 8, "start": NearIdentity(0.01)},
        {"depth": 2, "start": NearZero(0.3)},
    ],
    ids=["default start", "near identity", "not so near zero"],
)
def test_it_does_not_warn_where_training_moves(arguments):
    model = linear_model(**arguments)
    before = product(model.get_weights())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, BalanceMonitor(every=2))
    assert np.linalg.norm(product(model.get_weights()) - before) > 0.05


@pytest.mark.slow
def test_it_does_not_warn_of_a_trained_model():
    model = linear_model(rate=0.2)
    fit(model, epochs=40)
    assert model.evaluate(X, Y, verbose=0) < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, BalanceMonitor(every=1))


def test_the_budget_decides():
    # It needs some 1e4 iterations.
    for budget, expected in ((10**9, 0), (100, 1)):
        model = linear_model(depth=3, start=NearZero(0.03))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(model, BalanceMonitor(every=2, budget=budget))
        assert len(of_factors(caught)) == expected


# TensorBoard


def test_what_tensorboard_reads(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recorder = Recorder()
    model = linear_model(depth=3)
    monitors = [BalanceMonitor(every=6, log_dir=tmp_path) for _ in range(2)]
    for monitor in monitors:
        fit(model, monitor, recorder, batch_size=4, epochs=1)
    events = accumulators.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {f"f/{what}" for what in (*WHAT, "singular_values")}
    # The axis is the optimizer's count of iterations, and goes on where training does.
    assert [event.step for event in events.Tensors("f/step")] == [1, 7, 9, 15]
    values = [event.tensor_proto.float_val[0] for event in events.Tensors("f/imbalance")]
    expected = [recorder.logs[call]["imbalance"] for call in (0, 6, 8, 14)]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    histogram = events.Tensors("f/singular_values")[0].tensor_proto
    shape = [dim.size for dim in histogram.tensor_shape.dim]
    buckets = np.frombuffer(histogram.tensor_content, "float64").reshape(shape)
    largest = monitors[0].history["f_largest_singular_value"][0]
    # Rows of (from, to, count): three singular values.
    assert buckets[:, 2].sum() == 3 and buckets[-1, 1] == pytest.approx(largest)


def test_without_tensorboard(monkeypatch):
    found = builtins.__import__

    def fail(name, *arguments, **keywords):
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        BalanceMonitor(log_dir="somewhere")


# Errors


def test_bad_logs():
    with pytest.raises(ValueError, match='must be "imbalance" or "all". Received: logs=True'):
        BalanceMonitor(logs=True)


@pytest.mark.parametrize("name", ["every", "budget"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        BalanceMonitor(**{name: value})


def test_a_model_with_nothing_to_see():
    model = keras.Sequential([keras.Input((6,)), FactorizedDense(3, trainable=False)])
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="no factorized kernel that is trained"):
        fit(model, BalanceMonitor())
