"""Results on disk."""

import csv
import dataclasses
import json
import types

import pytest

from reproduce.harness import records, results_folder
from reproduce.harness.errors import RecordsError
from reproduce.harness.records import provenance
from reproduce.harness.work import Alone

IDENTITY = {"figure": "f", "config": {"steps": 3}, "data": {"fingerprint": "a"}}


def record(series="a b", seed=1, **changes):
    values = dict(
        series=series,
        seed=seed,
        learning_rate=0.1,
        settings={"steps": 3},
        curves={"panel": [[0, 1.5], [2, 0.25]]},
        results={"error": 1.0},
        provenance={"seconds": 2.0},
    )
    return records.Record(**{**values, **changes})


def folder(path, identity=IDENTITY, resume=True):
    return results_folder.ResultsFolder(path, identity, resume)


def test_what_is_saved_is_read_back(tmp_path):
    folder(tmp_path / "new" / "out").save(record())
    again = folder(tmp_path / "new" / "out")
    assert again.records() == [record()]
    assert again.has(records.Run("a b", 1, {"steps": 3}))
    assert not again.has(records.Run("a b", 2, {"steps": 3}))


def test_finished_runs_are_not_overwritten_without_resume(tmp_path):
    folder(tmp_path, resume=False).save(record())
    with pytest.raises(RecordsError, match="holds 1 finished runs. Add --resume"):
        folder(tmp_path, resume=False)


def test_a_start_that_finished_nothing_may_be_repeated(tmp_path):
    folder(tmp_path, resume=False)
    assert folder(tmp_path, resume=False).records() == []


@pytest.mark.parametrize(
    "other, key",
    [
        ({**IDENTITY, "config": {"steps": 4}}, "config.steps"),
        ({**IDENTITY, "data": {"fingerprint": "b"}}, "data.fingerprint"),
    ],
)
def test_another_configuration_or_data_set_is_refused(tmp_path, other, key):
    folder(tmp_path).save(record())
    with pytest.raises(RecordsError, match=f"different: {key}"):
        folder(tmp_path, other)
    assert folder(tmp_path).records() == [record()]


def test_a_run_with_other_settings_is_refused(tmp_path):
    folder(tmp_path).save(record())
    with pytest.raises(RecordsError, match="other settings"):
        folder(tmp_path).has(records.Run("a b", 1, {"steps": 5}))


WHOLE = json.dumps(dataclasses.asdict(record()))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        '{"series": "a"}',
        WHOLE[: len(WHOLE) // 2],
        WHOLE.replace('"panel": ""', '"panels": ""'),
        WHOLE.replace("{", '{"unknown": 1, ', 1),
        WHOLE.replace('"seed": 1', '"seed": "1"'),
        WHOLE.replace("[2, 0.25]", "[2]"),
        WHOLE.replace("[2, 0.25]", '[2, "x"]'),
        WHOLE.replace("[[0, 1.5], [2, 0.25]]", "3"),
        WHOLE.encode("utf-16"),
    ],
)
def test_a_file_that_is_no_record_is_named(tmp_path, content):
    path = folder(tmp_path).path / "records" / "a_b-seed-1.json"
    path.write_text(WHOLE)
    assert folder(tmp_path).records() == [record()]
    assert content != WHOLE
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordsError, match="a_b-seed-1.json does not hold a record .* Delete it"):
        folder(tmp_path).records()


def test_a_record_under_another_s_name_is_refused(tmp_path):
    out = folder(tmp_path)
    out.save(record())
    path = out.path / "records" / "a_b-seed-1.json"
    path.rename(path.with_name("a_b-seed-2.json"))
    with pytest.raises(RecordsError, match="it is that of a_b-seed-1"):
        out.records()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a: [", "config.yaml cannot be read: .* Choose"),
        (b"\xff\xfe", "config.yaml cannot be read: .* Choose"),
        (b"- 1\n", "config.yaml cannot be read: it must hold `key: value` lines. Received"),
        (b"", "config.yaml cannot be read: it must hold `key: value` lines. Received"),
        (b"records_version: 1\na: &a {b: *a}\n", "config.yaml cannot be read: .* Choose"),
        (b"records_version: 1\na: 1\n", "different: a, config, data, figure"),
        (b"records_version: 0\nother: 1\n", "of another version of this program"),
    ],
)
def test_a_configuration_that_is_none_is_named(tmp_path, content, message):
    folder(tmp_path)
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(RecordsError, match=message):
        folder(tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == content


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="Cannot write"):
        folder(tmp_path / "file")


def test_curves_csv(tmp_path):
    out = folder(tmp_path)
    out.write([record(), record(seed=2)], {})
    with (tmp_path / "curves.csv").open() as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == results_folder.CURVE_COLUMNS
    assert rows[1] == ["panel", "a b", "1", "0.1", "2", "0.25"]
    assert len(rows) == 4


def test_numbers_leave_out_what_may_differ_between_two_runs_of_a_command():
    other = dataclasses.replace(record(), provenance={"seconds": 9.0, "host": "x"})
    assert other.numbers() == record().numbers()
    assert record(seed=2).numbers() != record().numbers()


def test_names_of_runs_are_safe_as_file_names():
    assert records.run_name("a/b lr=0.1 std=1e-3", 0) == "a_b_lr=0.1_std=1e-3-seed-0"


def test_a_record_is_parsed_once(tmp_path, monkeypatch):
    out = folder(tmp_path)
    out.save(record())
    parsed = []
    read = results_folder.read_record
    monkeypatch.setattr(results_folder, "read_record", lambda p: parsed.append(p) or read(p))
    assert out.has(records.Run("a b", 1, {"steps": 3}))
    assert out.records() == out.records() == [record()]
    assert len(parsed) == 1
    out.save(record(results={"error": 2.0}))
    assert out.records()[0].results == {"error": 2.0}


def test_checkpoints_are_kept_until_the_records_are_there(tmp_path):
    runs = [records.Run("a", seed, {}, "panel") for seed in (0, 1)]
    out = folder(tmp_path)
    with pytest.raises(KeyError), out.reserved(runs, runs, Alone()) as (missing, checkpoint):
        assert missing == runs
        checkpoint("one").write_text("state")
        raise KeyError
    with out.reserved([], runs[::-1], Alone()) as (_, checkpoint):  # the same runs
        assert checkpoint("one").read_text() == "state" and not checkpoint().exists()
        with out.reserved([], runs[:1], Alone()) as (_, other):
            assert not other("one").exists()
        assert checkpoint("one").exists()
    assert not checkpoint("one").exists()


def test_provenance_names_versions_commit_and_data():
    task = types.SimpleNamespace(fingerprint="abc")
    found = provenance(task, started=0.0, together=2, workers=3)
    assert found["data"] == {"fingerprint": "abc"} and found["workers"] == 3
    assert set(found["versions"]) >= {"python", "tensorflow", "keras", "numpy"}
    assert found["started"] == "1970-01-01T00:00:00Z"
    assert found["seconds"] == pytest.approx(provenance(task, 0.0)["seconds"] / 2, rel=1e-3)
