"""The examples in README.md and docs/ run as they stand."""

import json
import pathlib
import re
import runpy

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text):
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(text, name):
    """Runs the Python blocks one after the other, as a reader would; returns their names."""
    assert blocks(text)
    names = {}
    for block in blocks(text):
        exec(compile(block, name, "exec"), names)
    return names


def test_the_readme_s_examples_run():
    names = run(README, "README.md")
    assert int(names["model"].optimizer.iterations) == 4  # two epochs of two batches


@pytest.mark.slow
def test_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run((ROOT / "docs/guide.md").read_text(encoding="utf-8"), "guide.md")
    # What it writes: the monitor's logs, and the plain model.
    assert list(tmp_path.glob("runs/guide/events*")) and (tmp_path / "digits.keras").exists()


def test_the_notebook_is_the_guide_without_outputs():
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    notebook = json.loads((ROOT / "docs/guide.ipynb").read_text(encoding="utf-8"))
    expected = runpy.run_path(str(ROOT / "docs/make_notebook.py"))["cells"](guide)
    assert [cell["source"] for cell in notebook["cells"]] == [cell["source"] for cell in expected]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [f"{cell['source']}\n" for cell in code] == blocks(guide)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_two_commands_are_there_as_promised():
    setup = "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/python -m "
    for module in ("reproduce.figure5_right", 'pytest -m "not slow"'):
        assert f"\n{setup}{module}\n" in README


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/end_to_end.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert all((ROOT / page).parent.joinpath(target).exists() for target in targets)
