"""The committed results: records of planned runs, and summaries of these records."""

import dataclasses
import functools
import json

import pytest

from reproduce import (
    claims,
    figure2,
    figure3,
    figure4_left,
    figure4_right,
    figure5_left,
    figure5_right,
    horizon,
    networks,
    robustness,
)
from reproduce.claims import headlines
from reproduce.harness import cli, config, records

EXPERIMENTS = {
    **{
        module.FIGURE.name: module.FIGURE
        for module in (figure2, figure3, figure4_left, figure4_right, figure5_left, horizon)
    },
    "figure5_right": figure5_right.Figure(),
    "networks": networks.Networks(),
    "robustness": robustness.Robustness(),
}


@functools.cache
def committed(name):
    return records.read_records(cli.ROOT / "results" / name)


def settings_of(name):
    path = cli.ROOT / "configs" / f"{name}.yaml"
    return config.load(path, EXPERIMENTS[name].config_class, [])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_everything_is_what_is_committed_with_these_settings(name, tmp_path):
    for task in ("elevators", "pol"):
        (tmp_path / f"{task}.csv").touch()
    arguments = cli.parse(EXPERIMENTS[name], ["--everything", "--data-dir", str(tmp_path)])
    asked = cli.asked_for(EXPERIMENTS[name], arguments, settings_of(name))
    found = {record.name: record.settings for record in committed(name)}
    assert found and {run.name: run.settings for run in asked} == found


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_summary_says_what_its_records_do(name):
    text = (cli.ROOT / "results" / name / "summary.json").read_text(encoding="utf-8")
    found = json.loads(text)
    conclusion = EXPERIMENTS[name].conclude(committed(name), settings_of(name), work=None)
    expected = {
        "verdicts": [dataclasses.asdict(verdict) for verdict in conclusion.verdicts],
        "tables": conclusion.tables,
        "rms_log10": conclusion.distances,
        "said": conclusion.said,
    }
    found.setdefault("said", [])  # Most say nothing.
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert {verdict["kind"] for verdict in found["verdicts"]} <= set(claims.KINDS)
    assert {verdict["verdict"] for verdict in found["verdicts"]} <= {*claims.JUDGED}


def summaries():
    paths = (cli.ROOT / "results").glob("*/summary.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def test_the_headlines_fit_the_results_and_have_their_numbers():
    rows = headlines.table(summaries())
    assert len(rows) == len(headlines.HEADLINES) >= 12
    text = (cli.ROOT / "results" / "README.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {' | '.join(row.values())} |" in text
    finding = headlines.main_finding(summaries())
    assert finding in text and "{" not in finding


def test_a_sentence_on_other_data_is_that_of_its_verdict():
    (verdict,) = (
        each
        for each in summaries()["robustness"]["verdicts"]
        if each["statement"].startswith(headlines.PREDICTION)
    )
    sentence = headlines.on_other_data(summaries())
    assert sentence.endswith(f", {verdict['verdict']}: {verdict['measured']}.")
    assert sentence in (cli.ROOT / "results" / "README.md").read_text(encoding="utf-8")
    verdict["verdict"] = claims.NOT_RUN
    assert headlines.on_other_data({"robustness": {"verdicts": [verdict]}}) == ""
    assert headlines.on_other_data({}) == ""


def test_of_what_was_not_run_the_headline_says_so():
    found = summaries()
    for verdict in found["figure3"]["verdicts"] + found["figure5_right"]["verdicts"]:
        verdict.update(verdict=claims.NOT_RUN, measured="how")
    rows = {row["verdict"] for row in headlines.table(found) if row["we find"] == ""}
    assert rows == {"**not run**"} and headlines.main_finding(found) == ""


@pytest.mark.parametrize(
    "verdicts, together",
    [
        ((claims.HOLDS,), claims.HOLDS),
        ((claims.HOLDS, claims.NOT_RUN), claims.NOT_RUN),
        ((claims.HOLDS, claims.PARTLY), claims.PARTLY),
        ((claims.FAILS, claims.HOLDS), claims.PARTLY),
        ((claims.FAILS, claims.OPEN), claims.FAILS),
    ],
)
def test_a_headline_on_several_statements_holds_in_part_where_one_does(verdicts, together):
    assert headlines._together(set(verdicts)) == together


@pytest.mark.parametrize("headline", [*headlines.HEADLINES, *headlines.MAIN_FINDING])
def test_a_headline_is_refused_where_the_results_are_others(headline, monkeypatch):
    monkeypatch.setattr(headlines, "HEADLINES", (headline,))
    assert headlines.table({}) == []
    for change, message in (
        ({"verdict": "cannot be judged"}, "was written for"),
        ({"verdict": "none of them"}, "was written for"),
        ({"measured": "nothing"}, "is not like"),
        ({"statement": "another"}, "there is no statement like"),
    ):
        changed = summaries()
        for verdict in changed[headline.figure]["verdicts"]:
            verdict.update(change)
        with pytest.raises(ValueError, match=message):
            headlines.table(changed)
