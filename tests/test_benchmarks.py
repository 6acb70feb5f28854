"""The scripts under benchmarks/ start as their own first lines say, from any folder."""

import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(path.name for path in FOLDER.glob("[!_]*.py") if "_checkout" in path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_starts(name, tmp_path):
    path = FOLDER / name
    assert f"python benchmarks/{name}" in path.read_text()
    result = subprocess.run(
        [sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0 and "usage:" in result.stdout, result.stderr
