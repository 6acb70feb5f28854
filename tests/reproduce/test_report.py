"""The report, from a figure's summary."""

import json

import pytest

from reproduce import report
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
