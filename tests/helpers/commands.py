"""Commands that end at once, all in one process of their own: to start one takes longer."""

import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import contextlib, io, json, runpy, sys
for module, *sys.argv[1:] in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end: status = end.code
    imported = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps([status, out.getvalue(), err.getvalue(), imported]))
"""


class Answer(NamedTuple):
    """How a command ended, what it printed, and what it and those before it have imported."""

    status: int
    out: str
    err: str
    imported: list[str]


def answers(commands, **environment):
    """The `Answer` of each of the commands, which are lists of a module and its arguments."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(commands)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    return [Answer(*json.loads(line)) for line in result.stdout.splitlines()]
