"""Results on disk: one record a run, written atomically, with provenance; resumable.

A results folder holds

    config.yaml          the configuration and the data that all of its runs share
    records/NAME.json    one file a run, written whole when the run ends
    records/*.npz        checkpoints of runs that have not ended
    records/.lock        empty: for the locks of the processes that work in the folder
    curves.csv           panel,series,seed,learning_rate,iteration,value: all curves of all records
    summary.json         verdicts, distances to the paper's curves, versions, times
    figure.png, figure.pdf

A folder belongs to one configuration and one data set. Runs of another are refused, so that
results made from real data are never overwritten or mixed with others. Any number of processes may
work in it: a run is done by one of them, the others wait for it.
"""

import csv
import dataclasses
import io
import json
import pathlib
import platform
import re
import socket
import subprocess
import typing
from importlib import metadata

import yaml

from reproduce.harness import strict_yaml
from reproduce.harness.errors import RecordsError
from reproduce.harness.files import held, write_atomically

VERSION = 1
CURVE_COLUMNS = ("panel", "series", "seed", "learning_rate", "iteration", "value")


@dataclasses.dataclass(frozen=True)
class Record:
    """One finished run.

    Attributes:
        series: Name of the curve; with `seed` and `panel` it names the run.
        seed: Integer.
        learning_rate: The run's initial learning rate; None of several runs with their own.
        settings: Everything that the numbers depend on, the data apart: plain values.
        curves: From panel to a list of `[iteration, value]`, iterations ascending.
        results: Numbers measured once per run: plain values.
        provenance: When, where, with which versions and for how long it ran.
        panel: The panel that it is a run of, where the same series has one in each panel.
    """

    series: str
    seed: int
    learning_rate: float | int | None
    settings: dict
    curves: dict
    results: dict
    provenance: dict
    panel: str = ""

    @property
    def name(self):
        return run_name(self.series, self.seed, self.panel)

    def numbers(self):
        """The record without what may differ between two runs of the same command."""
        values = dataclasses.asdict(self)
        del values["provenance"]
        return values


def run_name(series, seed, panel=""):
    """File name of a run, without its ending."""
    return f"{slug(f'{panel} {series}'.strip())}-seed-{seed}"


def slug(series):
    """A series name as part of a path: `lr=0.01 std=0.1` becomes `lr=0.01_std=0.1`."""
    return re.sub(r"[^A-Za-z0-9.=_-]+", "_", series)


class ResultsFolder:
    """The results folder `path`, made if it is missing.

    Args:
        path: The folder.
        identity: Plain values that all runs of the folder share: configuration and data.
        resume: Whether finished runs in the folder are to be kept and built upon.

    Raises:
        RecordsError: If the folder holds runs of another configuration, data set or version; or
            finished runs while `resume` is false; or if it cannot be written.
    """

    def __init__(self, path, identity, resume):
        self.path = pathlib.Path(path)
        try:
            (self.path / "records").mkdir(parents=True, exist_ok=True)
            with held(self._lock, ["config.yaml"]):
                self._claim({"records_version": VERSION, **identity})
        except OSError as error:
            raise RecordsError(
                f"Cannot write to the folder {self.path}: {error}. Choose another with --out."
            ) from error
        finished = len(list((self.path / "records").glob("*.json")))
        if finished and not resume:
            raise RecordsError(
                f"{self.path} holds {finished} finished runs. Add --resume to keep them and run "
                "only what is missing, or choose another folder with --out."
            )

    @property
    def _lock(self):
        return self.path / "records" / ".lock"

    def _claim(self, identity):
        path = self.path / "config.yaml"
        if not path.exists():
            write_atomically(path, yaml.safe_dump(identity, sort_keys=False))
            return
        try:
            found = strict_yaml.parse(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RecordsError(
                f"{path} is damaged: {error}. Choose another folder with --out."
            ) from error
        different = _differences(identity, found)
        if "records_version" in different:
            raise RecordsError(
                f"{self.path} holds results of another version of this program (see {path}). "
                "Choose another folder with --out, or use that version."
            )
        if different:
            raise RecordsError(
                f"{self.path} holds results of another configuration or data set (different: "
                f"{', '.join(sorted(different))}; see {path}). Choose another folder with --out."
            )

    def reserved(self, runs):
        """A context that keeps other processes from doing these runs (names).

        It waits for processes that are at one of them: ask `has` within it.
        """
        return held(self._lock, runs)

    def concluding(self):
        """A context that keeps other processes from writing what is made of all records."""
        return self.reserved(["the conclusion"])

    def checkpoint(self, name):
        """The path of a checkpoint; who writes it has reserved its runs."""
        return self.path / "records" / f"checkpoint-{slug(name)}.npz"

    def has(self, series, seed, settings, panel=""):
        """Whether this run is finished.

        Raises:
            RecordsError: If a run of that name but with other settings is.
        """
        path = self._record_path(run_name(series, seed, panel))
        if not path.exists():
            return False
        if read_record(path).settings != settings:
            raise RecordsError(
                f"{path} was made with other settings. Choose another folder with --out."
            )
        return True

    def save(self, record):
        """Write a finished run, whole or not at all."""
        text = json.dumps(dataclasses.asdict(record), allow_nan=False)
        write_atomically(self._record_path(record.name), text + "\n")

    def records(self):
        """All finished runs, by name."""
        return read_records(self.path)

    def write_curves(self, records):
        """Write `curves.csv`: every curve of `records`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CURVE_COLUMNS)
        for record in records:
            for panel, points in record.curves.items():
                for iteration, value in points:
                    row = (panel, record.series, record.seed, record.learning_rate, iteration)
                    writer.writerow((*row, f"{value:.6g}"))
        write_atomically(self.path / "curves.csv", text.getvalue())

    def write_summary(self, summary):
        """Write `summary.json`: plain values."""
        text = json.dumps(summary, indent=1, allow_nan=False)
        write_atomically(self.path / "summary.json", text + "\n")

    def _record_path(self, name):
        return self.path / "records" / f"{name}.json"


def read_records(path):
    """The finished runs in a results folder, sorted by name, as a list of `Record`."""
    return [read_record(p) for p in sorted((pathlib.Path(path) / "records").glob("*.json"))]


def read_record(path):
    """One finished run.

    Raises:
        RecordsError: If the file is no record, or that of a run of another name.
    """
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        _check(record, path.stem)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RecordsError(
            f"{path} is no record of this version: {error}. Delete it; the run is then repeated."
        ) from error
    return record


def _check(record, name):
    """Raise a ValueError unless the record's fields are what it says, and it is of that name."""
    for field, kind in typing.get_type_hints(Record).items():
        if not isinstance(getattr(record, field), kind):
            raise ValueError(f"`{field}` is {getattr(record, field)!r}")
    for panel, curve in record.curves.items():
        if not all(isinstance(n, (int, float)) for t, value in curve for n in (t, value)):
            raise ValueError(f"the curve {panel!r} is not of [iteration, value]")
    if record.name != name:
        raise ValueError(f"it is that of {record.name}")


def _differences(wanted, found, prefix=""):
    """Keys, like `config.steps`, whose values differ between two nested dicts."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = {**wanted, **found}
        pairs = [(wanted.get(key), found.get(key), f"{prefix}.{key}") for key in keys]
        return [name for pair in pairs for name in _differences(*pair)]
    return [] if wanted == found else [prefix.lstrip(".") or "everything"]


def provenance(device, dataset):
    """What a record says of the program, the data and the machine that made it: plain values."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(
            _git("status", "--porcelain", "--", "tfoverparam", "reproduce", "configs")
        ),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint},
        "device": device,
        "host": socket.gethostname(),
    }


def _git(*arguments):
    """What git says about this checkout; None where there is no git or no checkout."""
    root = pathlib.Path(__file__).parents[1]
    try:
        result = subprocess.run(
            ["git", "-C", str(root.parent), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
