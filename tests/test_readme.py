"""The README's example runs as it stands."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_run():
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert blocks
    names = {}
    for block in blocks:  # one after the other, as a reader would; the first asserts
        exec(compile(block, "README.md", "exec"), names)
    assert int(names["plain"].optimizer.iterations) == 4  # two epochs of two batches


def test_the_two_commands_are_there_as_promised():
    setup = "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/python -m "
    for module in ("reproduce.figure5_right", "pytest"):
        assert f"\n{setup}{module}\n" in README
