"""Tests of the tables of docs/reliability.md."""

import datetime
import re

import pytest

from tools.reliability import table

DATE = r"\d{4}-\d\d-\d\d"
DOCUMENT = """before
<!-- kills: written by python -m tools.reliability.kills --write -->
old
<!-- / -->
<!-- disks: written by python -m tools.reliability.disks --write -->
<!-- / -->
"""


def test_a_section_is_replaced_and_nothing_else():
    written = table.with_section(DOCUMENT, "kills", "new\n")
    assert written == DOCUMENT.replace("old\n", "new\n")


def test_an_unknown_section_is_an_error():
    with pytest.raises(ValueError, match="no section <!-- other"):
        table.with_section(DOCUMENT, "other", "new\n")


def test_rows_that_do_not_hold_are_written_and_end_the_script(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "DOCUMENT", tmp_path / "reliability.md")
    table.DOCUMENT.write_text(DOCUMENT)
    rows = [table.Row("one|two", 3, 3, 1.25e-7), table.Row("other", 2, 1)]
    with pytest.raises(SystemExit, match="did not hold: other"):
        table.report("disks", rows, write=True, options="--count 3")
    printed = capsys.readouterr().out
    command = "`python -m tools.reliability.disks --count 3`"
    assert f"| one\\|two | 3 | 3 | 1.2e-07 | {command} |\n" in printed
    assert f"| other | 2 | 1 |  | {command} |\n" in printed
    line = table.measured(datetime.date.today(), table.VERSION.read_text("utf-8"))
    assert f"--write -->\n{line}{printed}" in table.DOCUMENT.read_text()


def test_rows_about_something_else_are_kept_if_they_are_of_the_same_day(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "DOCUMENT", tmp_path / "reliability.md")
    table.DOCUMENT.write_text(DOCUMENT)

    def write(*whats):
        rows = [table.Row(what, 1, 1) for what in whats]
        table.report("kills", rows, write=True, subject=r"of \w+")
        text = table.section(table.DOCUMENT.read_text(), "kills")
        return re.findall(r"^\| (\d of \w)", text, re.MULTILINE)

    assert write("1 of x", "2 of y") == ["1 of x", "2 of y"]
    assert write("3 of x") == ["2 of y", "3 of x"]
    earlier = table.DOCUMENT.read_text().replace("Measured on 2", "Measured on 1")
    table.DOCUMENT.write_text(earlier)
    assert write("4 of y") == ["4 of y"]


def test_what_the_document_says_was_tried_held_and_can_be_repeated():
    document = table.DOCUMENT.read_text("utf-8")
    sections = re.findall(r"<!-- (\w+): written by .*?-->\n(.*?)<!-- / -->", document, re.DOTALL)
    assert len(sections) > 5
    # Of the tests themselves and of mutants, a part must hold; their scripts say which.
    shares = {"coverage": 0.9, "mutants": 0.80}
    for name, text in sections:
        assert (table.DOCUMENT.parents[1] / f"tools/reliability/{name}.py").is_file()
        measured = rf"Measured on {DATE}, version \d+\.\d+\.\d+\.\n\n{re.escape(table.HEADER)}"
        rows = re.fullmatch(rf"{measured}((?:\|.*\n)+)", text)
        assert rows, f"{name}: {text[:300]}"
        for line in rows[1].splitlines():
            _, what, tried, held, _, command, _ = re.split(r"(?<!\\)\|", line)
            # What rounding parts is told, not asked for: the text above the table says why.
            is_told = what.startswith(" main job on two workers, float32: ")
            needed = 0 if is_told else shares.get(name, 1.0) * int(tried)
            assert int(tried) >= int(held) >= needed and int(tried) > 0
            assert command.strip().startswith(f"`python -m tools.reliability.{name}")
