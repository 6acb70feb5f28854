"""The regression figures: what is run, what is left behind, and which rates are laid over."""

import csv
import dataclasses
import io
import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator
import yaml

from reproduce import (
    claims,
    data,
    figure2,
    figure3,
    figure4_left,
    figure4_right,
    figure5_left,
    linear_networks,
    paper,
)
from reproduce.harness import cli, config, records
from reproduce.harness.errors import ConfigError
from reproduce.harness.results_folder import ResultsFolder
from reproduce.linear_networks.exact import optimum
from reproduce.regression import as_stated, runs
from reproduce.regression.configuration import Config, plan

ROOT = pathlib.Path(__file__).parents[2]
RATES = [0.001, 0.01, 10.0]
SMALL = {
    "steps": 40,
    "stddev": 0.01,
    "smoke_steps": 5,
    "panels": [
        {
            "name": "fig3L_l2",
            "p": 2,
            "series": [
                {"name": "1-layer", "depth": 1, "rates": RATES, "plotted": 0.01},
                {"name": "2-layer", "depth": 2, "rates": RATES},
            ],
        },
        {
            "name": "fig3R_l4",
            "p": 4,
            "series": [{"name": "1-layer", "depth": 1, "rates": [0.001], "flow": 0.002}],
        },
    ],
}


@pytest.fixture
def settings(tmp_path):
    return load(tmp_path, SMALL)


def load(folder, values):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return config.load(path, Config, [])


def command(tmp_path, *arguments):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    shared = ["--config", str(path), "--out", str(tmp_path / "results")]
    figure3.main([*shared, "--quiet", *arguments])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_ethanol):
    path = tmp_path_factory.mktemp("figure")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        command(path, "--seeds", "0", "1")
    return path


def test_plan_names_every_run_once(settings):
    found = {(run.panel, run.series): run for run in plan(settings, seeds=[3])}
    assert {key: run.settings["learning_rate"] for key, run in found.items()} == {
        ("fig3L_l2", "1-layer"): 0.01,
        ("fig3L_l2", "1-layer lr=0.001"): 0.001,
        ("fig3L_l2", "1-layer lr=10"): 10.0,
        ("fig3L_l2", "2-layer lr=0.001"): 0.001,
        ("fig3L_l2", "2-layer lr=0.01"): 0.01,
        ("fig3L_l2", "2-layer lr=10"): 10.0,
        ("fig3R_l4", "1-layer"): 0.002,
        ("fig3R_l4", "1-layer lr=0.001"): 0.001,
    }
    assert {run.seed for run in found.values()} == {3}
    run = found["fig3L_l2", "2-layer lr=0.01"]
    assert records.rebuilt(linear_networks.Run, run.settings) == linear_networks.Run(
        p=2, depth=2, learning_rate=0.01, seed=3
    )
    facts = {"steps": 40, "curve": "2-layer", "flow": False, "plotted": False, "stated": None}
    assert facts.items() <= run.settings.items()
    assert found["fig3R_l4", "1-layer"].settings["flow"]
    # The one that is laid over the paper's curve is drawn last, over the others.
    assert [name for panel, name in found if (panel, name[0]) == ("fig3L_l2", "1")] == [
        "1-layer lr=0.001",
        "1-layer lr=10",
        "1-layer",
    ]


def test_plan_marks_the_rate_that_the_text_gives(tmp_path):
    values = yaml.safe_load(yaml.safe_dump(SMALL))
    values["panels"][0]["series"][0]["stated"] = 0.01
    marks = {
        run.settings["learning_rate"]: run.settings["stated"]
        for run in plan(load(tmp_path, values), seeds=[3])
        if run.panel == "fig3L_l2" and run.settings["curve"] == "1-layer"
    }
    assert marks == {0.001: False, 0.01: True, 10.0: False}


def test_a_flow_of_two_layers_is_what_slow_descent_tends_to():
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 3))
    targets = features @ [1.0, -2.0, 0.5]
    task = types.SimpleNamespace(features=features, targets=targets)
    run = linear_networks.Run(p=2, depth=2, learning_rate=0.05, seed=0, stddev=0.5)
    found, _ = runs.flow(run, task, [0, 4, 8])
    slow = dataclasses.replace(run, learning_rate=0.001)
    (descent,) = linear_networks.train([slow], features, targets, 400, [0, 200, 400])
    losses = [loss for _, loss in found.losses]
    assert losses == pytest.approx([loss for _, loss in descent.losses], rel=5e-3)
    assert losses[2] < 0.95 * losses[0]
    assert losses[2] == pytest.approx(np.mean((features @ found.kernel - targets) ** 2), rel=1e-9)


def test_the_arm_of_what_is_laid_over_the_paper_s_curves(settings):
    found = plan(settings, seeds=[3, 4], plotted_only=True)
    assert {(run.panel, run.series, run.seed) for run in found} == {
        (panel, "1-layer", seed) for panel in ("fig3L_l2", "fig3R_l4") for seed in (3, 4)
    }
    everything = plan(settings, seeds=[3, 4])
    assert all(run in everything for run in found)


def test_the_plotted_rate_is_one_that_is_run(tmp_path):
    values = yaml.safe_load(yaml.safe_dump(SMALL))
    values["panels"][0]["series"][0]["plotted"] = 0.02
    with pytest.raises(ConfigError, match="1-layer: `plotted` must be one of"):
        load(tmp_path, values)


@pytest.mark.parametrize(
    "figure, count",
    [
        (figure2, 10 + 20 + 4),
        (figure3, 2 * 3 * 10 + 3),
        (figure4_left, 60),
        (figure4_right, 3 + 10),
        (figure5_left, 50),
    ],
)
def test_a_figure_s_own_configuration_is_sound(figure, count):
    name = figure.FIGURE.name
    settings = config.load(cli.ROOT / "configs" / f"{name}.yaml", Config, [])
    assert len(plan(settings, [0])) == count
    for panel in settings.panels:
        assert settings.steps >= paper.iterations(panel.name)[-1]
        names = {series.name for series in panel.series}
        assert set(paper.series(panel.name)) <= names


def test_a_run_leaves_records_curves_summary_figure_and_logs(finished):
    results = finished / "results"
    found = records.read_records(results)
    assert len(found) == 2 * 8
    table = list(csv.DictReader((results / "curves.csv").read_text().splitlines()))
    keys = [(row["panel"], row["series"], row["seed"], row["iteration"]) for row in table]
    assert len(set(keys)) == len(keys)
    assert {"1-layer as_stated", "2-layer as_stated", "2-layer"} <= {r["series"] for r in table}
    for name in ("figure.png", "figure.pdf", "summary.json"):
        assert (results / name).stat().st_size > 1000
    assert len(list((results / "logs").glob("*/*/seed-*/events*"))) == len(found)
    for record in found:
        series = record.series.replace(" ", "_")
        (log,) = (results / "logs").glob(f"{record.panel}/{series}/seed-{record.seed}")
        events = event_accumulator.EventAccumulator(str(log), size_guidance={"tensors": 0}).Reload()
        points = events.Tensors(f"distance_from_optimum/{record.panel}")
        assert [point.step for point in points] == [t for t, _ in record.curves[record.panel]]
    left = {path.name for path in (results / "records").iterdir()}
    assert left == {*(f"{record.name}.json" for record in found)}


def test_a_record_is_of_the_run_that_it_names(finished):
    dataset = data.load_breast_cancer()
    by_name = {record.name: record for record in records.read_records(finished / "results")}
    record = by_name["fig3L_l2_1-layer-seed-1"]
    run = linear_networks.Run(p=2, depth=1, learning_rate=0.01, seed=1)
    (expected,) = linear_networks.train([run], dataset.features, dataset.targets, 40, [0, 40])
    _, least = optimum(dataset.features, dataset.targets, 2)
    found = dict(map(tuple, record.curves["fig3L_l2"]))
    for t, loss in expected.losses:
        assert found[t] == pytest.approx(loss - least, rel=1e-5)
    assert record.results["optimum"] == pytest.approx(least, rel=1e-5)
    assert by_name["fig3L_l2_1-layer_lr=10-seed-0"].results["diverged_at"] is not None
    # A slow flow follows the descent at the same pace.
    flow = dict(map(tuple, by_name["fig3R_l4_1-layer-seed-0"].curves["fig3R_l4"]))
    descent = dict(map(tuple, by_name["fig3R_l4_1-layer_lr=0.001-seed-0"].curves["fig3R_l4"]))
    assert flow[20] == pytest.approx(descent[40], rel=0.1)


def test_a_second_start_runs_nothing_again(finished, no_figure_files, monkeypatch):
    monkeypatch.chdir(finished)
    before = {path: path.stat().st_mtime_ns for path in finished.glob("results/records/*")}
    monkeypatch.setattr(linear_networks, "train", None)
    monkeypatch.setattr(runs, "gradient_flow", None)
    command(finished, "--seeds", "0", "1", "--resume")
    assert before == {path: path.stat().st_mtime_ns for path in finished.glob("results/records/*")}


def test_killed_anywhere_and_resumed_the_records_are_the_same(
    finished, tmp_path, no_figure_files, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(linear_networks.population, "SEGMENT", 1e7)
    monkeypatch.setattr(linear_networks.population, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    save, train = ResultsFolder.save, linear_networks.train
    saved = []

    def killed_while_training(*arguments):
        *others, report = arguments
        return train(*others, lambda t, alive: (report(t, alive), t >= 20 and stop()))

    def killed_while_saving(folder, record):
        save(folder, record)
        saved.append(record.name)
        if len(saved) == 3:
            stop()

    def stop():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(linear_networks, "train", killed_while_training)
        command(tmp_path, "--seeds", "0", "1")
    assert not records.read_records(tmp_path / "results")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(ResultsFolder, "save", killed_while_saving)
        command(tmp_path, "--seeds", "0", "1", "--resume")
    assert len(saved) == 3
    command(tmp_path, "--seeds", "0", "1", "--resume")
    assert numbers(tmp_path) == numbers(finished)


OTHER = """
import pathlib, select, shutil, sys
from reproduce.harness import files as disk
source, target = map(pathlib.Path, sys.argv[1:3])
target.mkdir(parents=True)
with disk.held(target.parent, sys.argv[3:]):
    print("held", flush=True)
    select.select([sys.stdin], [], [], 60)
    for path in source.glob("*.json"):
        shutil.copy(path, target)
"""


def test_what_another_process_is_at_is_waited_for_and_not_repeated(
    finished, tmp_path, no_figure_files, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(linear_networks, "train", None)
    monkeypatch.setattr(runs, "gradient_flow", None)
    there, here = finished / "results" / "records", tmp_path / "results" / "records"
    given = [str(there), str(here), *(path.stem for path in there.glob("*.json"))]
    arguments = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen([sys.executable, "-c", OTHER, *given], **arguments) as other:
        assert other.stdout.readline() == "held\n"

        class Heard(io.StringIO):
            def write(self, text):
                if not self.getvalue():  # It ends when this process has begun to wait.
                    print(file=other.stdin, flush=True)
                return super().write(text)

        monkeypatch.setattr(sys, "stderr", Heard())
        command(tmp_path, "--seeds", "0", "1")
    assert sys.stderr.getvalue().startswith("Waiting for another process, which is at fig3L_l2")
    assert numbers(tmp_path) == numbers(finished)


def numbers(folder):
    return {r.name: r.numbers() for r in records.read_records(folder / "results")}


def record(name, values, rate=0.1, diverged=None, seed=0, **facts):
    settings = {"curve": name, "flow": False, "plotted": False, "stated": None, **facts}
    return records.Record(
        series=f"{name} lr={rate:g}",
        seed=seed,
        learning_rate=rate,
        settings={"steps": 40, "learning_rate": rate, **settings},
        curves={"fig3L_l2": [list(point) for point in values]},
        results={"diverged_at": diverged, "left_plateau_at": None},
        provenance={},
        panel="fig3L_l2",
    )


def testas_stated_is_the_rate_with_the_least_final_loss(settings):
    found = [
        record("1-layer", [(0, 1), (40, 0.5)], 0.01, plotted=True),
        record("1-layer", [(0, 1), (40, 0.2)], 0.001),
        record("1-layer", [(0, 1), (3, 0.01)], 10, diverged=4),
        record("2-layer", [(0, 1), (40, 0.3)], 0.01),
        record("2-layer", [(0, 1), (40, 0.1)], 0.001, flow=True),
    ]
    derived = as_stated(found, settings)
    values = {each.series: each.curves["fig3L_l2"][-1][1] for each in derived}
    # Where no run is laid over the paper's curve, this one is.
    assert values == {"1-layer as_stated": 0.2, "2-layer as_stated": 0.3, "2-layer": 0.3}
    only_diverged = [dataclasses.replace(found[2])]
    assert as_stated(only_diverged, settings) == []


def testas_stated_is_the_rate_that_the_text_gives_even_if_it_diverges(tmp_path):
    values = yaml.safe_load(yaml.safe_dump(SMALL))
    values["panels"][0]["series"][0]["stated"] = 10.0
    found = [
        record("1-layer", [(0, 1), (40, 0.5)], 0.01, plotted=True, stated=False),
        record("1-layer", [(0, 1), (3, 0.01)], 10, diverged=4, stated=True),
    ]
    (derived,) = as_stated(found, load(tmp_path, values))
    assert derived.series == "1-layer as_stated" and derived.results["diverged_at"] == 4


def test_short_runs_say_nothing_of_the_paper(finished):
    summary = json.loads((finished / "results" / "summary.json").read_text())
    assert {verdict["verdict"] for verdict in summary["verdicts"]} == {claims.NOT_COMPARABLE}
    why = "the runs are shorter than those of the results"
    assert {verdict["measured"] for verdict in summary["verdicts"]} == {why}


def test_points_are_dense_and_hold_the_paper_s_iterations():
    points = runs._record_at("fig3L_l2", 1_000_000)
    assert 60 <= len(points) <= 200 and points[0] == 0 and points[-1] == 1_000_000
    assert set(paper.iterations("fig3L_l2")) <= set(points)
    assert np.all(np.diff(points) > 0)
