"""The report, from a figure's summary."""

import json
import shutil

import pytest

from reproduce import paper, report
from reproduce.claims import legend
from reproduce.harness import cli
from reproduce.harness.errors import UsageError

SUMMARY = {
    "figure": "figure0",
    "title": "Figure 0",
    "command": "python -m reproduce.figure0",
    "verdicts": [
        {
            "statement": s,
            "source": "S",
            "expected": "E",
            "measured": "M",
            "verdict": verdict,
            "kind": kind,
            "paper": "P" if s == "one" else "",
        }
        for s, verdict, kind in (
            ("one", "holds", "claim"),
            ("two", "holds in part", "claim"),
            ("three", "does not hold", "claim"),
            ("four", "holds", "curve"),
            ("five", "holds in part", "curve"),
            ("six", "does not hold", "question"),
        )
    ],
    # Of the second curve one run ended before, of the last one all did.
    "rms_log10": {
        "a": {"0": 0.1, "1": 0.2, "2": 0.4},
        "b": {"0": 0.5, "1": None},
        "c": {"0": 0.3},
        "d": {"0": None},
    },
    "tables": {"A table": [{"column": 1.23456}], "An empty one": []},
    "runs": 3,
    "seconds": 90.0,
    "devices": ["CPU, 2 cores"],
    "versions": {"keras": "3"},
    "commits": ["0123456789abcdef"],
    "uncommitted_changes": False,
    "data": {"description": "data", "fingerprint": "fedcba98765432100"},
}


def test_medians_over_the_seeds_that_have_a_distance(tmp_path):
    folder = tmp_path / "results" / "figure0"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "README.md").write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.write(tmp_path)
    readme = (tmp_path / "README.md").read_text().splitlines()
    assert readme[0] == "before" and readme[-1] == "after" and "old" not in readme
    # Claims and curves are counted apart, questions not at all.
    assert "| 1, 1, 1, 0 | 1 of 2 | 3 curves, 0.200 to 0.500 |" in readme[4]
    results = (tmp_path / "results" / "README.md").read_text()
    for row in ("| a | 0.200 | 3 |", "| b | 0.500 | 1 |", "| c | 0.300 | 1 |", "| 1.235 |"):
        assert row in results
    claims, curves, questions = results.split("\n### ")[1:4]
    assert claims.startswith("The paper's claims") and "the paper's own curves" in claims
    assert "| one (S) | E | M | P | **holds** |" in claims and "four" not in claims
    assert "| four (S) | E | M | **holds** |" in curves and "six" in questions
    assert "| d |" not in results and "An empty one" not in results


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", json.dumps({**SUMMARY, "verdicts": [{"statement": 1}]})]
)
def test_a_summary_that_is_none_is_named_and_nothing_is_written(tmp_path, text):
    folder = tmp_path / "results" / "figure0"
    folder.mkdir(parents=True)
    (tmp_path / "README.md").write_text(f"{report.START}\nold\n{report.END}\n")
    (folder / "summary.json").write_text(text)
    with pytest.raises(UsageError, match="figure0/summary.json is no summary of this version"):
        report.write(tmp_path)
    assert "old" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "results" / "README.md").exists()


def test_what_the_report_needs_is_named(tmp_path):
    folder = tmp_path / "results" / "figure0"
    folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="no summary.json in the folders of"):
        report.write(tmp_path)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    with pytest.raises(UsageError, match="Cannot read .*README.md"):
        report.write(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="README.md has no place for the results"):
        report.write(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_long_tables_are_folded_and_short_ones_are_not(tmp_path):
    folder = tmp_path / "results" / "figure0"
    folder.mkdir(parents=True)
    tables = {"Short": [{"a": 1}] * report.LONG, "Long, a < b": [{"a": 1}] * (report.LONG + 1)}
    (folder / "summary.json").write_text(json.dumps({**SUMMARY, "tables": tables}))
    (tmp_path / "README.md").write_text(f"{report.START}\n{report.END}\n")
    report.write(tmp_path)
    results = (tmp_path / "results" / "README.md").read_text()
    assert "### Short\n\n| a |" in results and "### Long" not in results
    assert "<details><summary>Long, a &lt; b</summary>\n\n| a |" in results
    assert results.count("</details>") == 2  # The other one is the legend.


def test_the_committed_report_is_what_the_committed_summaries_say(tmp_path):
    for path in (cli.ROOT / "results").glob("*/summary.json"):
        (tmp_path / "results" / path.parent.name).mkdir(parents=True)
        shutil.copy(path, tmp_path / "results" / path.parent.name)
    shutil.copy(cli.ROOT / "README.md", tmp_path)
    report.write(tmp_path)
    for name in ("README.md", "results/README.md"):
        assert (tmp_path / name).read_text() == (cli.ROOT / name).read_text()


def test_every_name_that_is_ours_is_in_the_legend():
    names = {name for panel in paper.PLOTS for name in paper.series(panel)}
    explained = " ".join(row["name"] for row in legend.rows())
    seen = set()
    for path in (cli.ROOT / "results").glob("*/summary.json"):
        summary = json.loads(path.read_text(encoding="utf-8"))
        for title, rows in summary["tables"].items():
            if title.startswith("Panel "):
                assert f"`{title.split()[1].rstrip(':')}`" in explained
                seen |= {row["series"] for row in rows if "series" in row}
    assert len(seen) > 100
    assert {legend.plain(series) for series in seen} <= names
