"""The data files in the repository, those that are read as they are, and the command."""

import gzip
import hashlib
import re
import subprocess

import numpy as np
import pytest

from reproduce.data import (
    DataError,
    __main__ as command,
    load_breast_cancer,
    load_ethanol,
    load_regression,
    load_tiny_shakespeare,
    regression,
)
from reproduce.data.store import FILES

SHAPES = {
    "airfoil": (1503, 5),
    "autompg": (392, 7),
    "concrete": (1030, 8),
    "energy": (768, 8),
    "forest": (517, 12),
    "machine": (209, 7),
    "solar": (1066, 9),  # without a column that is constant
    "wine": (1599, 11),
    "yacht": (308, 6),
}
LARGEST = 5_000_000  # bytes of any file of the repository but MNIST's training images


def test_each_file_is_listed_with_its_size_and_checksum():
    rows = re.findall(r"^\| `(.+)` \| (\d+) \| `(.+)` \|$", (FILES / "README.md").read_text(), re.M)
    found = {
        (str(path.relative_to(FILES)), str(path.stat().st_size), sha256(path))
        for path in FILES.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert set(rows) == found and len(rows) == 15


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_other_file_of_the_repository_is_large():
    root = FILES.parents[2]
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    paths = [root / name for name in listed.stdout.split("\0") if name]
    large = [path.name for path in paths if path.exists() and path.stat().st_size > LARGEST]
    assert large == ["train-images-idx3-ubyte.gz"]


def test_what_was_packed_here_has_no_time():
    packed = [*FILES.glob("*/ethanol.dat.gz"), *FILES.glob("*/input.txt.gz")]
    packed += (FILES.parents[2] / "tests" / "data").glob("*.gz")
    assert len(packed) == 4
    for path in packed:
        assert path.read_bytes()[3:8] == bytes(5)  # RFC 1952: neither a name nor a time


@pytest.mark.parametrize("name", SHAPES)
def test_a_regression_task_is_standardized(name):
    data = load_regression(name)
    assert data.features.shape == SHAPES[name]
    np.testing.assert_allclose(data.features.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.features.std(axis=0), 1)
    assert data.targets.mean() == pytest.approx(0, abs=1e-12)
    assert data.targets.std() == pytest.approx(1)
    raw = np.loadtxt(FILES / "regression" / f"{name}.csv.gz", delimiter=",")
    np.testing.assert_array_equal(data.raw_targets, raw[:, -1])
    correlations = np.corrcoef(data.features[:, 0], data.targets)[0, 1]
    assert correlations == pytest.approx(np.corrcoef(raw[:, 0], raw[:, -1])[0, 1])
    assert data.location == str(FILES / "regression" / f"{name}.csv.gz")


@pytest.mark.parametrize("place", [".", "regression"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_regression_task_in_the_users_folder(folder, place, packed):
    original = FILES / "regression" / "yacht.csv.gz"
    file = folder / place / ("yacht.csv.gz" if packed else "yacht.csv")
    file.parent.mkdir(exist_ok=True)
    content = original.read_bytes()
    file.write_bytes(content if packed else gzip.decompress(content))
    data = load_regression("yacht", folder)
    assert data.location == str(file)
    assert data.fingerprint == load_regression("yacht").fingerprint
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="yacht.csv.*damaged"):
        load_regression("yacht", folder)


def test_tasks_that_are_not_there(folder):
    with pytest.raises(DataError, match="There is no pol.csv.gz in .*/regression. Put it there."):
        load_regression("pol", folder)
    with pytest.raises(ValueError, match="must be one of airfoil, .*Received: name='boston'"):
        load_regression("boston")
    assert set(SHAPES) | {"elevators", "pol"} == set(regression.TASKS)


def test_breast_cancer_is_the_problem_of_the_committed_results():
    data = load_breast_cancer()
    assert data.features.shape == (569, 29)
    values = np.linalg.eigvalsh(data.features.T @ data.features / 569)
    assert values[-1] == pytest.approx(12.8, abs=0.05)
    assert values[0] == pytest.approx(1.3e-4, abs=5e-6)
    assert data.fingerprint.startswith("ecd19866")


def test_tiny_shakespeare(folder):
    data = load_tiny_shakespeare()
    assert len(data.text) == 1115394 and len(set(data.text)) == 65
    assert data.fingerprint == hashlib.sha256(data.text.encode()).hexdigest()
    (folder / "tiny_shakespeare").mkdir()
    file = folder / "tiny_shakespeare" / "input.txt"
    file.write_text(data.text)
    assert load_tiny_shakespeare(folder).location == str(file)
    file.write_text(data.text.lower())
    with pytest.raises(DataError, match="input.txt: damaged, or not the original"):
        load_tiny_shakespeare(folder)


# The command.


def test_the_command_prints_description_location_and_fingerprint(capsys):
    assert command.main(["--only", "ethanol"]) == 0
    data = load_ethanol()
    expected = [data.description, f"read from {data.location}", f"fingerprint {data.fingerprint}"]
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.usefixtures("own_home")
def test_the_command_goes_through_all_that_is_in_the_repository(capsys, monkeypatch):
    def missing(data_dir):
        raise DataError("MNIST is not here")

    monkeypatch.setitem(command.LOADERS, "mnist", missing)
    assert command.main([]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: MNIST is not here\n")
    for expected in ("Ethanol", "Tiny Shakespeare", "Yacht", "Solar flare"):
        assert expected in captured.out
    assert "Fashion" not in captured.out + captured.err


def test_the_command_reports_errors_in_one_line(folder, capsys):
    assert command.main(["--only", "mnist", "--data-dir", str(folder / "missing")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: The data folder ")
    assert captured.err.count("\n") == 1
