"""What training needs besides settings and data, and what a command says of it and prints."""

import argparse
from collections.abc import Callable
import dataclasses
import json
import math
import statistics
import sys
from typing import Any
import urllib.parse

from tqdm import tqdm

from reproduce.claims import JUDGED, format_table
from reproduce.harness import cli

LONGEST = 40  # rows: of more runs, those that differ in their seeds share a row


class Alone:
    """The team of one process; `mnist_convnet.replicas.Workers` is that of several."""

    number = 1
    is_chief = True
    strategy = None

    def agreed(self, runs, missing, dataset):
        """Those of the runs that the team is to do: which are missing, the chief decides."""
        return missing

    def wait_for_all(self):
        """Return when every process of the team has come here."""

    def provenance(self):
        """What a record says of the team: plain values."""
        return {}


@dataclasses.dataclass
class Work:
    """What training needs besides settings and data.

    Attributes:
        experiment: The `experiment.Experiment`. `arguments`: those of its command line.
        team: Who trains; see `Alone`.
        checkpoint: From the name of a part, which may be empty, to the path of a file that the
            training of these runs may keep until they are saved.
        done, total: How many runs of how many have begun.
        whole: How long all of it takes that `--smoke` tries.
    """

    experiment: Any
    arguments: argparse.Namespace
    team: Any
    checkpoint: Callable | None = None
    done: int = 0
    total: int = 0
    whole: str = ""

    @property
    def logs(self):
        """The folder for TensorBoard's logs."""
        return cli.results_path(self.experiment, self.arguments) / "logs"

    def announce(self, missing, dataset):
        """Say how many runs are to be done, and how long that takes."""
        self.total = len(missing)
        if self.arguments.smoke:
            everyone = cli.with_values(self.arguments, smoke=False, steps=None)
            settings = cli.settings(self.experiment, everyone)
            everything = self.experiment.plan(settings, everyone)
            self.whole = cli.about(self.experiment.minutes(everything, dataset))
        if missing and not self.arguments.quiet:
            minutes = self.experiment.minutes(missing, dataset)
            count = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
            print(f"{count}: {cli.about(minutes)} on 2 cores.", flush=True)

    def begin(self, runs):
        """Say which runs begin."""
        first, self.done = self.done + 1, self.done + len(runs)
        if not self.arguments.quiet:
            numbers = f"{first}" if len(runs) == 1 else f"{first}-{self.done}"
            what = runs[0].title if len(runs) == 1 else runs[0].panel
            print(f"[{numbers}/{self.total}] {what}", flush=True)

    def bar(self, description, total):
        """A bar with the time left, on a terminal; nothing elsewhere."""
        hide = self.arguments.quiet or not sys.stderr.isatty()
        return tqdm(total=total, desc=description, unit="it", disable=hide, dynamic_ncols=True)


def print_results(experiment, runs, folder, conclusion, work):
    """Print what the command has found.

    Args:
        experiment: Whose command it is. `runs`: all that it was to do.
        folder: The results folder. `conclusion`: what all of its records say.
        work: The `harness.work.Work`.
    """
    names = {run.name for run in runs}
    rows = [_row(experiment, record) for record in folder.records() if record.name in names]
    if len(rows) > LONGEST:
        rows = _medians(rows)
    if rows:
        print("\n" + table(rows))
    judged = [verdict for verdict in conclusion.verdicts if verdict.verdict in JUDGED]
    if judged:
        print("\n" + format_table(judged))
    others = [verdict for verdict in conclusion.verdicts if verdict.verdict not in JUDGED]
    if others:
        # The same reason once.
        why = "; ".join(dict.fromkeys(verdict.measured for verdict in others))
        count = "1 statement" if len(others) == 1 else f"{len(others)} statements"
        print(f"\n{count} cannot be judged: {why}")
    if work.whole:
        print(f"\nIt works here. The whole takes {work.whole} on 2 cores, without --smoke.")
    kind = "figure.png" if experiment.drawn else "summary.json"
    print(f"\n{'Figure' if experiment.drawn else 'Summary'}: {folder.path / kind}")
    if (folder.path / "logs").exists():
        print(f"TensorBoard: tensorboard --logdir {folder.path / 'logs'}")
        if experiment.pinned:  # It sorts charts by name; pinned ones come first.
            print(f"Then open {tensorboard_page(experiment.pinned)}")


def tensorboard_page(tags, address="http://localhost:6006/"):
    """The address of TensorBoard's page, with the charts of some tags on top, not smoothed."""
    pins = [{"plugin": "scalars", "tag": tag} for tag in tags]
    pinned = urllib.parse.quote(json.dumps(pins, separators=(",", ":")))
    return f"{address}?smoothing=0&pinnedCards={pinned}#timeseries"


def _row(experiment, record):
    return {
        **({"panel": record.panel} if record.panel else {}),
        "series": record.series,
        "seed": record.seed,
        **experiment.row(record),
        "seconds": record.provenance["seconds"],
    }


def _medians(rows):
    """A row for each panel and series, with the medians over its seeds."""
    groups: dict[tuple, list] = {}
    for row in rows:
        groups.setdefault((row.get("panel"), row["series"]), []).append(row)
    return [
        {
            **{"panel": panel for panel in [group[0].get("panel")] if panel},
            "series": group[0]["series"],
            "seeds": len(group),
            **{
                key: _median([row[key] for row in group])
                for key in group[0]
                if key not in ("panel", "series", "seed")
            },
        }
        for group in groups.values()
    ]


def _median(values):
    numbers = [math.inf if value is None else value for value in values]
    return values[0] if isinstance(values[0], str) else statistics.median(numbers)


def table(rows):
    """Rows, dicts with the same keys, as lines of text: words to the left, numbers to the right.

    >>> print(table([{"series": "original", "loss": 1.5}, {"series": "deep", "loss": None}]))
    series     loss
    original    1.5
    deep          -
    """
    columns = list(rows[0])
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    words = [isinstance(rows[0][column], str) for column in columns]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(line, widths, words)
        ).rstrip()
        for line in cells
    )


def _cell(value):
    if value is None or value == math.inf:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
