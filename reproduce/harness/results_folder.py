"""Results on disk: one record a run, written atomically, with provenance; resumable.

A results folder holds

    config.yaml          the configuration and the data that all of its runs share
    records/NAME.json    one file a run, written whole when the run ends
    records/*.npz        checkpoints of runs that have not ended
    .locks/NAME.lock     empty: for the locks of the processes that work in the folder
    curves.csv           panel,series,seed,learning_rate,iteration,value: all curves of all records
    summary.json         verdicts, distances to the paper's curves, versions, times
    figure.png, figure.pdf

A folder belongs to one configuration and one data set. Runs of another are refused, so that
results made from real data are never overwritten or mixed with others. Any number of processes may
work in it: a run is done by one of them, the others wait for it.
"""

import collections
import contextlib
import csv
import dataclasses
import io
import json
import pathlib

from reproduce.harness import cli, config
from reproduce.harness.config import digest
from reproduce.harness.errors import ConfigError, RecordsError
from reproduce.harness.files import held, write_atomically
from reproduce.harness.records import provenance, read_record, slug

VERSION = 1
CURVE_COLUMNS = ("panel", "series", "seed", "learning_rate", "iteration", "value")


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
        self._known: dict = {}
        try:
            (self.path / "records").mkdir(parents=True, exist_ok=True)
            with held(self.path, ["config.yaml"]):
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

    @classmethod
    def of(cls, experiment, arguments, settings, dataset):
        """The folder that the command line of an experiment asks for."""
        cli.clear_smoke(experiment, arguments)
        identity = {
            "figure": experiment.name,
            "data": {"fingerprint": dataset.fingerprint},
            "config": None if settings is None else config.as_dict(settings),
        }
        return cls(cli.results_path(experiment, arguments), identity, arguments.resume)

    def _claim(self, identity):
        path = self.path / "config.yaml"
        if not path.exists():
            write_atomically(path, config.as_yaml(identity))
            return
        try:
            found = config.read(path)
        except ConfigError as error:
            raise RecordsError(f"{error}. Choose another folder with --out.") from error
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

    @contextlib.contextmanager
    def reserved(self, runs, together, team):
        """Keep other processes from doing these `harness.records.Run`s.

        It waits for processes that are at one of them.

        Args:
            runs: Those to do.
            together: All that a command would train with them, done or not.
            team: Who is to do them; see `harness.work.Alone`.

        Yields:
            Those that nobody has done meanwhile (but what a team has set out to do, it does); and
            a function from a part's name to the path of a file that may hold the state of the
            training. It is found again by a command that is to do the same runs, and no other's.
            The files are removed when the body ends without an error, the records being saved.
        """
        name = slug(together[0].panel or together[0].series)
        name += "-" + digest(sorted(run.name for run in together))[:16]
        folder = self.path / "records"
        with held(self.path, [run.name for run in runs]):
            missing = [run for run in runs if team.number > 1 or not self.has(run)]
            yield missing, lambda part="": folder / f"checkpoint-{name}{part and '-'}{part}.npz"
            for path in folder.glob(f"checkpoint-{name}*.npz"):
                path.unlink(missing_ok=True)

    def has(self, run):
        """Whether this `harness.records.Run` is finished.

        Raises:
            RecordsError: If a run of that name but with other settings is.
        """
        path = self._record_path(run.name)
        if not path.exists():
            return False
        if self._read(path).settings != run.settings:
            raise RecordsError(
                f"{path} was made with other settings. Choose another folder with --out."
            )
        return True

    def missing(self, runs):
        """Those of the runs that are not finished."""
        return [run for run in runs if not self.has(run)]

    def save(self, record):
        """Write a finished run, whole or not at all."""
        text = json.dumps(dataclasses.asdict(record), allow_nan=False)
        path = self._record_path(record.name)
        write_atomically(path, text + "\n")
        self._known.pop(path, None)

    def records(self):
        """All finished runs, sorted by name."""
        return [self._read(path) for path in sorted((self.path / "records").glob("*.json"))]

    def _read(self, path):
        # Other processes add records; one that is there never changes.
        if path not in self._known:
            self._known[path] = read_record(path)
        return self._known[path]

    def write(self, records, summary):
        """Write `curves.csv`, every curve of `records` if there are any, and `summary.json`."""
        if records:
            write_atomically(self.path / "curves.csv", curves_csv(records))
        text = json.dumps(summary, indent=1, allow_nan=False)
        write_atomically(self.path / "summary.json", text + "\n")

    def _record_path(self, name):
        return self.path / "records" / f"{name}.json"


def curves_csv(records):
    """Every curve of `records`, as the text of `curves.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CURVE_COLUMNS)
    for record in records:
        for panel, points in record.curves.items():
            for iteration, value in points:
                row = (panel, record.series, record.seed, record.learning_rate, iteration)
                writer.writerow((*row, f"{value:.6g}"))
    return text.getvalue()


def _differences(wanted, found, prefix=""):
    """Keys, like `config.steps`, whose values differ between two nested dicts."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = {**wanted, **found}
        pairs = [(wanted.get(key), found.get(key), f"{prefix}.{key}") for key in keys]
        return [name for pair in pairs for name in _differences(*pair)]
    return [] if wanted == found else [prefix.lstrip(".") or "everything"]


@dataclasses.dataclass
class Conclusion:
    """What all records of an experiment say: see `summary`."""

    verdicts: list
    tables: dict = dataclasses.field(default_factory=dict)
    distances: dict = dataclasses.field(default_factory=dict)
    derived: list = dataclasses.field(default_factory=list)  # records made of others, to be drawn
    said: list = dataclasses.field(default_factory=list)  # paragraphs, in plain words


def summary(experiment, records, conclusion, settings, dataset, started):
    """What is worth knowing of a results folder, as plain values.

    Args:
        experiment: The `experiment.Experiment`. `settings`: its configuration, or None.
        records: All `harness.records.Record`s of the folder.
        conclusion: The `Conclusion` from them. Its `distances` are RMS of
            log10(ours/paper), a dict from series to a dict from seed to number; its `tables` a
            dict from a title to a list of rows, each a dict from column to value; `said` is text.
        dataset: The data.
        started: When the conclusion began, which is all the work where there are no records.
    """
    provenances = [record.provenance for record in records] or [provenance(dataset, started)]
    return {
        "figure": experiment.name,
        "title": experiment.title,
        "command": cli.command(experiment),
        "drawn": experiment.drawn,
        "data": {"description": dataset.description, "fingerprint": dataset.fingerprint},
        "config_digest": digest({} if settings is None else config.as_dict(settings)),
        "runs": len(records),
        "seconds": round(sum(provenance["seconds"] for provenance in provenances)),
        "devices": sorted({_device(provenance) for provenance in provenances}),
        "commits": sorted({str(provenance["commit"]) for provenance in provenances}),
        "uncommitted_changes": any(p["uncommitted_changes"] for p in provenances),
        "versions": _collected(provenance["versions"] for provenance in provenances),
        "rms_log10": {
            series: {str(seed): rms for seed, rms in sorted(by_seed.items())}
            for series, by_seed in conclusion.distances.items()
        },
        "verdicts": [dataclasses.asdict(verdict) for verdict in conclusion.verdicts],
        "tables": conclusion.tables,
        "said": conclusion.said,
    }


def _device(provenance):
    # Older records have a plural for one.
    return "CPU, 1 core" if provenance["device"] == "CPU, 1 cores" else provenance["device"]


def _collected(versions):
    found = collections.defaultdict(set)
    for version in versions:
        for package, number in version.items():
            found[package].add(number)
    return {package: ", ".join(sorted(numbers)) for package, numbers in found.items()}
