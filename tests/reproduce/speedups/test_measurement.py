"""The choice of a task's rates: to a level, refined around the best; and the kurtosis."""

import types

import numpy as np
import pytest
from scipy import stats
from tqdm import tqdm

from reproduce import linear_networks
from reproduce.data.regression import regression_data
from reproduce.harness.records import Run
from reproduce.speedups import measurement, problems

WORK = types.SimpleNamespace(bar=lambda *_: tqdm(disable=True), checkpoint=lambda part: None)


@pytest.fixture(scope="module")
def task():
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 3))
    return regression_data(features, features[:, 0] + random.laplace(size=200), "noise", "nowhere")


def test_the_rate_is_the_one_that_is_first_at_the_level_on_a_refined_grid(task, monkeypatch):
    """Runs reach the level after 100 times the distance of their rate from 0.15, in decades."""
    trained = []

    def train(runs, features, targets, steps, *_):
        trained.append({(run.depth, run.learning_rate, run.seed) for run in runs})
        _, least = least_squares(task)
        result = []
        for run in runs:
            at = 1 + int(100 * abs(np.log10(run.learning_rate / 0.15))) + 10 * run.seed
            losses = [[0, least + 1], [at, least + 1e-4], [steps, least + run.learning_rate / 1e5]]
            result.append(linear_networks.Trajectory(losses, None, None))
        return result

    monkeypatch.setattr(linear_networks, "train", train)
    settings = {
        "problem": "machine",
        "condition_number": None,
        "p": 2,
        "steps": 1000,
        "stddev": 0.01,
        "depths": [1, 2],
        "rates": [0.01, 0.1, 1.0],
        "selection_seeds": [0, 1],
        "seeds": [7],
        "refinement": 2,
        "level": 1e-3,
    }
    found, results = measurement.measure(Run("all", 0, settings, "task"), task, WORK)
    # By the least final loss it would be 0.01.
    assert results["rates"] == {"1": 0.215, "2": 0.215}
    rates = [sorted({rate for _, rate, _ in group}) for group in trained]
    assert rates == [[0.01, 0.1, 1.0], [0.0215, 0.0464, 0.215, 0.464], [0.215]]
    assert {seed for *_, seed in trained[1]} == {0, 1} and {s for *_, s in trained[2]} == {7}
    assert set(found) == {"depth 1, seed 7", "depth 2, seed 7"}
    # Six digits are kept.
    expected = stats.kurtosis(least_squares(task)[0], fisher=False)
    assert results["kurtosis"] == pytest.approx(expected, rel=1e-5)


def least_squares(task):
    """Residuals, and their mean square."""
    kernel = np.linalg.pinv(task.features) @ task.targets
    residuals = task.features @ kernel - task.targets
    return residuals, np.mean(residuals**2)


def test_the_kurtosis_of_the_residual(task):
    residuals, _ = least_squares(task)
    expected = np.mean(residuals**4) / np.mean(residuals**2) ** 2
    assert measurement.kurtosis_of_residual(task) == pytest.approx(expected) and expected > 4


def test_a_rate_at_the_end_of_the_grid_is_refined_on_one_side():
    assert measurement.between([1.0, 10.0, 100.0], 1.0, 1) == [3.16]
    assert measurement.between([100.0, 1.0, 10.0], 100.0, 1) == [31.6]


def test_what_is_not_shipped_is_there_where_its_file_is(tmp_path):
    shipped = set(problems.TASKS) - {"elevators", "pol"}
    assert len(shipped) == 11 and all(problems.is_there(name, None) for name in shipped)
    assert not problems.is_there("pol", tmp_path)
    (tmp_path / "pol.csv").touch()
    assert problems.is_there("pol", tmp_path) and not problems.is_there("elevators", tmp_path)
