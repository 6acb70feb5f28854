"""The committed results: records of planned runs, and summaries of these records."""

import dataclasses
import functools
import json
import types

import pytest

from reproduce import (
    claims,
    figure2,
    figure3,
    figure4_left,
    figure4_right,
    figure5_left,
    figure5_right,
    robustness,
)
from reproduce.harness import cli, config, records

EXPERIMENTS = {
    **{
        module.FIGURE.name: module.FIGURE
        for module in (figure2, figure3, figure4_left, figure4_right, figure5_left)
    },
    "figure5_right": figure5_right.Figure(),
    "robustness": robustness.Robustness(),
}


@functools.cache
def committed(name):
    return records.read_records(cli.ROOT / "results" / name)


def settings_of(name):
    path = cli.ROOT / "configs" / f"{name}.yaml"
    return config.load(path, EXPERIMENTS[name].config_class, [])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_record_is_of_a_run_that_is_planned_with_these_settings(name):
    seeds = sorted({record.seed for record in committed(name)})
    if name == "robustness":  # whose records are of many seeds each
        seeds = list(EXPERIMENTS[name].seeds)
    arguments = types.SimpleNamespace(seeds=seeds, tutorial_seeds=False)
    planned = {
        run.name: run.settings
        for run in EXPERIMENTS[name].everything(settings_of(name), arguments)
    }
    found = {record.name: record.settings for record in committed(name)}
    assert found and found == {key: planned[key] for key in found}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_summary_says_what_its_records_do(name):
    text = (cli.ROOT / "results" / name / "summary.json").read_text(encoding="utf-8")
    found = json.loads(text)
    conclusion = EXPERIMENTS[name].conclude(committed(name), settings_of(name), work=None)
    expected = {
        "verdicts": [dataclasses.asdict(verdict) for verdict in conclusion.verdicts],
        "tables": conclusion.tables,
        "rms_log10": conclusion.distances,
    }
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert {verdict["kind"] for verdict in found["verdicts"]} <= set(claims.KINDS)
    assert {verdict["verdict"] for verdict in found["verdicts"]} <= {*claims.JUDGED}
