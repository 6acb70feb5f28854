"""The examples in README.md and docs/ run as they stand."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(text, name):
    """Runs the Python blocks one after the other, as a reader would; returns their names."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    return names


def test_the_readme_s_examples_run():
    names = run(README, "README.md")
    assert int(names["plain"].optimizer.iterations) == 4  # two epochs of two batches


def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run((ROOT / "docs/guide.md").read_text(encoding="utf-8"), "guide.md")
    # What it writes: the monitor's logs, and the plain model.
    assert list(tmp_path.glob("runs/guide/events*")) and (tmp_path / "digits.keras").exists()


def test_the_two_commands_are_there_as_promised():
    setup = "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/python -m "
    for module in ("reproduce.figure5_right", "pytest"):
        assert f"\n{setup}{module}\n" in README


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/end_to_end.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert all((ROOT / page).parent.joinpath(target).exists() for target in targets)
