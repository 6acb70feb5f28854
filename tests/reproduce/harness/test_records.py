"""Results on disk."""

import dataclasses
import json
import types

import pandas as pd
import pytest

from reproduce.harness import records
from reproduce.harness.errors import RecordsError

IDENTITY = {"figure": "f", "config": {"steps": 3}, "data": {"source": "real"}}


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
    return records.ResultsFolder(path, identity, resume)


def test_what_is_saved_is_read_back(tmp_path):
    folder(tmp_path / "new" / "out").save(record())
    again = folder(tmp_path / "new" / "out")
    assert again.records() == [record()]
    assert again.has("a b", 1, {"steps": 3})
    assert not again.has("a b", 2, {"steps": 3})


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
        ({**IDENTITY, "data": {"source": "stand-in"}}, "data.source"),
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
        folder(tmp_path).has("a b", 1, {"steps": 5})


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
    with pytest.raises(RecordsError, match="a_b-seed-1.json is no record .* Delete it"):
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
    out.write_curves([record(), record(seed=2)])
    table = pd.read_csv(tmp_path / "curves.csv")
    assert tuple(table.columns) == records.CURVE_COLUMNS
    assert table.values.tolist()[1] == ["panel", "a b", 1, 0.1, 2, 0.25]
    assert len(table) == 4


def test_numbers_leave_out_what_may_differ_between_two_runs_of_a_command():
    other = dataclasses.replace(record(), provenance={"seconds": 9.0, "host": "x"})
    assert other.numbers() == record().numbers()
    assert record(seed=2).numbers() != record().numbers()


def test_names_of_runs_are_safe_as_file_names():
    assert records.run_name("a/b lr=0.1 std=1e-3", 0) == "a_b_lr=0.1_std=1e-3-seed-0"


def test_provenance_names_versions_and_commit():
    dataset = types.SimpleNamespace(source="real", fingerprint="abc")
    found = records.provenance("CPU", dataset)
    assert (found["device"], found["data"]["source"]) == ("CPU", "real")
    assert set(found["versions"]) >= {"python", "tensorflow", "keras", "numpy"}
