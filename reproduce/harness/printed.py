"""What a command prints at its end: its own runs, then verdicts, then where the figure is."""

import json
import math
import statistics
import urllib.parse

from reproduce.claims import JUDGED, format_table

LONGEST = 40  # rows: of more runs, those that differ in their seeds share a row


def results(experiment, runs, folder, conclusion, work):
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
