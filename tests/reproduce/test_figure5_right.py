"""The command: what it runs, what it leaves behind, and that it can be interrupted anywhere."""

import contextlib
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from reproduce import figure5_right, report
from reproduce.harness import cli, config, records

ROOT = pathlib.Path(__file__).parents[2]
STAND_IN = ["--data", "stand-in", "--quiet"]


@pytest.fixture(scope="module")
def settings():
    return config.load(cli.CONFIGS / "figure5_right.yaml", figure5_right.Config)


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
    runs = figure5_right.plan(settings, figure5_right.ARMS, seeds=[0, 1])
    # 2 + 2 + 2 arms, 2 x 9 rates and stds, 4 stds, 2 second networks; two seeds each.
    assert len(runs) == 2 * (2 + 2 + 2 + 18 + 4 + 2)
    assert len({records.run_name(*key) for key in runs}) == len(runs)
    assert all(training.seed == seed for (_, seed), training in runs.items())


def test_plan_changes_only_what_an_arm_is_about(settings):
    runs = figure5_right.plan(settings, figure5_right.ARMS, seeds=[0])
    base = vars(runs["original", 0])

    def changed(series):
        training = vars(runs[series, 0])
        return {key: value for key, value in training.items() if value != base[key]}

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
    runs = figure5_right.plan(settings, ["original"], [66478], tutorial_seeds=True)
    assert list(runs) == [("original tutorial-seeds", 66478)]
    assert runs["original tutorial-seeds", 66478].tutorial_seeds


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which two short runs on the stand-in have ended, and what was printed."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = ["--steps", "6", "--seeds", "0", "1", "--arms", "original", *STAND_IN]
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        figure5_right.main(arguments)
    return folder, arguments, out.getvalue()


def test_shards_share_the_runs_among_them(settings):
    runs = figure5_right.plan(settings, figure5_right.ARMS, seeds=[0, 1, 2])
    parser = cli.parser("figure5_right", "", figure5_right.ARMS, ["original"])
    shares = [
        cli.shard(parser.parse_args(["--shard", f"{number}/4"]), runs) for number in (1, 2, 3, 4)
    ]
    assert sorted(key for share in shares for key in share) == sorted(runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert cli.shard(parser.parse_args([]), runs) == runs


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "2", "a/b", "-1/2"])
def test_a_share_that_makes_no_sense_is_refused(text, capsys):
    parser = cli.parser("figure5_right", "", figure5_right.ARMS, ["original"])
    with pytest.raises(SystemExit):
        parser.parse_args([f"--shard={text}"])
    assert "a share is I/N" in capsys.readouterr().err


def test_a_run_leaves_records_curves_summary_figure_and_logs(finished):
    folder, _, out = finished
    results = folder / "runs/stand-in/figure5_right/results"
    assert sorted(path.name for path in results.iterdir()) == [
        "config.yaml",
        "curves.csv",
        "figure.pdf",
        "figure.png",
        "records",
        "summary.json",
    ]
    assert "STAND-IN" in out.splitlines()[0]
    assert "NOT COMPARABLE" in out
    logs = "runs/stand-in/figure5_right"
    assert out.splitlines()[-1] == f"TensorBoard: tensorboard --logdir {logs}"
    for seed in (0, 1):
        kept = (folder / logs / f"original/seed-{seed}").iterdir()
        assert {path.name.split(".")[0] for path in kept} == {"events", "series"}
    table = pd.read_csv(results / "curves.csv")
    assert not table.duplicated(["panel", "series", "seed", "iteration"]).any()
    assert set(table.seed) == {0, 1}


def test_a_second_start_keeps_what_is_finished(finished, monkeypatch, capsys):
    folder, arguments, _ = finished
    monkeypatch.chdir(folder)
    results = folder / "runs/stand-in/figure5_right/results"
    before = {path: path.read_bytes() for path in (results / "records").iterdir()}
    with pytest.raises(SystemExit) as ended:
        figure5_right.main(arguments)
    assert ended.value.code == 2
    assert "holds 2 finished runs. Add --resume" in capsys.readouterr().err
    figure5_right.main([*arguments, "--resume"])
    assert {path: path.read_bytes() for path in (results / "records").iterdir()} == before


def test_killed_anywhere_and_resumed_the_records_are_those_of_an_uninterrupted_run(
    finished, tmp_path
):
    folder, arguments, _ = finished
    expected = numbers(folder / "runs/stand-in/figure5_right/results")
    out = tmp_path / "runs/stand-in/figure5_right/results"
    generator = random.Random()  # a new moment each time the test runs
    for wait_for in (0, 1):  # killed before the first record is there, and after it
        process = command(tmp_path, *arguments, "--resume")
        while len(list((out / "records").glob("*.json"))) < wait_for:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        moment = generator.uniform(0, 12 if wait_for == 0 else 2)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    status, _, err = run(tmp_path, *arguments, "--resume")
    assert status == 0, err
    assert numbers(out) == expected, f"killed {moment} s after the first record"


def test_ctrl_c_ends_with_a_line_that_says_how_to_go_on(tmp_path):
    process = command(tmp_path, "--steps", 100000, *STAND_IN)
    logs = tmp_path / "runs/stand-in/figure5_right/original/seed-0"
    while not list(logs.glob("events*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("Interrupted.") and "--resume" in err
    assert "Traceback" not in err


def test_results_from_real_data_are_not_mixed_with_a_stand_ins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "results"
    records.ResultsFolder(out, {"figure": "figure5_right", "data": {"source": "real"}}, False)
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(SystemExit) as ended:
        figure5_right.main(["--smoke", "--out", str(out), "--resume", *STAND_IN])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "another configuration or data set" in err and "data.source" in err
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
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        figure5_right.main([*arguments, *STAND_IN])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_help_names_every_arm(capsys):
    with pytest.raises(SystemExit):
        figure5_right.main(["--help"])
    text = capsys.readouterr().out
    assert all(arm in text for arm in figure5_right.ARMS)


COMMITTED = sorted((ROOT / "results").glob("*/summary.json"))
COMMITTED_CURVES = sorted((ROOT / "results").glob("*/curves.csv"))


@pytest.mark.parametrize("path", COMMITTED_CURVES, ids=lambda path: path.parent.name)
def test_committed_curves_are_those_of_the_committed_records(path, tmp_path):
    table = pd.read_csv(path)
    assert not table.duplicated(["panel", "series", "seed", "iteration"]).any()
    copy = records.ResultsFolder(tmp_path, {}, resume=True)
    copy.write_curves(records.read_records(path.parent))
    # There may be more: copies of the best runs, under a name of their own.
    written, found = ((each / "curves.csv").read_text() for each in (tmp_path, path.parent))
    assert len(written.splitlines()) > 100
    assert set(written.splitlines()) <= set(found.splitlines())


def test_the_committed_report_is_what_the_summaries_say(tmp_path):
    written = ("README.md", "results/README.md")
    for path in (*written, *(path.relative_to(ROOT) for path in COMMITTED)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text((ROOT / path).read_text())
    report.write(tmp_path)
    for path in written:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), path
