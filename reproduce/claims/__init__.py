"""The paper's statements, as checks over records: one module per figure, each with `verdicts`.

Where the paper's own curves can be measured, they are judged by the same criterion, in `paper`.
"""

import dataclasses

HOLDS = "holds"
PARTLY = "holds in part"
FAILS = "does not hold"
OPEN = "cannot be judged"  # by what was measured
NOT_RUN = "not run"
NOT_COMPARABLE = "not comparable"
JUDGED = (HOLDS, PARTLY, FAILS, OPEN)  # something was measured

BOUND = 0.05  # decades, 12 %: a curve whose RMS distance is at most this is met

CLAIM, CURVE, REMARK, QUESTION = "claim", "curve", "remark", "question"
KINDS = {
    CLAIM: "the paper's claims",
    CURVE: "a curve of the paper's is met",
    REMARK: "said elsewhere, by the authors or those whom they cite",
    QUESTION: "our own questions",
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One statement, and what we measure.

    Attributes:
        statement: What is claimed.
        source: Who claims it, and where.
        expected: What must be measured for it to hold; empty where nothing was measured.
        measured: The number measured, with its unit and the number of runs.
        verdict: One of `JUDGED`, `NOT_RUN` and `NOT_COMPARABLE`.
        kind: One of `KINDS`.
        paper: What the same criterion measures on the paper's digitized curves; empty where they
            do not tell.
    """

    statement: str
    source: str
    expected: str
    measured: str
    verdict: str
    kind: str = CLAIM
    paper: str = ""


def judge(statement, source, expected, measured, outcome, kind=CLAIM, paper=""):
    """A `Verdict` on something measured; `outcome` is that of the check, or `PARTLY` or `OPEN`."""
    verdict = {True: HOLDS, False: FAILS}.get(outcome, outcome)
    return Verdict(statement, source, expected, measured, verdict, kind, paper)


def not_run(statement, source, how, kind=CLAIM):
    """A `Verdict` on something that the records at hand do not tell; `how` would."""
    return Verdict(statement, source, "", how, NOT_RUN, kind)


def of_shorter_runs(verdicts):
    """The statements, of which runs that are shorter than those of the results say nothing."""
    why = "the runs are shorter than those of the results"
    return [
        dataclasses.replace(verdict, expected="", measured=why, verdict=NOT_COMPARABLE, paper="")
        for verdict in verdicts
    ]


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


def seeds(group):
    """`1 seed`, `5 seeds`."""
    return "1 seed" if len(group) == 1 else f"{len(group)} seeds"


def format_table(verdicts):
    """The verdicts as text for the console."""
    lines = []
    for verdict in verdicts:
        lines.append(f"  {verdict.verdict.upper():<16} {verdict.statement} [{verdict.source}]")
        lines.append(f"  {'':<16} {verdict.measured}")
        if verdict.expected:
            lines[-1] += f" (expected: {verdict.expected})"
        if verdict.paper:
            lines.append(f"  {'':<16} the paper's own curves: {verdict.paper}")
    return "\n".join(lines)
