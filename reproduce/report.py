"""Write results/README.md, and the results in README.md, from the summary of each figure."""

import argparse
import html
import json
import pathlib
import statistics

from reproduce.claims import CLAIM, CURVE, HOLDS, JUDGED, KINDS, headlines, legend
from reproduce.harness import cli
from reproduce.harness.errors import UsageError
from reproduce.harness.files import held, write_atomically

ROOT = pathlib.Path(__file__).parent.parent
DISTANCE = "Distance to the paper's curve: RMS of log10(ours/paper), median over the seeds"
LONG = 15  # rows: a longer table is folded
START, END = "<!-- results: written by python -m reproduce.report -->", "<!-- /results -->"


def write(root=ROOT):
    """Write `results/README.md`, and the results in `README.md`, from `results/*/summary.json`.

    Args:
        root: The folder that holds `README.md` and `results/`.

    Raises:
        UsageError: If a summary or `README.md` is not what it should be.
        RecordsError: If something cannot be written.
    """
    root = pathlib.Path(root)
    with held(root / "results", ["report"]):
        paths = sorted((root / "results").glob("*/summary.json"))
        if not paths:
            raise UsageError(f"There is no summary.json in the folders of {root / 'results'}.")
        said = [_said_of(path) for path in paths]
        summaries, sections, rows = zip(*said)
        by_name = {summary["figure"]: summary for summary in summaries}
        claims, finding = _headlines(by_name)
        other = [text for text in [headlines.on_other_data(by_name)] if text]
        glance = ["## At a glance", _markdown_table(claims), *finding, *other] if claims else []
        parts = [
            "# Results",
            "Written by `python -m reproduce.report` from the records in these folders: every "
            "number below was measured by the command beside it. *Does not hold* means that we "
            "measured otherwise; *holds in part*, in some of the readings or runs that the row "
            "names; *cannot be judged*, that what we measured does not decide it. Where the "
            "paper's own curves tell, the same criterion is applied to them.",
            *glance,
            _folded("Names in the tables that are ours, not the paper's", legend.rows()),
            *sections,
        ]
        write_atomically(root / "results" / "README.md", "\n\n".join(parts) + "\n")
        before, after = _around_results(root / "README.md")
        short = [{key: row[key] for key in ("the paper says", "verdict")} for row in claims]
        parts = [*([_markdown_table(short)] if short else []), *finding, _markdown_table(rows)]
        text = "\n\n".join(parts)
        write_atomically(root / "README.md", f"{before}{START}\n{text}\n{END}{after}")


def _said_of(path):
    """A results folder's summary, and what is said of it in its section, and in one row."""
    try:
        figure = json.loads(path.read_text(encoding="utf-8"))
        return figure, _section(figure), _overview(figure)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no summary of this version ({type(error).__name__}: {error}). Start the "
            "command that made the folder again; with --resume it keeps the runs."
        ) from error


def _headlines(summaries):
    """The rows of the headline claims, and the main finding; each may be empty."""
    try:
        rows = headlines.table(summaries)
        finding = headlines.main_finding(summaries)
    except ValueError as error:
        raise UsageError(f"The headlines do not fit the results: {error}") from error
    return rows, [finding] if finding else []


def _around_results(path):
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read {path}: {error}") from error
    if START not in text or END not in text:
        raise UsageError(f"{path} has no place for the results: {START} and {END}.")
    before, _, rest = text.partition(START)
    return before, rest.partition(END)[2]


def _overview(figure):
    said = [verdict["verdict"] for verdict in figure["verdicts"] if verdict["kind"] == CLAIM]
    curves = [verdict["verdict"] for verdict in figure["verdicts"] if verdict["kind"] == CURVE]
    medians = sorted(statistics.median(found) for found in _distances(figure).values())
    few = ", ".join(f"{median:.3f}" for median in medians)
    many = f"{len(medians)} curves, {min(medians, default=0):.3f} to {max(medians, default=0):.3f}"
    return {
        "figure": figure["title"],
        "command": f"`{figure['command']}`",
        f"the paper's claims: {', '.join(JUDGED)}": ", ".join(str(said.count(v)) for v in JUDGED),
        "its curves that are met": f"{curves.count(HOLDS)} of {len(curves)}" if curves else "",
        "RMS of log10(ours/paper)": few if len(medians) < 3 else many,
    }


def _distances(figure):
    """From a curve of the paper to RMS of log10(ours/paper), a number for each run on it."""
    found = {
        series: [distance for distance in by_seed.values() if distance is not None]
        for series, by_seed in figure["rms_log10"].items()
    }
    return {series: distances for series, distances in found.items() if distances}


def _distance_table(figure):
    return [
        {"curve": curve, "distance": f"{statistics.median(found):.3f}", "seeds": len(found)}
        for curve, found in _distances(figure).items()
    ]


def _section(figure):
    folder = figure["figure"]
    versions = ", ".join(f"{name} {number}" for name, number in figure["versions"].items())
    return "\n\n".join(
        [
            f"## {figure['title']}",
            *([f"![{figure['title']}]({folder}/figure.png)"] if figure.get("drawn", True) else []),
            *figure.get("said", []),
            *_verdict_tables(figure["verdicts"]),
            *(
                _titled(title, rows)
                for title, rows in {DISTANCE: _distance_table(figure), **figure["tables"]}.items()
                if rows
            ),
            f"Command: `{figure['command']}`. {_effort(figure)} {versions}. Commit "
            f"{', '.join(commit[:10] for commit in figure['commits'])}"
            f"{' with uncommitted changes' if figure['uncommitted_changes'] else ''}.",
        ]
    )


def _verdict_tables(verdicts):
    """A heading and a table for each kind of statement."""
    for kind, heading in KINDS.items():
        found = [verdict for verdict in verdicts if verdict["kind"] == kind]
        measured = any(verdict["paper"] for verdict in found)
        rows = [
            {
                "what is said": f"{v['statement']} ({v['source']})",
                "expected": v["expected"],
                "what we measure": v["measured"],
                **({"the paper's own curves": v["paper"]} if measured else {}),
                "verdict": f"**{v['verdict']}**",
            }
            for v in found
        ]
        if rows:
            yield f"### {heading[0].upper()}{heading[1:]}\n\n{_markdown_table(rows)}"


def _titled(title, rows):
    """A table under its heading, or folded if it is long."""
    return _folded(title, rows) if len(rows) > LONG else f"### {title}\n\n{_markdown_table(rows)}"


def _folded(title, rows):
    summary = f"<details><summary>{html.escape(title, quote=False)}</summary>"
    return f"{summary}\n\n{_markdown_table(rows)}\n\n</details>"


def _effort(figure):
    devices, data = "; ".join(figure["devices"]), figure["data"]
    if not data["fingerprint"]:
        return f"Computed without data in {figure['seconds']} s on {devices}."
    return (
        f"{figure['runs']} runs, {figure['seconds'] / 60:.0f} minutes of training in all, on "
        f"{devices}. Data: {data['description']}, sha256 {data['fingerprint'][:16]}."
    )


def _markdown_table(rows):
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value):
    if value is None:
        return "diverged"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def main(arguments=None):
    """Write the report."""
    argparse.ArgumentParser(prog="python -m reproduce.report", description=__doc__).parse_args(
        arguments
    )
    with cli.reported_errors(arguments, cli.REPEATABLE):
        write()


if __name__ == "__main__":
    main()
