"""The committed results: records of planned runs, and summaries of these records."""

import dataclasses
import functools
import json
import pathlib

import pytest

from reproduce import figure5_right, regression, robustness
from reproduce.claims import (
    figure2,
    figure3,
    figure4_left,
    figure4_right,
    figure5_left,
    figure5_right as convnet_claims,
    regression as regression_claims,
    robustness as robustness_claims,
)
from reproduce.harness import cli, config, records

RESULTS = pathlib.Path(__file__).parents[2] / "results"
REGRESSION = {
    "figure2": figure2,
    "figure3": figure3,
    "figure4_left": figure4_left,
    "figure4_right": figure4_right,
    "figure5_left": figure5_left,
}


@functools.cache
def committed(figure):
    return records.read_records(RESULTS / figure)


def summary(figure):
    return json.loads((RESULTS / figure / "summary.json").read_text(encoding="utf-8"))


def settings_of(figure, kind):
    return config.load(cli.CONFIGS / f"{figure}.yaml", kind, [])


def assert_planned(figure, planned):
    found = {(each.panel, each.series, each.seed): each.settings for each in committed(figure)}
    assert found and found == {key: planned[key] for key in found}


@pytest.mark.parametrize("figure", REGRESSION)
def test_the_records_of_a_regression_figure_are_planned_with_these_settings(figure):
    settings = settings_of(figure, regression.Config)
    runs = regression.plan(settings, {each.seed for each in committed(figure)})
    planned = {key: regression._settings(key, run, settings) for key, run in runs.items()}
    assert_planned(figure, planned)


def test_the_records_of_the_convnets_are_planned_with_these_settings():
    settings = settings_of("figure5_right", figure5_right.Config)
    seeds = {each.seed for each in committed("figure5_right")}
    runs = figure5_right.plan(settings, figure5_right.ARMS, seeds)
    runs |= figure5_right.plan(settings, figure5_right.DEPTHS, seeds, tutorial_seeds=True)
    planned = {("", *key): dataclasses.asdict(run) for key, run in runs.items()}
    assert_planned("figure5_right", planned)


def test_the_records_of_robustness_are_planned_with_these_settings():
    settings = settings_of("robustness", robustness.Config)
    panels = robustness.plan(settings)
    planned = {
        (name, "all", 0): robustness._settings(panel, settings) for name, panel in panels.items()
    }
    assert_planned("robustness", planned)


@pytest.mark.parametrize(
    "figure, verdicts, distances",
    [
        *((name, each.verdicts, regression_claims.distances) for name, each in REGRESSION.items()),
        ("figure5_right", convnet_claims.verdicts, convnet_claims.distances),
        ("robustness", robustness_claims.verdicts, lambda _: {}),
    ],
)
def test_verdicts_and_distances_of_a_summary_are_those_of_its_records(figure, verdicts, distances):
    found = summary(figure)
    expected = [dataclasses.asdict(verdict) for verdict in verdicts(committed(figure))]
    assert found["verdicts"] == expected
    assert found["rms_log10"] == {
        curve: {str(seed): distance for seed, distance in by_seed.items()}
        for curve, by_seed in distances(committed(figure)).items()
    }
