"""The population engine, against `fit` with the library's layer, closed forms and plain loops."""

import errno
import functools
import io
import os
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproduce import linear_networks
from reproduce.harness.errors import RecordsError
from reproduce.linear_networks import Run, initial_factors, train
from tfoverparam import EndToEnd, FactorizedDense

STEPS, FITTED = 300, 60  # of runs that are interrupted; of those that `fit` does again
OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "adam": keras.optimizers.Adam,
}


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 6)) * np.geomspace(1, 0.1, 6)
    targets = features @ random.normal(size=6) + 0.1 * random.normal(size=40)
    return features, targets


RUNS = {
    "layer": Run(p=2, depth=1, learning_rate=0.05, seed=0),
    "deep": Run(p=2, depth=3, learning_rate=0.02, seed=1, start="identity"),
    "wide": Run(p=2, depth=3, width=4, learning_rate=0.02, seed=2, stddev=0.3),
    "adagrad": Run(p=2, depth=2, learning_rate=0.05, seed=3, optimizer="adagrad", stddev=0.3),
    "adadelta": Run(p=2, depth=1, learning_rate=1.0, seed=4, optimizer="adadelta"),
    "adam": Run(p=2, depth=2, width=3, learning_rate=0.01, seed=5, optimizer="adam", stddev=0.3),
    "l4": Run(p=4, depth=2, learning_rate=0.005, seed=6, start="identity"),
    "l4 adam": Run(p=4, depth=1, learning_rate=0.01, seed=7, optimizer="adam"),
    "l6": Run(p=6, depth=1, learning_rate=0.0005, seed=10),
    "rule": Run(p=2, depth=3, learning_rate=0.02, seed=8, rule="own", stddev=0.3),
    "l4 rule": Run(p=4, depth=2, learning_rate=0.005, seed=9, rule="product", start="identity"),
}


def fitted(run, features, targets):
    """The end-to-end kernel after each step of `fit`, the start included."""
    factors = initial_factors(run, features.shape[1])
    if run.rule:
        layer = keras.layers.Dense(1, use_bias=False)
    else:
        layer = FactorizedDense(1, depth=run.depth, hidden_units=run.width, use_bias=False)
    model = keras.Sequential([keras.Input((features.shape[1],)), layer])
    layer.set_weights(factors)
    optimizer = OPTIMIZERS[run.optimizer](run.learning_rate)
    model.compile(
        optimizer=EndToEnd(optimizer, depth=run.depth) if run.rule else optimizer,
        loss=lambda true, found: keras.ops.mean((found - true) ** run.p),
    )
    dataset = tf.data.Dataset.from_tensors(
        (features.astype("float32"), targets[:, None].astype("float32"))
    ).repeat()
    kernels = [np.asarray(layer.kernel)[:, 0]]
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: kernels.append(np.asarray(layer.kernel)[:, 0])
    )
    model.fit(dataset, steps_per_epoch=FITTED, shuffle=False, callbacks=[record], verbose=0)
    return np.array(kernels, "float64")


@pytest.fixture(scope="module")
def trained(data):
    result = {}
    for p in (2, 4, 6):
        chosen = {name: run for name, run in RUNS.items() if run.p == p}
        trajectories = train(list(chosen.values()), *data, FITTED, range(FITTED + 1))
        result |= dict(zip(chosen, trajectories))
    return result


@pytest.mark.parametrize("name", RUNS)
def test_step_for_step_it_is_fit_with_the_library_s_layer(name, data, trained):
    features, targets = data
    kernels = fitted(RUNS[name], features, targets)
    expected = linear_networks.losses(kernels.T, features, targets, RUNS[name].p)
    found = np.array(trained[name].losses)
    assert found[:, 0].tolist() == list(range(FITTED + 1))
    assert expected[-1] < 0.9 * expected[0]
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(trained[name].kernel, kernels[-1], rtol=1e-5, atol=1e-6)


def test_a_single_layer_follows_the_closed_form(data):
    features, targets = data
    run = Run(p=2, depth=1, learning_rate=0.1, seed=0)
    (found,) = train([run], features, targets, 2000, [0, 1, 10, 100, 1000, 2000])
    values, vectors = np.linalg.eigh(features.T @ features / len(features))
    optimum = np.linalg.lstsq(features, targets, rcond=None)[0]
    start = initial_factors(run, 6)[0][:, 0]
    for step, loss in found.losses:
        # Every coordinate shrinks by 1 - 2 eta lambda in each step.
        remaining = (1 - 0.2 * values) ** step * (vectors.T @ (start - optimum))
        kernel = (optimum + vectors @ remaining)[:, None]
        (expected,) = linear_networks.losses(kernel, features, targets, 2)
        assert loss == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "p, rates",
    [
        (2, (0.5, 5.0, 0.05)),
        (4, (0.05, 5.0, 0.01)),
        pytest.param(6, (0.002, 5.0, 0.0005), marks=pytest.mark.slow),
    ],
)
def test_divergence_is_found_in_the_iteration_where_it_happens_and_touches_no_other(p, rates, data):
    # Those that have diverged are dropped at iteration 100.
    runs = [Run(p=p, depth=2, learning_rate=rate, seed=3, stddev=0.3) for rate in rates]
    slow, fast, other = found = train(runs, *data, 120, range(121))
    for run, trajectory in zip(runs, found):
        assert trajectory.diverged_at == diverges_at(run, *data, 120)
    assert fast.diverged_at < slow.diverged_at and other.diverged_at is None
    seldom = train(runs, *data, 120, [0])
    assert [each.diverged_at for each in seldom] == [each.diverged_at for each in found]
    assert [t for t, _ in seldom[2].losses] == [0]
    np.testing.assert_allclose(seldom[2].kernel, other.kernel, rtol=1e-4)
    assert not np.isfinite(fast.kernel).any()
    assert fast.losses[-1][0] in (fast.diverged_at - 1, fast.diverged_at - 2)
    (alone,) = train(runs[2:], *data, 120, range(121))
    np.testing.assert_allclose(other.losses, alone.losses, rtol=1e-4)


def diverges_at(run, features, targets, steps):
    """By a plain loop: the first iteration whose gradient is not finite in float32.

    For p = 2 all numbers are float64, else float32.
    """
    number = np.float64 if run.p == 2 else np.float32
    features, targets = features.astype(number), targets.astype(number)
    w, scalar = (factor.astype(number) for factor in initial_factors(run, features.shape[1]))
    w, scalar = w[:, 0], scalar[0, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        for iteration in range(steps):
            residual = features @ w * scalar - targets
            slope = run.p / number(len(targets)) * (features.T @ residual ** (run.p - 1))
            if not np.isfinite(slope.astype("float32")).all():
                return iteration
            rate = number(run.learning_rate)
            w, scalar = w - rate * slope * scalar, scalar - rate * (w @ slope)
    return None


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(linear_networks.population, "SEGMENT", 5e3)
    monkeypatch.setattr(linear_networks.population, "SECONDS_BETWEEN_CHECKPOINTS", -1)


@pytest.mark.slow
def test_interrupted_anywhere_it_goes_on_to_the_same_numbers(data, tmp_path, small_segments):
    # Among them one that diverges, and is dropped, and one with an optimizer that has a state.
    runs = [
        Run(p=2, depth=2, learning_rate=5.0, seed=3, stddev=0.3),
        *(RUNS[name] for name in ("layer", "deep", "adam", "adagrad", "rule")),
    ]
    record_at = [0, 7, 50, 120, 250, 300]
    expected = train(runs, *data, STEPS, record_at)
    assert expected[0].diverged_at is not None
    path = tmp_path / "checkpoint.npz"
    stops = iter([7, 60, 111, 260, None])

    def interrupt(stop, iteration, alive):
        if stop is not None and iteration >= stop:
            raise KeyboardInterrupt

    starts = []
    for stop in stops:
        seen = []
        try:
            found = train(
                runs,
                *data,
                STEPS,
                record_at,
                path,
                lambda *a: (seen.append(a[0]), interrupt(stop, *a)),
            )
        except KeyboardInterrupt:
            assert path.exists() or stop == 7
        starts.append(seen[0])
    assert starts == sorted(starts) and starts[-1] > 200
    for ours, theirs in zip(found, expected):
        assert ours.losses == theirs.losses and ours.diverged_at == theirs.diverged_at
        np.testing.assert_array_equal(ours.kernel, theirs.kernel)
    # At the end it holds the result, also of some of the runs alone.
    (again,) = train(runs[2:3], *data, STEPS, record_at, path, lambda *a: pytest.fail("trained"))
    assert again.losses == expected[2].losses


def test_a_checkpoint_of_other_runs_is_not_used(data, tmp_path, small_segments):
    path = tmp_path / "checkpoint.npz"

    def interrupt(iteration, alive):
        if iteration >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([RUNS["layer"]], *data, 100, [0, 100], path, interrupt)
    other = Run(p=2, depth=1, learning_rate=0.04, seed=0)
    seen = []
    (found,) = train([other], *data, 100, [0, 100], path, lambda t, alive: seen.append(t))
    assert seen[0] < 50
    assert found.losses == train([other], *data, 100, [0, 100])[0].losses


class Executed:
    """Unpickled, it ends the test."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was executed",)


def damaged(content, arrays):
    """Checkpoints that cannot be used."""

    def npz(**changed):
        found = io.BytesIO()
        np.savez(found, **{k: v for k, v in {**arrays, **changed}.items() if v is not None})
        return found.getvalue()

    return [
        b"",
        content[: len(content) // 2],
        pickle.dumps(Executed()),
        npz(curves=np.array([Executed()], object)),
        npz(curves=None),
        npz(curves=arrays["curves"][:-1]),
        npz(iteration=np.array(101)),
        npz(alive=np.array([7])),
        npz(**{"state.0.0.0": np.zeros((2, 1, 1))}),
        npz(**{"state.0.0.0": arrays["state.0.0.0"].astype("float32")}),
        npz(identity=np.array("0" * 64)),
    ]


def test_a_checkpoint_that_is_damaged_is_said_so_and_replaced(
    data, tmp_path, small_segments, capsys
):
    path = tmp_path / "checkpoint.npz"
    (expected,) = train([RUNS["adam"]], *data, 20, [0, 20], path)
    with np.load(path) as stored:
        altered = damaged(path.read_bytes(), dict(stored))
    for content in altered:
        path.write_bytes(content)
        training = linear_networks.population._Training([RUNS["adam"]], *data, 20, [0, 20], path)
        assert training.iteration == 0
        said = f"The checkpoint {path} is damaged, or of other runs: starting from iteration 0.\n"
        assert capsys.readouterr().err == said
    (found,) = train([RUNS["adam"]], *data, 20, [0, 20], path)
    assert found.losses == expected.losses
    capsys.readouterr()
    train([RUNS["adam"]], *data, 20, [0, 20], path, lambda *a: pytest.fail("trained"))
    assert capsys.readouterr().err == ""


def test_a_checkpoint_that_cannot_be_written_ends_the_training_and_the_last_one_is_kept(
    data, tmp_path, small_segments, monkeypatch
):
    path = tmp_path / "checkpoint.npz"
    fsync, calls = os.fsync, []

    def full_at_the_third(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(RecordsError, match="checkpoint.npz: No space left on device"):
        train([RUNS["layer"]], *data, 100, [0, 10, 20, 50, 100], path)
    assert list(tmp_path.iterdir()) == [path]
    starts = []
    train([RUNS["layer"]], *data, 100, [0, 10, 20, 50, 100], path, lambda t, _: starts.append(t))
    assert starts[0] > 10


def test_starts_depend_on_the_run_alone():
    run = Run(p=2, depth=3, width=2, learning_rate=0.1, seed=1)
    near_zero, identity = (
        initial_factors(Run(**{**vars(run), "start": start}), 4)
        for start in ("near_zero", "identity")
    )
    assert [factor.shape for factor in near_zero] == [(4, 2), (2, 2), (2, 1)]
    for a, b in zip(near_zero, identity):
        np.testing.assert_allclose(b - a, np.eye(*a.shape), atol=1e-15)
    product, own = (
        initial_factors(Run(**{**vars(run), "rule": rule}), 4)[0] for rule in ("product", "own")
    )
    np.testing.assert_array_equal(product, functools.reduce(np.matmul, near_zero))
    assert own.shape == product.shape and 0.001 < np.std(own) < 0.1
    large = initial_factors(Run(p=2, depth=1, learning_rate=1, seed=0), 10_000)[0]
    assert np.std(large) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"p": 3}, "even"),
        ({"p": 0}, "even"),
        ({"p": 12}, "from 2 to 10"),
        ({"depth": 0}, "`depth` must be positive"),
        ({"width": 0}, "`width` must be positive"),
        ({"width": 10_001}, "for the memory"),
        ({"depth": 4, "width": 5001}, "for the memory"),
        ({"seed": -1}, "`seed` must be"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be positive"),
        ({"optimizer": "adamw"}, "`optimizer` must be one of"),
        ({"start": "zero"}, "`start` must be one of"),
        ({"rule": "other"}, "`rule` must be one of"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Run(**{"p": 2, "depth": 1, "learning_rate": 0.1, "seed": 0, **change})


def test_the_largest_runs_are_accepted():
    largest = Run(p=10, depth=1, learning_rate=0.1, seed=0, width=10_000)
    assert (largest.p, largest.width) == (10, 10_000)
    assert Run(p=2, depth=4, learning_rate=0.1, seed=0, width=5000).depth == 4


def test_runs_of_several_losses_are_refused(data):
    with pytest.raises(ValueError, match="same p"):
        train([RUNS["layer"], RUNS["l4"]], *data, 1, [0])
