"""Results folders that are not what they should be: a part of `tools.reliability.disks`."""

import io
import pathlib
import pickle
import shutil
import signal
import time

import numpy as np

from tools.reliability import processes
from tools.reliability.kills import numbers

RECORD = "records/fig3L_l2_1-layer-seed-0.json"


def rows(bench, row):
    """All rows; `row` makes one."""
    for part in (refused, checkpoints, together, deleted):
        yield from part(bench, row)


def refused(bench, row):
    """Faults that end the command, each with words of what it then says."""
    whole = (bench.finished / "results" / RECORD).read_text("utf-8")
    config = (bench.finished / "results" / "config.yaml").read_text("utf-8")
    records = {
        "empty": "",
        "truncated": whole[: len(whole) // 2],
        "not JSON": "seed: 0\n",
        "a list": "[]",
        "with an unknown field": whole.replace("{", '{"unknown": 1, ', 1),
        "without a field": whole.replace('"seed": 0, ', "", 1),
        "with a seed that is text": whole.replace('"seed": 0', '"seed": "0"', 1),
        "of another run": whole.replace('"seed": 0', '"seed": 5', 1),
        "in another encoding": whole.encode("utf-16"),
    }
    configs = {
        "of another version": config.replace("records_version: 1", "records_version: 0"),
        "of another configuration": config.replace("steps: 2000", "steps: 3000"),
        "of other data": config.replace("fingerprint: ", "fingerprint: 0"),
        "not YAML": "a: [",
        "a list": "- 1\n",
        "empty": "",
        "binary": b"\xff\xfe\x00",
        "with an alias of itself": "records_version: 1\na: &a {b: *a}\n",
        "with an object tag": "!!python/object/apply:os.system ['touch executed']\n",
    }
    for what, content in records.items():
        yield row(f"record {what}", [_altered(bench, RECORD, content, "no record of this version")])
    for what, content in configs.items():
        words = "of another" if what.startswith("of ") else "cannot be read"
        yield row(f"config.yaml {what}", [_altered(bench, "config.yaml", content, words)])
    folder = bench.new_folder(bench.finished / "results")
    outcome = bench.run("figure3", folder, "--set", "steps=10")
    yield row("folder of another configuration", [bench.refused(outcome, "config.steps", "--out")])
    folder = bench.new_folder()
    (folder / "results").write_text("mine")
    found = bench.refused(bench.run("figure3", folder), "results", "Choose another")
    found += [] if (folder / "results").read_text() == "mine" else ["the file was changed"]
    yield row("--out is a file", [found])


def _altered(bench, name, content, words):
    """Faults after a file of the folder was replaced; nothing in the folder may change."""
    folder = bench.new_folder(bench.finished / "results")
    path = folder / "results" / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = _contents(folder / "results")
    found = bench.refused(bench.run("figure3", folder), path.name, words)
    if _contents(folder / "results") != before or (folder / "executed").exists():
        found.append("something was written")
    return found


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _Executed:
    """Unpickled, it leaves a file."""

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("executed"),)


def checkpoints(bench, row):
    """A checkpoint that cannot be used: said in a line, and the same records in the end."""
    interrupted = bench.new_folder()
    given = ["--config", "small.yaml", "--seeds", "0", "1", "--quiet"]
    shutil.copy(bench.finished / "small.yaml", interrupted)
    process = bench.forks.start("figure3", interrupted, *given, "--out", "results")
    while not (found := list(interrupted.glob("results/records/*.npz"))):
        time.sleep(0.001)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    content = found[0].read_bytes()
    arrays = dict(np.load(found[0], allow_pickle=False))
    altered = {
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "garbage": bytes(range(256)) * 40,
        "with a flipped bit": _flipped(content),
        "a pickle": pickle.dumps(_Executed()),
        "with a pickle in it": _npz({**arrays, "curves": np.array([_Executed()], object)}),
        "without an array": _npz({k: v for k, v in arrays.items() if k != "curves"}),
        "with an array of another shape": _npz({**arrays, "curves": arrays["curves"][:-1]}),
        "with a state of another shape": _npz({**arrays, "state.0.0.0": np.zeros((2, 1, 1))}),
        "of another configuration": _npz({**arrays, "identity": np.array("0" * 64)}),
    }
    for what, new in altered.items():
        folder = bench.new_folder(interrupted / "results")
        (folder / "results" / found[0].relative_to(interrupted / "results")).write_bytes(new)
        faults = bench.goes_on(folder)
        printed = (folder / "printed").read_text("utf-8")
        if printed.count("is damaged, or of other runs") != 1 or "Traceback" in printed:
            faults.append(f"it said {printed[-300:]!r}")
        if (folder / "executed").exists():
            faults.append("the pickle was executed")
        yield row(f"checkpoint {what}", [faults])
    folder = bench.new_folder(interrupted / "results")
    faults = bench.goes_on(folder)
    if "is damaged" in (folder / "printed").read_text("utf-8"):
        faults.append("it was not used")
    yield row("checkpoint that is sound: gone on from", [faults])


def _npz(arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def together(bench, row):
    """Several processes in one folder at once: each run is done once, all end well."""
    for what, shares, tolerance in (
        ("three processes of one command at once", [[], [], []], 0.0),
        # Which runs are trained together may decide the last of the six digits: one unit of it.
        ("two shares at once in one folder", [["--shard", "1/2"], ["--shard", "2/2"]], 1e-5),
    ):
        folder = bench.new_folder()
        started = [
            bench.forks.start(
                "figure3", folder, *processes.arguments("figure3", folder, "--resume", *share)
            )
            for share in shares
        ]
        statuses = [process.wait() for process in started]
        last = (folder / "printed").read_text("utf-8")[-300:]
        faults = [f"ended with {statuses}: {last!r}"] if any(statuses) else []
        status, printed = bench.run("figure3", folder)
        faults += [f"then {status}: {printed[-300:]!r}"] if status else []
        deviation = largest_deviation(numbers(folder / "results"), bench.expected)
        if deviation > tolerance:
            faults.append(f"the records differ by {deviation:.1e}")
        logs = list(folder.glob("results/logs/**/events*"))
        if len(logs) != len(bench.expected):
            faults.append(f"{len(logs)} logs of {len(bench.expected)} runs")
        yield row(what, [faults], deviation)


def largest_deviation(found, expected):
    """Between the curves of records, relative; infinite where they have not the same points."""
    if found == expected:
        return 0.0
    if found.keys() != expected.keys():
        return np.inf
    result = 0.0
    for name in found:
        for panel, curve in expected[name]["curves"].items():
            ours, theirs = np.array(found[name]["curves"][panel]), np.array(curve)
            if ours.shape != theirs.shape or (ours[:, 0] != theirs[:, 0]).any():
                return np.inf
            gap = np.abs(ours[:, 1] - theirs[:, 1]) / np.abs(theirs[:, 1])
            result = max(result, float(np.max(gap, initial=0.0, where=gap > 0)))
    return result


def deleted(bench, row):
    """The folder is deleted while a process works in it: nothing of it comes back by itself."""
    folder = bench.new_folder()
    given = processes.arguments("figure3", folder, "--resume")
    process = bench.forks.start("figure3", folder, *given)
    while not list(folder.glob("results/records/*.npz")) and process.poll() is None:
        time.sleep(0.001)
    (folder / "results").rename(folder / "taken away")
    outcome = process.wait(), (folder / "printed").read_text("utf-8")
    found = bench.refused(outcome, "results", "No such file or directory")
    if (folder / "results").exists():
        found.append("it came back")
    (folder / "taken away").rename(folder / "results")
    yield row("results folder deleted under a running process", [found + bench.goes_on(folder)])
