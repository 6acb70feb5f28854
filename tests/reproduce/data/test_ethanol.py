"""The Ethanol task: what it is made from, what is refused, and the numbers that identify it."""

import io
import shutil
import zipfile

import numpy as np
import pytest

from reproduce.data import ethanol, load_ethanol, standardized, store
from reproduce.harness.errors import DataError


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def prepared(gas_sensor_dir, tmp_path_factory):
    """A root prepared, once, from the file in its `downloads/manual`; and what was loaded."""
    root = tmp_path_factory.mktemp("prepared")
    manual = root / "downloads" / "manual"
    manual.mkdir(parents=True)
    shutil.copy(gas_sensor_dir / "ethanol.dat", manual)
    return root, load_ethanol(str(root), "real")


def test_the_data_is_what_the_paper_s_curves_were_made_from(prepared):
    _, data = prepared
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


def test_a_second_start_reads_the_prepared_copy(prepared, monkeypatch):
    root, data = prepared
    monkeypatch.setattr(store.Prepared, "prepare", None)
    again = load_ethanol(str(root))
    assert again.fingerprint == data.fingerprint and again.source == "real"
    assert sorted(path.name for path in root.iterdir()) == ["downloads", "gas_sensor_drift"]


@pytest.mark.parametrize("pack", [False, True])
def test_a_plain_folder_or_an_archive_will_do_and_is_left_alone(
    gas_sensor_dir, prepared, folder, tmp_path, pack
):
    if pack:
        with zipfile.ZipFile(folder / "gas+sensor+array.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(gas_sensor_dir / "ethanol.dat", "ethanol.dat")
    else:
        shutil.copy(gas_sensor_dir / "ethanol.dat", folder)
    before = sorted(folder.iterdir())
    data = load_ethanol(str(folder), "real")
    assert data.fingerprint == prepared[1].fingerprint
    assert data.location.startswith(str(tmp_path / "home" / "tensorflow_datasets"))
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: text[: len(text) // 2], "line .* there should be 128 features"),
        (lambda text: text.split("\n", 1)[1], "should hold 2565 measurements of ethanol, not 2564"),
        (lambda text: text.replace("1;100.0", "1;101.0", 1), "The SHA-256 should be .* but is"),
        (lambda text: text.replace(" 7:", " 8:", 1), "line 1: feature 7 should be 7:value"),
    ],
)
def test_a_damaged_file_is_refused_and_leaves_nothing(
    gas_sensor_dir, folder, tmp_path, damage, message
):
    text = (gas_sensor_dir / "ethanol.dat").read_text()
    (folder / "ethanol.dat").write_text(damage(text))
    with pytest.raises(DataError, match=message) as caught:
        load_ethanol(str(folder))
    assert "ethanol.dat" in str(caught.value)
    assert list((tmp_path / "home" / "tensorflow_datasets").iterdir()) == []


def test_a_damaged_copy_says_what_to_do(prepared, folder, monkeypatch):
    shutil.copytree(prepared[0] / "gas_sensor_drift", folder / "gas_sensor_drift")
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


def test_without_data_and_network_there_is_a_stand_in_or_an_error(folder, capsys):
    data = load_ethanol(str(folder))
    assert data.source == "stand-in" and data.features.shape == (569, 29)
    assert data.description.startswith("STAND-IN")
    assert "Going on with a stand-in" in capsys.readouterr().err
    values = np.linalg.eigvalsh(data.features.T @ data.features / 569)
    assert values[-1] == pytest.approx(12.8, abs=0.05)
    assert values[0] == pytest.approx(1.3e-4, abs=5e-6)
    assert load_ethanol(source="stand-in").fingerprint == data.fingerprint
    with pytest.raises(DataError, match="Put UCI's archive"):
        load_ethanol(str(folder), "real")
    assert list(folder.iterdir()) == []


def test_a_download_that_is_no_archive_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(store.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"login"))
    with pytest.raises(DataError, match="archive.ics.uci.edu.*no archive, or is damaged"):
        load_ethanol(str(folder))


def test_standardized():
    values = standardized(np.array([[1.0, 10.0], [3.0, 30.0]]))
    assert values.tolist() == [[-1, -1], [1, 1]]
