"""A finished run: numbers, the settings that they depend on, and where they come from."""

import dataclasses
import functools
from importlib import metadata
import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import time
import types
import typing

from reproduce.harness.config import digest
from reproduce.harness.errors import RecordsError

NO_DATA = types.SimpleNamespace(description="", fingerprint="")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of an experiment, before it is done.

    Attributes:
        series: Name of the curve; with `seed` and `panel` it names the run.
        seed: Integer.
        settings: Everything that the numbers depend on, the data apart: plain values.
        panel: The panel that it is a run of, where the same series has one in each panel.
    """

    series: str
    seed: int
    settings: dict
    panel: str = ""

    @property
    def name(self):
        return run_name(self.series, self.seed, self.panel)

    @property
    def together(self):
        """What the runs that are trained together have in common; without panels, each is alone."""
        return self.panel or self.name

    @property
    def title(self):
        return f"{self.panel} {self.series}, seed {self.seed}".strip()

    def record(self, curves, results, provenance):
        """The run when it is done, a `Record`."""
        return Record(
            series=self.series,
            seed=self.seed,
            learning_rate=self.settings.get("learning_rate"),
            settings=self.settings,
            curves=curves,
            results=results,
            provenance={**provenance, "settings_digest": digest(self.settings)},
            panel=self.panel,
        )


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


def rebuilt(kind, settings, **changes):
    """An object of the dataclass `kind` from what a record's settings say of its fields."""
    fields = {field.name: settings[field.name] for field in dataclasses.fields(kind)}
    return kind(**{**fields, **changes})


def run_name(series, seed, panel=""):
    """File name of a run, without its ending."""
    return f"{slug(f'{panel} {series}'.strip())}-seed-{seed}"


def slug(series):
    """A series name as part of a path: `lr=0.01 std=0.1` becomes `lr=0.01_std=0.1`."""
    return re.sub(r"[^A-Za-z0-9.=_-]+", "_", series)


def read_records(path):
    """The finished runs in a results folder, sorted by name, as a list of `Record`."""
    return [read_record(p) for p in sorted((pathlib.Path(path) / "records").glob("*.json"))]


def read_record(path):
    """One finished run.

    Raises:
        RecordsError: If the file does not hold a record, or holds that of a run of another name.
    """
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        _check(record, path.stem)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RecordsError(
            f"{path} does not hold a record of this version: {error}. Delete it; the run is then "
            "repeated."
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


def provenance(task, started, together=1, **more):
    """What a record says of the program, the data and the machine that made it: plain values.

    Args:
        task: The data set.
        started: When its training began, a time of `time.time()`.
        together: How many runs were trained together, and share the time.
        more: What else there is to say.
    """
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round((time.time() - started) / together, 1),
        **more,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(
            _git("status", "--porcelain", "--", "tfoverparam", "reproduce", "configs")
        ),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "data": {"fingerprint": task.fingerprint},
        "device": device(),
        "host": socket.gethostname(),
    }


def device():
    """The GPU that TensorFlow found, or how many cores this process may use."""
    import tensorflow as tf  # Commands that compute nothing do not wait for it.

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    restricted = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if restricted else os.cpu_count() or 1
    return f"CPU, {cores} core{'s' if cores > 1 else ''}"


@functools.cache
def _git(*arguments):
    """What git says about this checkout; None where there is no git or no checkout."""
    root = pathlib.Path(__file__).parents[2]
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
