"""What the paper says, as checks over records: one module a figure, each with `verdicts`."""

import dataclasses

HOLDS = "holds"
FAILS = "does not hold"
NOT_RUN = "not run"
NOT_COMPARABLE = "not comparable"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One statement, and what we measure.

    Attributes:
        statement: What is claimed.
        source: Who claims it, and where.
        expected: What must be measured for it to hold; empty where nothing was measured.
        measured: The number measured, with its unit and the number of runs.
        verdict: One of `HOLDS`, `FAILS`, `NOT_RUN`, `NOT_COMPARABLE`.
    """

    statement: str
    source: str
    expected: str
    measured: str
    verdict: str


def judge(statement, source, expected, measured, holds):
    """A `Verdict` on something measured; `holds` is the outcome of the check."""
    return Verdict(statement, source, expected, measured, HOLDS if holds else FAILS)


def not_run(statement, source, how):
    """A `Verdict` on something that the records at hand do not tell; `how` would."""
    return Verdict(statement, source, "", how, NOT_RUN)


def only_comparable(verdicts, source):
    """The verdicts, those on the paper's own numbers struck out if the data is a stand-in."""
    return verdicts if source == "real" else struck_out(verdicts, "the data is a stand-in")


def struck_out(verdicts, why):
    """The statements, each with the reason for which the runs say nothing of it."""
    return [Verdict(v.statement, v.source, "", why, NOT_COMPARABLE) for v in verdicts]


def select(records, **facts):
    """Those of the records whose settings say so: `select(runs, depth=2, flow=False)`."""
    return [
        record
        for record in records
        if all(record.settings[name] == value for name, value in facts.items())
    ]


def by_setting(records, name):
    """The records, grouped by what their settings say of `name`: a dict from that to lists."""
    result: dict = {}
    for record in records:
        result.setdefault(record.settings[name], []).append(record)
    return result


def format_table(verdicts):
    """The verdicts as text for the console."""
    lines = []
    for verdict in verdicts:
        lines.append(f"  {verdict.verdict.upper():<14} {verdict.statement} [{verdict.source}]")
        lines.append(f"  {'':<14} {verdict.measured}")
        if verdict.expected:
            lines[-1] += f" (expected: {verdict.expected})"
    return "\n".join(lines)
