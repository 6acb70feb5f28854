"""The main job on two workers against one machine, and shares of a figure against the whole."""

import json
import pathlib
import shutil
import sys

from reproduce.harness import records
from tools.reliability import processes
from tests.helpers.workers import run_together, tf_configs
from tools.reliability.table import Row

# Sooner or later a rounding of float32 decides which of two pixels is a maximum, and from there on
# two trainings part, as they do on two kinds of machine: that is told, not asked for. In float64
# there is no such tie.
EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23}
STEPS, SEEDS = 30, ["0", "1"]
BATCH = 32
JOB = ["--quiet", "--set", f"batch_size={BATCH}", "--steps", str(STEPS)]
ARMS = ["original", "overparameterized", "l2_on_every_factor", "second_network"]


def run(folders, commands, environments=None):
    """Commands of `reproduce`, each in its folder, at the same time; a failure is an error."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    outcomes = run_together(
        [[sys.executable, "-m", *command] for command in commands],
        [
            {"HOME": str(folder), **processes.PREPARED, **more}
            for folder, more in zip(folders, environments or [{}] * len(folders))
        ],
        seconds=1800,
        cwd=folders,
    )
    for (status, _, errors), command in zip(outcomes, commands):
        if status != 0:
            raise RuntimeError(f"{' '.join(command)} ended with status {status}:\n{errors}")


def loss_deviations(ours, reference):
    """The largest relative difference of a loss, by the run's folder."""
    import numpy as np

    found = {}
    for path in reference.rglob("series.npz"):
        expected, losses = np.load(path), np.load(ours / path.relative_to(reference))
        (panel,) = set(expected) - {"cross_entropy", "l2_term"}
        difference = np.abs(losses[panel] / expected[panel] - 1)
        found[str(path.parent.relative_to(reference))] = float(np.max(difference))
    return found


def main_job_rows(folder):
    """A row for each precision and each of the two networks."""
    return [
        row
        for floatx, epsilon in EPSILONS.items()
        for row in _main_job_rows(folder / floatx, floatx, epsilon)
    ]


def _main_job_rows(folder, floatx, epsilon):
    folder.mkdir(parents=True)
    (folder / "keras.json").write_text(json.dumps({"floatx": floatx}))
    keras_home = {"KERAS_HOME": str(folder)}
    command = ["reproduce.figure5_right", *JOB, "--seeds", *SEEDS, "--arms", *ARMS]
    one, *workers = (folder / name for name in ("one", "chief", "other"))
    run([one], [command], [keras_home])
    run(
        workers,
        [[*command, "--strategy", "multi-worker"]] * 2,
        [{**keras_home, "TF_CONFIG": config} for config in tf_configs(2)],
    )
    rows = []
    for network, is_second in (("tutorial's network", False), ("second network", True)):
        found = [
            deviation
            for name, deviation in loss_deviations(workers[0], one).items()
            if ("second_network" in name) == is_second
        ]
        what = f"main job on two workers, {floatx}: {network}, losses of {STEPS} iterations"
        held = sum(deviation <= STEPS * BATCH * epsilon for deviation in found)
        needed = len(found) if floatx == "float64" else 0
        rows.append(Row(what, len(found), held, max(found), needed))
    return rows


def share_rows(folder):
    """A row for each kind of figure: two shares in folders of their own, merged, concluded."""
    rows = []
    for figure, tolerance in (("figure3", 1e-5), ("figure5_right", 0.0)):
        folders = [folder / figure / name for name in ("whole", "share-1", "share-2", "merged")]
        for each in folders:
            each.mkdir(parents=True)
        commands = [
            [f"reproduce.{figure}", *processes.arguments(figure, each, *more)]
            for each, more in zip(
                folders,
                ([], ["--shard", "1/2"], ["--shard", "2/2"], ["--resume"]),
            )
        ]
        run(folders[:3], commands[:3])
        (folders[3] / "results/records").mkdir(parents=True)
        for share in folders[1:3]:
            for path in (share / "results/records").glob("*.json"):
                shutil.copy(path, folders[3] / "results/records")
        run(folders[3:], commands[3:])
        whole, merged = (_values(each / "results") for each in (folders[0], folders[3]))
        found = [_deviation(merged.get(name), whole[name]) for name in whole]
        what = f"`{figure} --shard 1/2` and `2/2` in separate folders, merged: runs"
        held = sum(each <= tolerance for each in found) if len(merged) == len(whole) else 0
        rows.append(Row(what, len(found), held, max(found)))
    return rows


def _values(path: pathlib.Path):
    return {record.name: record.numbers() for record in records.read_records(path)}


def _deviation(ours, theirs):
    """The largest relative difference of a float; infinite if anything else differs."""
    if isinstance(theirs, float) and isinstance(ours, float):
        return abs(ours - theirs) / abs(theirs) if ours != theirs else 0.0
    if isinstance(theirs, dict) and isinstance(ours, dict) and ours.keys() == theirs.keys():
        return max((_deviation(ours[key], theirs[key]) for key in theirs), default=0.0)
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        return max(map(_deviation, ours, theirs), default=0.0)
    return 0.0 if ours == theirs else float("inf")
