"""`BalanceMonitor` against numbers computed apart from it, from recorded weights."""

import builtins
import csv
import functools
import warnings

import keras
import numpy as np
import pytest
from keras import layers
from tfoverparam import BalanceMonitor, FactorizedConv2D, FactorizedDense
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
    model.compile(
        optimizer, "mse", jit_compile=False, steps_per_execution=steps_per_execution
    )
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
    recorder = Recorder()
    model = linear_model(depth=3, start="glorot_normal", steps_per_execution=steps_per_execution)
    history = fit(model, BalanceMonitor(every=6), recorder)
    # Four steps an epoch, reports from the first, the 7th and the 13th (never reached) step on.
    calls = 4 // steps_per_execution
    reported = {1: [0] * 6 + [6] * 6, 2: [0] * 3 + [3] * 3}[steps_per_execution]
    assert len(recorder.logs) == len(reported) == 3 * calls
    for logs, call in zip(recorder.logs, reported):
        before, after = recorder.weights[call], recorder.weights[call + 1]
        found = [logs[f"f_{what}"] for what in WHAT[:4]]
        values = np.linalg.svd(product(after), compute_uv=False)
        grams = [(left.T @ left, right @ right.T) for left, right in zip(after[:-1], after[1:])]
        imbalance = max(np.linalg.norm(b - a) for a, b in grams) / max(
            np.linalg.norm(each) for pair in grams for each in pair
        )
        step = np.linalg.norm(product(after) - product(before))
        np.testing.assert_allclose(found, [imbalance, values[0], values[-1], step], rtol=1e-5)
    # The last of an epoch is what History gets.
    for what in WHAT:
        assert history[f"f_{what}"] == [
            recorder.logs[calls * (epoch + 1) - 1][f"f_{what}"] for epoch in range(3)
        ]


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
    history = fit(model, BalanceMonitor(), epochs=1, batch_size=32)
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
    history = model.fit(
        np.ones((4, 6, 6, 1)), np.ones((4, 2)), callbacks=[BalanceMonitor()], verbose=0
    ).history
    expected = {f"{name}_{what}" for name in ("convolution", "twice") for what in WHAT}
    assert set(history) == {"loss"} | expected
    assert all(np.isfinite(value) for (value,) in history.values())


def test_layers_of_the_same_name_are_told_apart():
    parts = [
        keras.Sequential([keras.Input((6,)), FactorizedDense(6, name="f")], name=name)
        for name in ("one", "two")
    ]
    model = keras.Sequential(parts)
    model.compile("sgd", "mse", jit_compile=False)
    history = model.fit(X, X, callbacks=[BalanceMonitor()], verbose=0).history
    assert len(history) == 1 + 2 * len(WHAT)


def test_csv_files_and_the_progress_bar_get_them(tmp_path, capsys):
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(linear_model(), BalanceMonitor(), logger, epochs=2, verbose=2)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["f_imbalance"]) for row in rows] == history["f_imbalance"]
    assert "f_rule_step:" in capsys.readouterr().out


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

    def report(self, name, before, after):
        reports.append(self._done)
        clock[0] += 2.0

    class Step(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock[0] += 10.0

    monkeypatch.setattr("tfoverparam.callbacks.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(BalanceMonitor, "_report", report)
    fit(linear_model(), BalanceMonitor(), Step(), epochs=12)
    # Two seconds for a report, so twenty steps of ten seconds until the next.
    assert reports == [0, 20, 40]


# The plateau


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
    assert len(caught) == 1
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
        assert len(caught) == expected


# TensorBoard


def test_what_tensorboard_reads(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    recorder = Recorder()
    model = linear_model(depth=3)
    for _ in range(2):
        fit(model, BalanceMonitor(every=6, log_dir=tmp_path), recorder)
    events = accumulators.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {f"f/{what}" for what in (*WHAT, "singular_values")}
    # The axis is the optimizer's count of iterations, and goes on where training does.
    assert [event.step for event in events.Tensors("f/step")] == [1, 7, 13, 19]
    values = [event.tensor_proto.float_val[0] for event in events.Tensors("f/imbalance")]
    expected = [recorder.logs[call]["f_imbalance"] for call in (0, 6, 12, 18)]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    histogram = events.Tensors("f/singular_values")[0].tensor_proto
    shape = [dim.size for dim in histogram.tensor_shape.dim]
    buckets = np.frombuffer(histogram.tensor_content, "float64").reshape(shape)
    largest = recorder.logs[0]["f_largest_singular_value"]
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


@pytest.mark.parametrize("name", ["every", "budget"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        BalanceMonitor(**{name: value})


def test_a_model_with_nothing_to_see():
    model = keras.Sequential([keras.Input((6,)), FactorizedDense(3, trainable=False)])
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="no factorised layer that is trained"):
        fit(model, BalanceMonitor())
