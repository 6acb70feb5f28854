"""Each number of a record is the one that its name says, against a computation of its own."""

import contextlib
import dataclasses
import types

import numpy as np
import pytest
from scipy.optimize import minimize

from reproduce import figure5_right, linear_networks, mnist_convnet, robustness
from reproduce.mnist_convnet import runs as convnet_runs
from reproduce.claims import robustness as checks
from reproduce.data.regression import regression_data
from reproduce.harness import cli, config
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run
from reproduce.regression import runs as regression_runs

PANELS = {2: "fig3L_l2", 4: "fig3R_l4"}


class Work:
    """What training needs of `harness.work.Work`."""

    team = types.SimpleNamespace(strategy=None)

    def __init__(self, logs):
        self.logs, self.arguments = logs, types.SimpleNamespace(quiet=True)

    def bar(self, description, total):
        names = ("update", "set_postfix", "set_description")
        bar = types.SimpleNamespace(n=0, **dict.fromkeys(names, lambda *args, **options: None))
        return contextlib.nullcontext(bar)

    def checkpoint(self, name=""):
        return None


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def task(scale=1.0):
    """A problem with targets far from a variance of 1, so that no two powers of them agree."""
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 3))
    targets = scale * (2 + features @ [1.0, -2.0, 0.5] + random.normal(size=40))
    return types.SimpleNamespace(features=features, targets=targets)


def least(task, p):
    """By a method of another kind than ours."""
    found = minimize(
        lambda w: np.mean((task.features @ w - task.targets) ** p), np.zeros(3), tol=1e-12
    )
    return found.fun


@pytest.mark.parametrize("p", [2, 4])
def test_the_optimum_and_the_loss_at_zero_of_a_regression(p, work):
    run = linear_networks.Run(p=p, depth=1, learning_rate={2: 1e-3, 4: 2e-5}[p], seed=0)
    settings = {**dataclasses.asdict(run), "steps": 6, "flow": False}
    ((_, curves, results),) = next(
        regression_runs.train([Run("1-layer", 0, settings, PANELS[p])], task(), work, [PANELS[p]])
    )
    best = least(task(), p)
    assert results["optimum"] == pytest.approx(best, rel=1e-5)
    assert results["at_zero"] == pytest.approx(np.mean(task().targets ** p) - best, rel=1e-5)
    w, expected = linear_networks.initial_factors(run, 3)[0][:, 0], []
    for t in range(7):
        residuals = task().features @ w - task().targets
        expected.append([t, pytest.approx(np.mean(residuals**p) - best, rel=1e-5)])
        w = w - run.learning_rate * p / 40 * task().features.T @ residuals ** (p - 1)
    assert curves[PANELS[p]] == expected
    # Below 99% of the distance at zero.
    left = results["left_plateau_at"]
    assert expected[left - 1][1].expected > 0.99 * results["at_zero"] > expected[left][1].expected


def test_the_longest_step_of_a_flow_is_1_where_descent_is_about_to_diverge():
    # Of depth 1 and p = 2 the Hessian is constant, and descent stable up to a step of 2 by its
    # largest eigenvalue: found here by descent along that direction.
    features = task().features
    hessian = 2 * features.T @ features / 40
    top = np.linalg.eigh(hessian)[1][:, -1]

    def grows(rate):
        return np.linalg.norm(top - rate * hessian @ top) > 1

    low, high = 1e-3, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    for factor in (0.5, 1.5):
        run = linear_networks.Run(p=2, depth=1, learning_rate=factor * low, seed=0)
        _, stability = regression_runs.flow(run, task(), [0, 1, 10])
        assert stability["longest_step"] == pytest.approx(factor, rel=1e-5)
        assert stability["unstable_from"] == (None if factor < 1 else 0)


def test_the_rule_s_own_start_is_no_part_of_the_network_s():
    run = linear_networks.Run(p=4, depth=2, learning_rate=1, seed=5)
    network = linear_networks.initial_factors(run, 10_000)[0].ravel()
    for seed in (5, 6):
        own_run = dataclasses.replace(run, rule="own", seed=seed)
        own = linear_networks.initial_factors(own_run, 10_000)[0].ravel()
        assert abs(np.corrcoef(own, network)[0, 1]) < 0.05  # 5 standard errors


def test_what_is_recorded_of_the_convnet(work, monkeypatch):
    steps = 1719
    random = np.random.default_rng(0)
    cross_entropy, l2_term = random.uniform(1, 2, steps), random.uniform(5, 6, steps)
    trained = mnist_convnet.Trained(
        cross_entropy + l2_term, cross_entropy, l2_term, [], 3.5, 1.25, 99
    )
    monkeypatch.setattr(convnet_runs, "train", lambda *args, **options: trained)
    settings = figure5_right_settings()
    (run,) = figure5_right.plan(settings, ["original"], [0])
    images = types.SimpleNamespace(train_images=np.zeros(60_000))
    (((_, curves, results),),) = figure5_right.Figure().train([run], images, settings, work)
    assert (results["validation_error"], results["test_error"]) == (3.5, 1.25)
    # An epoch of 55000 images are 859.4 steps of 64.
    assert results["cross_entropy_per_epoch"] == [
        pytest.approx(np.mean(cross_entropy[slice(*epoch)]), rel=1e-4)
        for epoch in ((0, 860), (860, 1719))
    ]
    window = settings.half_window
    for panel, values in zip(convnet_runs.PANELS, (trained.loss, cross_entropy, l2_term)):
        (t, value), *_ = [point for point in curves[panel] if point[0] >= window]
        inside = values[t - window : t + window + 1]
        assert value == pytest.approx(np.median(inside), rel=1e-5)


def figure5_right_settings(*overrides):
    return config.load(cli.ROOT / "configs/figure5_right.yaml", figure5_right.Config, overrides)


def test_a_batch_as_large_as_the_data_is_refused(work):
    settings = figure5_right_settings("batch_size=60")
    images = types.SimpleNamespace(train_images=np.zeros(60))
    with pytest.raises(ConfigError, match="`batch_size` must be smaller"):
        next(figure5_right.Figure().train([], images, settings, work))


def robustness_run(problem="full"):
    settings = {
        "problem": problem,
        "condition_number": None,
        "p": 2,
        "steps": 2,
        "stddev": 0.01,
        "depths": [1],
        "rates": [0.1, 0.2],
        "selection_seeds": [0, 1],
        "seeds": [7, 8],
    }
    return Run("all", 0, settings, "full l2")


def test_the_rate_of_a_depth_is_that_of_the_better_worst_seed(work, monkeypatch):
    ends = {(0.1, 0): 2.0, (0.1, 1): 2.1, (0.2, 0): 0.5, (0.2, 1): 9.0}

    def train(runs, features, targets, steps, *_):
        return [
            linear_networks.Trajectory(
                [[0, 10.0], [steps, ends.get((run.learning_rate, run.seed), 1.0)]], None, None
            )
            for run in runs
        ]

    monkeypatch.setattr(linear_networks, "train", train)
    curves, results = robustness.measure(robustness_run(), task(), work)
    assert results["rates"] == {"1": 0.1}
    assert set(curves) == {checks.curve_name(1, seed) for seed in (7, 8)}


@pytest.mark.parametrize("problem", ["log_target", "no_high_leverage"])
def test_the_optimum_of_a_problem_is_that_of_its_own_data(problem, work):
    random = np.random.default_rng(0)
    raw_targets = np.exp(random.normal(size=60))
    full = regression_data(random.normal(size=(60, 3)) ** 3, raw_targets, "noise", "nowhere")
    run = robustness_run(problem)
    changed = robustness.Robustness().task(run.settings, full)
    _, results = robustness.measure(run, changed, work)
    optimum, other = (
        np.mean((each.targets - each.features @ np.linalg.pinv(each.features) @ each.targets) ** 2)
        for each in (changed, full)
    )
    assert results["optimum"] == pytest.approx(optimum, rel=1e-4)
    assert abs(optimum / other - 1) > 1e-3
    assert results["at_zero"] == pytest.approx(
        np.mean(changed.targets**2) - results["optimum"], rel=1e-4
    )
