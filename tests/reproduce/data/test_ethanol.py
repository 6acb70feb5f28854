"""The Ethanol task: what it is made from, what is refused, and the numbers that identify it."""

import gzip
import io
import shutil
import zipfile

import numpy as np
import pytest

from reproduce.data import DataError, ethanol, load_ethanol, store
from reproduce.data.prepared import Prepared

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def data(tfds_data_dir):
    """The task, from the file in the repository."""
    return load_ethanol()


@pytest.fixture(scope="module")
def text(gas_sensor_dir):
    return gzip.decompress((gas_sensor_dir / "ethanol.dat.gz").read_bytes()).decode()


def test_the_data_is_what_the_paper_s_curves_were_made_from(data):
    assert data.features.shape == (2565, 128) and data.features.dtype == np.float64
    assert data.raw_targets.mean() == pytest.approx(114.950292, abs=1e-6)
    assert data.raw_targets.std() == pytest.approx(86.6206, abs=1e-4)
    assert data.features.mean(axis=0) == pytest.approx(np.zeros(128), abs=1e-12)
    assert data.features.std(axis=0) == pytest.approx(np.ones(128))
    values = np.linalg.eigvalsh(data.features.T @ data.features / 2565)
    assert values[-1] == pytest.approx(72.9, abs=0.05) and 1e-8 < values[0] < 2e-8
    norms = np.sort(np.sum(data.features**2, axis=1))
    assert norms[-3:].round().tolist() == [11557, 11940, 30609]
    optimum = np.linalg.lstsq(data.features, data.targets, rcond=None)[0]
    assert np.mean((data.features @ optimum - data.targets) ** 2) == pytest.approx(0.1, abs=1e-4)
    assert data.description == "Ethanol, UCI's gas sensor data (2565 rows, 128 features)"


def test_a_second_start_reads_the_prepared_copy(data, tfds_data_dir, monkeypatch):
    monkeypatch.setattr(Prepared, "prepare", None)
    again = load_ethanol(str(tfds_data_dir))
    assert again.fingerprint == data.fingerprint and again.location == data.location


@pytest.mark.parametrize(
    "form, place",
    [
        # Other tests have read these, of the repository and damaged.
        pytest.param("ethanol.dat", ".", marks=pytest.mark.slow),
        pytest.param("ethanol.dat.gz", "gas_sensor", marks=pytest.mark.slow),
        ("batches", "downloads/manual"),
        ("archive.zip", "gas_sensor"),
    ],
)
def test_files_are_found_and_left_alone(data, text, folder, tmp_path, place, form):
    (folder / place).mkdir(parents=True, exist_ok=True)
    if form == "ethanol.dat":
        (folder / place / form).write_text(text)
    elif form == "ethanol.dat.gz":
        (folder / place / form).write_bytes(gzip.compress(text.encode()))
    elif form == "batches":
        lines = text.splitlines(keepends=True)
        for number in range(10):
            (folder / place / f"batch{number + 1}.dat").write_text("".join(lines[number::10]))
    else:
        with zipfile.ZipFile(folder / place / "gas+sensor+array.zip", "w") as archive:
            archive.writestr("Dataset/ethanol.dat", text)
    before = sorted(folder.rglob("*"))
    loaded = load_ethanol(str(folder))
    assert loaded.fingerprint == data.fingerprint
    assert loaded.location.startswith(str(tmp_path / "home" / "tensorflow_datasets"))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: text[: len(text) // 2], "line .* there should be 128 features"),
        (lambda text: text.split("\n", 1)[1], "should hold 2565 measurements of ethanol, not 2564"),
        (lambda text: text.replace("1;100.0", "1;101.0", 1), "The SHA-256 should be .* but is"),
        (lambda text: text.replace(" 7:", " 8:", 1), "line 1: feature 7 should be 7:value"),
    ],
)
def test_a_damaged_file_is_refused_and_leaves_nothing(text, folder, tmp_path, damage, message):
    (folder / "ethanol.dat").write_text(damage(text))
    with pytest.raises(DataError, match=message) as caught:
        load_ethanol(str(folder))
    assert f"{folder} (ethanol.dat)" in str(caught.value)
    assert "Replace it by what UCI publishes." in str(caught.value)
    left = [path.name for path in (tmp_path / "home" / "tensorflow_datasets").iterdir()]
    assert left == [".locks"]


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:50] + b"?" + c[51:]])
def test_a_damaged_packed_file_is_refused(gas_sensor_dir, folder, damage):
    content = (gas_sensor_dir / "ethanol.dat.gz").read_bytes()
    (folder / "ethanol.dat.gz").write_bytes(damage(content))
    with pytest.raises(DataError, match="ethanol.dat.gz is no gzip file, or is damaged"):
        load_ethanol(str(folder))


def test_a_damaged_copy_says_what_to_do(tfds_data_dir, data, folder, monkeypatch):
    shutil.copytree(tfds_data_dir / "gas_sensor_drift", folder / "gas_sensor_drift")
    monkeypatch.setattr(ethanol, "_ROWS_SHA256", "0" * 64)
    with pytest.raises(DataError, match="Delete the folder"):
        load_ethanol(str(folder))
    (file,) = folder.glob("gas_sensor_drift/ethanol/1.0.0/*.tfrecord*")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be read"):
        load_ethanol(str(folder))


def test_some_of_the_batches_are_not_enough(folder):
    (folder / "batch4.dat").write_text("")
    with pytest.raises(DataError, match="holds 1 of the ten"):
        load_ethanol(str(folder))


@pytest.mark.usefixtures("no_files")
def test_without_files_and_network_there_is_an_error(folder):
    with pytest.raises(DataError, match="Put UCI's archive .* into .*/gas_sensor, or name"):
        load_ethanol(str(folder))
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("no_files")
def test_a_download_that_is_no_archive_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(store.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"login"))
    with pytest.raises(DataError, match="UCI .*uci.zip.*no archive, or is damaged"):
        load_ethanol(str(folder))
