"""The examples in README.md and docs/ run as they stand, and print what the pages show."""

import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys

import pytest

from reproduce.__main__ import COMMANDS
from reproduce.linear_networks import OPTIMIZERS, program
from tfoverparam.kernel_kinds import KINDS
from tools.site import guide, matrices, package_page

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text):
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(text, name):
    """Runs the Python blocks one after the other, as a reader would; returns what they print."""
    assert blocks(text)
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks(text):
            exec(compile(block, name, "exec"), names)
    return printed.getvalue()


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_s_example_prints_what_is_below_it():
    (shown,) = re.findall(r"^```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert run(README, "README.md") == shown


def test_the_readme_lists_the_commands():
    rows = re.findall(r"^\| `python -m (\S+)` \| (.*) \|$", README, re.MULTILINE)
    assert dict(rows) == COMMANDS


@pytest.mark.slow
def test_the_guide_runs():
    executed = guide.execute(page("docs/guide.md"))
    printed = "".join(output for *_, output, _ in executed)
    assert "10090 parameters" in printed
    assert [len(pictures) for *_, pictures in executed if pictures] == [1]


def test_the_notebook_is_the_guide_with_outputs():
    cells = json.loads(page("docs/guide.ipynb"))["cells"]
    expected = list(guide.cells(page("docs/guide.md")))
    assert [(each["cell_type"] == "code", each["source"]) for each in cells] == expected
    code = [each for each in cells if each["cell_type"] == "code"]
    assert [f"{each['source']}\n" for each in code] == blocks(page("docs/guide.md"))
    assert [each["execution_count"] for each in code] == list(range(1, len(code) + 1))
    outputs = [output for each in code for output in each["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}


def test_the_page_on_adding_an_experiment_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    printed = run(page("docs/adding_an_experiment.md"), "adding_an_experiment.md")
    assert "Adam 4-layer" in printed and "Diabetes (442 rows, 10 features)" in printed


def test_the_optimizers_have_names_and_classes():
    assert set(OPTIMIZERS) == set(program._OPTIMIZERS)
    listed = re.findall(r"^-OPTIMIZERS = (.*)$", page("docs/adding_an_experiment.md"), re.MULTILINE)
    assert listed == [str(OPTIMIZERS).replace("'", '"')]


def test_the_matrices_are_those_of_the_measurements():
    assert matrices.made() == page("docs/matrices.md")
    kinds = [cls for cls in KINDS if cls.__module__.startswith("keras.")]
    assert len(kinds) > 10
    assert all(f"`{cls.__name__}`" in page("docs/matrices.md") for cls in kinds)


def test_what_did_not_hold_is_in_no_matrix():
    row = "| jax, float32: collapse | 12 | 11 | 1e-7 | `command` |"
    with pytest.raises(ValueError, match="11 of 12 held"):
        matrices.deviations(row)


def test_versions_are_the_declared_ones():
    setup = page("setup.cfg")
    for declared in re.findall(r"\| `(>=\S+)` \|", page("docs/matrices.md")):
        assert declared in setup


def test_the_two_commands_are_there_as_promised():
    setup = "python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/python -m "
    for module in ("reproduce.figure5_right", 'pytest -m "not slow"'):
        assert f"\n{setup}{module}\n" in README


PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page(name))
    targets = [target for target in targets if "://" not in target]
    assert all((ROOT / name).parent.joinpath(target).exists() for target in targets)


def test_links_of_the_package_index_lead_to_the_repository():
    text = package_page.absolute(README, "https://github.com/a/b")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == README.count("](") and all(each.startswith("https://") for each in links)
    assert (
        "![Loss" in text and "(https://github.com/a/b/raw/main/results/figure5_right/hero" in text
    )
    assert "Source = https://x" in package_page.declared(page("setup.cfg"), "https://x")


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": (\S+\.md)$", page("mkdocs.yml"), re.MULTILINE))
    own = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    generated = {"index.md", "when_it_pays.md", "results/index.md"}
    assert listed == own | generated | {"changelog.md", "contributing.md", "security.md"}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT)
    assert (tmp_path / "api/models/index.html").exists()
    assert "factorized 3 of 3 linear maps" in (tmp_path / "guide/index.html").read_text("utf-8")
