"""For scripts of this folder: imports from the checkout that they are part of, and its page."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "linear_networks.md"
sys.path.insert(0, str(ROOT))
# Before anything imports TensorFlow: its start-up messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def table(rows):
    """Rows, dicts from column to value, as a table in Markdown."""
    rows = list(rows)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write(script, text, path=PAGE):
    """Put into a page what one of the scripts has measured."""
    start, end = f"<!-- written by benchmarks/{script}.py -->", f"<!-- /{script} -->"
    page = path.read_text(encoding="utf-8")
    head, _, rest = page.partition(start)
    path.write_text(f"{head}{start}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
