"""The command: what it runs, what it leaves behind, and that it can be interrupted anywhere."""

import contextlib
import csv
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from reproduce import data, figure5_right, report
from reproduce.harness import cli, config, records
from reproduce.harness.results_folder import ResultsFolder, curves_csv

ROOT = pathlib.Path(__file__).parents[2]
ARMS = figure5_right.Figure.arms
RESULTS = "runs/figure5_right/results"


@pytest.fixture(scope="module")
def settings():
    return config.load(cli.ROOT / "configs" / "figure5_right.yaml", figure5_right.Config)


def command(folder, *arguments):
    """The command as a user would start it, but in an empty folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "reproduce.figure5_right", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(folder, *arguments):
    process = command(folder, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def numbers(path):
    return {record.name: record.numbers() for record in records.read_records(path)}


def test_plan_names_every_run_once(settings):
    runs = figure5_right.plan(settings, ARMS, seeds=[0, 1])
    # 2 + 2 + 2 arms, 2 x 9 rates and stds, 4 stds, 2 second networks; two seeds each.
    assert len(runs) == 2 * (2 + 2 + 2 + 18 + 4 + 2)
    assert len({run.name for run in runs}) == len(runs)
    assert all(run.settings["seed"] == run.seed for run in runs)
    assert {run.settings["arm"] for run in runs} == set(ARMS)


def test_plan_changes_only_what_an_arm_is_about(settings):
    runs = {run.series: run.settings for run in figure5_right.plan(settings, ARMS, seeds=[0])}
    base = runs["original"]

    def changed(series):
        return {key: value for key, value in runs[series].items() if value != base[key]}

    assert base["arm"] == "original"
    assert changed("overparameterized") == {"arm": "overparameterized", "depth": 2}
    for arm, target in (
        ("l2_on_first_factor", "first_factor"),
        ("l2_on_every_factor", "every_factor"),
    ):
        assert changed(arm) == {"arm": arm, "depth": 2, "l2_on": target}
    assert changed("no_l2 original") == {"arm": "no_l2", "l2": 0.0}
    assert changed("no_l2 overparameterized") == {"arm": "no_l2", "depth": 2, "l2": 0.0}
    assert changed("original lr=0.02 std=0.05") == {
        "arm": "alternative_rates",
        "steps": 3000,
        "learning_rate": 0.02,
        "stddev": 0.05,
        "factor_stddev": 0.05,
    }
    assert changed("overparameterized factor-std=0.5") == {
        "arm": "alternative_stddevs",
        "depth": 2,
        "steps": 3000,
        "factor_stddev": 0.5,
    }


def test_plan_with_the_tutorials_seeds(settings):
    (run,) = figure5_right.plan(settings, ["original"], [66478], tutorial_seeds=True)
    assert (run.series, run.seed) == ("original tutorial-seeds", 66478)
    assert run.settings["tutorial_seeds"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, some_digits):
    """A folder in which two short runs have ended, and what was printed."""
    folder = tmp_path_factory.mktemp("finished")
    small = ["--quiet", "--set", "validation_size=50"]
    arguments = ["--steps", "6", "--seeds", "0", "1", "--arms", "original", *small]
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(data, "load_mnist", lambda *_: some_digits)
            figure5_right.main(arguments)
    return folder, arguments, out.getvalue()


def test_shards_share_the_runs_among_them(settings):
    figure = figure5_right.Figure()
    runs = figure5_right.plan(settings, ARMS, seeds=[0, 1, 2])
    shares = [
        cli.share(cli.parse(figure, ["--shard", f"{number}/4"]), runs, figure.share_of)
        for number in (1, 2, 3, 4)
    ]
    names = [run.name for share in shares for run in share]
    assert sorted(names) == sorted(run.name for run in runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert cli.share(cli.parse(figure, []), runs, figure.share_of) == runs


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "2", "a/b", "-1/2"])
def test_a_share_that_makes_no_sense_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        cli.parse(figure5_right.Figure(), [f"--shard={text}"])
    assert "a share is I/N" in capsys.readouterr().err


def rows(path):
    """The rows of a `curves.csv`; each point is there once."""
    with path.open() as file:
        table = list(csv.DictReader(file))
    keys = [(row["panel"], row["series"], row["seed"], row["iteration"]) for row in table]
    assert len(set(keys)) == len(keys)
    return table


def test_a_run_leaves_records_curves_summary_figure_and_logs(finished):
    folder, _, out = finished
    results = folder / RESULTS
    assert sorted(path.name for path in results.iterdir()) == [
        ".locks",
        "config.yaml",
        "curves.csv",
        "figure.pdf",
        "figure.png",
        "hero.png",
        "logs",
        "records",
        "summary.json",
    ]
    lines = out.splitlines()
    assert lines[0] == "Some digits"
    assert lines[-2] == f"TensorBoard: tensorboard --logdir {RESULTS}/logs"
    assert lines[-1].startswith("Then open http://localhost:6006/?smoothing=0&pinnedCards=")
    for seed in (0, 1):
        kept = (results / f"logs/original/seed-{seed}").iterdir()
        assert {path.name.split(".")[0] for path in kept} == {"events", "series"}
    assert {row["seed"] for row in rows(results / "curves.csv")} == {"0", "1"}


def test_what_is_printed_is_a_table_of_its_runs_and_why_nothing_is_judged(finished):
    folder, _, out = finished
    lines = out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("series"))
    columns = "series seed loss cross-entropy L2 term validation error test error seconds"
    assert lines[header].split() == columns.split()
    for seed, line in enumerate(lines[header + 1 : header + 3]):
        record = records.read_record(folder / RESULTS / f"records/original-seed-{seed}.json")
        loss, cross_entropy, l2_term = (curve[-1][1] for curve in record.curves.values())
        errors = (record.results[f"{kind}_error"] for kind in ("validation", "test"))
        numbers = [loss, cross_entropy, l2_term, *errors, record.provenance["seconds"]]
        assert line.split() == ["original", str(seed), *(f"{each:.4g}" for each in numbers)]
    (why,) = (line for line in lines if "cannot be judged" in line)
    assert why.endswith("the runs are shorter than those of the results")


def test_a_second_start_keeps_what_is_finished(
    finished, small_mnist, no_figure_files, monkeypatch, capsys
):
    folder, arguments, _ = finished
    monkeypatch.chdir(folder)
    results = folder / RESULTS
    before = {path: path.read_bytes() for path in (results / "records").iterdir()}
    with pytest.raises(SystemExit) as ended:
        figure5_right.main(arguments)
    assert ended.value.code == 2
    assert "holds 2 finished runs. Add --resume" in capsys.readouterr().err
    figure5_right.main([*arguments, "--resume"])
    assert {path: path.read_bytes() for path in (results / "records").iterdir()} == before


def test_a_smoke_run_says_how_long_the_whole_takes_and_may_be_repeated(
    small_mnist, no_figure_files, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    arguments = ["--smoke", "--arms", "original", "--set", "smoke_steps=1", *small_mnist]
    for _ in range(2):
        figure5_right.main(arguments)
        assert "It works here. The whole takes about 3 minutes" in capsys.readouterr().out
    assert (tmp_path / "runs/smoke/figure5_right/results/summary.json").exists()


SHORT = ["--steps", "3", "--seeds", "0", "1", "--arms", "original", "--quiet"]


@pytest.fixture
def prepared(tfds_data_dir):
    """MNIST, which other processes then find prepared."""
    data.load_mnist(tfds_data_dir)


@pytest.mark.slow
def test_killed_anywhere_and_resumed_the_records_are_those_of_an_uninterrupted_run(
    prepared, tmp_path
):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    status, _, err = run(tmp_path / "whole", *SHORT)
    assert status == 0, err
    expected = numbers(tmp_path / "whole" / RESULTS)
    out = tmp_path / "killed" / RESULTS
    generator = random.Random()  # a new moment each time the test runs
    for wait_for in (0, 1):  # killed before the first record is there, and after it
        process = command(tmp_path / "killed", *SHORT, "--resume")
        while len(list((out / "records").glob("*.json"))) < wait_for:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        moment = generator.uniform(0, 12 if wait_for == 0 else 2)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    status, _, err = run(tmp_path / "killed", *SHORT, "--resume")
    assert status == 0, err
    assert numbers(out) == expected, f"killed {moment} s after the first record"


@pytest.mark.slow
def test_ctrl_c_ends_with_a_line_that_says_how_to_go_on(prepared, tmp_path):
    process = command(tmp_path, "--steps", 100000, "--quiet")
    logs = tmp_path / RESULTS / "logs/original/seed-0"
    while not list(logs.glob("events*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("Interrupted.") and "--resume" in err
    assert "Traceback" not in err


def test_results_on_other_data_are_not_mixed(small_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "results"
    ResultsFolder(out, {"figure": "figure5_right", "data": {"fingerprint": "MNIST"}}, False)
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(SystemExit) as ended:
        figure5_right.main(["--smoke", "--out", str(out), "--resume", *small_mnist])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "another configuration or data set" in err and "data.fingerprint" in err
    assert (out / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--set", "learning_rat=1"], "Did you mean `learning_rate`?"),
        (["--steps", "0"], "`steps` must be positive"),
        (["--seeds", "-1"], "a seed is an integer >= 0"),
        (["--arms", "nothing"], "invalid choice: 'nothing'"),
        (["--arms", "no_l2", "--tutorial-seeds"], "--tutorial-seeds"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--set", "batch_size=100000"], "`batch_size`"),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_one_clear_message(
    arguments, message, small_mnist, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        figure5_right.main([*small_mnist, *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_help_names_every_arm(capsys):
    with pytest.raises(SystemExit):
        figure5_right.main(["--help"])
    text = capsys.readouterr().out
    assert all(arm in text for arm in ARMS)


COMMITTED = sorted((ROOT / "results").glob("*/summary.json"))
COMMITTED_CURVES = sorted((ROOT / "results").glob("*/curves.csv"))


@pytest.mark.parametrize("path", COMMITTED_CURVES, ids=lambda path: path.parent.name)
def test_committed_curves_are_those_of_the_committed_records(path):
    assert len(rows(path)) > 100
    written = curves_csv(records.read_records(path.parent))
    # There may be more: copies of the best runs, under a name of their own.
    assert set(written.splitlines()) <= set(path.read_text().splitlines())


def test_the_committed_report_is_what_the_summaries_say(tmp_path):
    written = ("README.md", "results/README.md")
    for path in (*written, *(path.relative_to(ROOT) for path in COMMITTED)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    report.write(tmp_path)
    for path in written:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), path
