"""The tables of docs/reliability.md, written by the scripts in this folder that measure them.

    python -m tools.reliability.NAME            measures, and prints the rows
    python -m tools.reliability.NAME --write    writes them into docs/reliability.md, too

The exit status is 1 if something did not hold.
"""

import argparse
import dataclasses
import datetime
import pathlib
import re
import sys

VERSION = pathlib.Path(__file__).parents[2] / "tfoverparam" / "__init__.py"
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "reliability.md"
HEADER = (
    "| fault or input | tried | held | largest deviation | command |\n"
    "| --- | --- | --- | --- | --- |\n"
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: The fault that was injected, or the input that was given.
        tried: How often.
        held: How often the outcome was the right one.
        deviation: The largest deviation from it, as a number or in words; empty where there is
            none to speak of.
        needed: How often it must be, where that is not always.
    """

    what: str
    tried: int
    held: int
    deviation: float | str = ""
    needed: int | None = None

    def is_met(self):
        """Whether it held as often as it must."""
        return self.held >= (self.tried if self.needed is None else self.needed)

    def markdown(self, command):
        """The line, with the command that repeats it."""
        deviation = self.deviation
        if isinstance(deviation, float):
            deviation = f"{deviation:.2g}"
        cells = [self.what, self.tried, self.held, deviation, f"`{command}`"]
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def parser(name, description):
    """A script's arguments; it may add its own to the result."""
    result = argparse.ArgumentParser(
        prog=f"python -m tools.reliability.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--write", action="store_true", help="write the rows into docs/reliability.md, too"
    )
    return result


def report(name, rows, write, options="", subject=None):
    """Print the rows of a script; write them if asked for; exit with 1 if something did not hold.

    Args:
        name: Of the script, and of its section in docs/reliability.md.
        rows: Sequence of `Row`.
        write: Whether to write them into docs/reliability.md.
        options: Of the command that repeats them.
        subject: A pattern of what a row is about, where the command can measure a part of them:
            rows about something else are kept, if they are of the same day and version.
    """
    command = f"python -m tools.reliability.{name} {options}".strip()
    text = HEADER + "".join(row.markdown(command) for row in rows)
    print(text, end="")
    if write:
        document = DOCUMENT.read_text("utf-8")
        head = measured(datetime.date.today(), VERSION.read_text("utf-8"))
        if subject:
            text = (
                HEADER + others(section(document, name), head, text, subject) + text[len(HEADER) :]
            )
        DOCUMENT.write_text(with_section(document, name, head + text), "utf-8")
    failed = [row.what for row in rows if not row.is_met()]
    if failed:
        sys.exit(f"did not hold: {'; '.join(failed)}")


def measured(day, source):
    """The line above a table: when, and of which version, whose `__init__.py` this is.

    >>> measured("2026-11-26", '__version__ = "0.2.0"')
    'Measured on 2026-11-26, version 0.2.0.\\n\\n'
    """
    (version,) = re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE)
    return f"Measured on {day}, version {version}.\n\n"


def others(old, head, new, subject):
    """The rows of a section, under the same head, about something that the new ones are not about.

    >>> old = "Today\\n\\n| a | b |\\n| --- | --- |\\n| 3 of x | 1 |\\n| 3 of y | 2 |\\n"
    >>> others(old, "Today\\n\\n", "| 5 of x | 4 |\\n", r"of \\w")
    '| 3 of y | 2 |\\n'
    >>> others(old, "Tomorrow\\n\\n", "| 5 of x | 4 |\\n", r"of \\w")
    ''
    """
    about = set(re.findall(subject, new))
    rows = old.removeprefix(head).splitlines(keepends=True) if old.startswith(head) else []
    found = ((re.findall(subject, row), row) for row in rows)
    return "".join(row for subjects, row in found if subjects and not about & set(subjects))


def section(document, name):
    """A section's present content."""
    begin, end = marks(name)
    return document.partition(f"{begin}\n")[2].partition(end)[0]


def marks(name):
    """What stands before and after a section."""
    return f"<!-- {name}: written by python -m tools.reliability.{name} --write -->", "<!-- / -->"


def with_section(document, name, text):
    """The document with `text` in the place of the section's present content."""
    begin, end = marks(name)
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"There is no section {begin} in {DOCUMENT}.")
    return pattern.sub(lambda _: f"{begin}\n{text}{end}", document)
