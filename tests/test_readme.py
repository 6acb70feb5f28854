"""The README's example runs as it stands."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_run():
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})  # it asserts


def test_the_two_commands_are_there_as_promised():
    setup = "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/python -m "
    for module in ("reproduce.figure5_right", "pytest"):
        assert f"\n{setup}{module}\n" in README
