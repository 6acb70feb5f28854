"""The results folder of a command that needs no data and trains nothing."""

import json
import os
import types

from reproduce import report
from reproduce.harness import config, files as disk, records
from reproduce.harness.errors import UsageError

NO_DATA = types.SimpleNamespace(description="none", source="none", fingerprint="")


def results_folder(path):
    """`path` as a folder that exists and can be written to.

    Raises:
        UsageError: If it cannot be made.
        RecordsError: If it cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot write to the folder {path}: {error}") from error
    with writing_to(path):
        return path


def writing_to(folder):
    """A context that keeps other processes from writing into the folder."""
    return disk.held(folder / ".lock", ["results"])


def write_summary(folder, figure, title, verdicts, seconds, tables, drawn):
    """Write `summary.json`, in the schema of `report.summary`, into a `pathlib.Path`.

    Args:
        folder, figure, title, verdicts, tables: As there. seconds: time taken.
        drawn: Whether the folder holds a figure.
    """
    device = f"CPU, {os.cpu_count()} cores"
    run = types.SimpleNamespace(
        provenance={"seconds": seconds, **records.provenance(device, NO_DATA)}
    )
    summary = report.summary(
        figure=figure,
        title=title,
        command=f"python -m reproduce.{figure}",
        dataset=NO_DATA,
        config_digest=config.digest({}),
        records=[run],
        verdicts=verdicts,
        distances={},
        tables=tables,
    )
    summary["drawn"] = drawn
    disk.write_atomically(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
