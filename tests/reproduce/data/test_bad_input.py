"""The data's command refuses what people put where the data should be, and says what to do.

What is damaged or missing of the original files is in the other tests of this folder.
"""

import io
import json
import os
import zipfile

import pytest
import tensorflow_datasets as tfds

from reproduce.data import mnist
from tfoverparam.datasets.gas_sensor_drift import gas_sensor_drift_dataset_builder

LINE = "1;10 " + " ".join(f"{index}:{index}" for index in range(1, 129)) + "\n"
REPLACE = "Replace it by what UCI publishes"
MNIST_FILES = [f"{name}.gz" for name in mnist._NAMES]


@pytest.fixture
def data_refuses(command_refuses, tmp_path):
    """A function of a data set and parts of a message, once its files are in the current folder."""

    def data_refuses(only, *says):
        given = ["--only", only, "--data-dir", tmp_path]
        command_refuses("reproduce.data.__main__", given, *says)

    return data_refuses


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", ("should hold 2565", REPLACE)),
        (LINE.encode(), ("should hold 2565 measurements of ethanol, not 1", REPLACE)),
        (LINE.replace(" 5:5 ", " 5:1e999 ").encode(), ("feature 5", "'1e999'")),
        (LINE.encode("utf-16"), ("line 1", REPLACE)),
        (bytes(range(256)) * 50, ("line 1: it should start with gas;concentration",)),
        (b"1;1 " + b"1:1 " * 10**6, ("128 features, not 1000000",)),
    ],
    ids=["empty", "one line", "overflow", "UTF-16", "bytes", "a million features"],
)
def test_text_that_is_not_uci_s(content, says, data_refuses, tmp_path):
    (tmp_path / "ethanol.dat").write_bytes(content)
    data_refuses("ethanol", "ethanol.dat", *says)


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")],
    ids=["folder", "pipe", "without end"],
)
def test_what_is_no_file(make, data_refuses, tmp_path):
    make(tmp_path / "ethanol.dat")
    data_refuses("ethanol", "ethanol.dat is no file")


def test_folders_for_images(data_refuses, tmp_path):
    for name in MNIST_FILES:
        (tmp_path / name).mkdir()
    data_refuses("mnist", MNIST_FILES[0], "is no file")


def _archive(members, compression=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def _inverted(compression):
    """An archive whose first member's compressed bytes are others."""
    content = _archive({"a.dat": LINE * 99}, compression)
    return content[:60] + bytes(255 - byte for byte in content[60:120]) + content[120:]


def _encrypted():
    """An archive that says of its members that they are encrypted."""
    content = _archive({"a.dat": LINE}).replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0")
    return content.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")


def _of_another_checksum():
    return _archive({"a.dat": LINE}, zipfile.ZIP_STORED).replace(b"1:1 2:2", b"1:2 2:2")


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: b"<html>log in</html>", "is no archive"),
        (lambda: _archive({}), "it holds no .dat file"),
        (lambda: _archive({"a.txt": "x"}), "it holds no .dat file"),
        (lambda: _archive({"a.dat": LINE * 9})[:300], "damaged"),
        (_of_another_checksum, "Bad CRC-32"),
        (lambda: _inverted(zipfile.ZIP_DEFLATED), "damaged"),
        (lambda: _inverted(zipfile.ZIP_BZIP2), "damaged"),
        (lambda: _inverted(zipfile.ZIP_LZMA), "damaged"),
        (_encrypted, "is encrypted"),
        (lambda: _archive({"a.dat": bytes(11 * 10**7)}), "more than 100 MB"),
        (lambda: _archive({"/ran.dat": LINE}), "should hold 2565"),
        (lambda: _archive({"../../ran.dat": LINE}), "should hold 2565"),
    ],
    ids="HTML empty else half checksum deflated bzip2 LZMA encrypted zeros absolute above".split(),
)
def test_archives(make, says, data_refuses, tmp_path):
    (tmp_path / "gas+sensor.zip").write_bytes(make())
    data_refuses("ethanol", "gas+sensor.zip", REPLACE, says)
    assert not (tmp_path.parent.parent / "ran.dat").exists()


def _truncated(folder):
    path = folder / "dataset_info.json"
    path.write_bytes(path.read_bytes()[:-20])


def _described(old, new):
    """Damage of `features.json` that leaves it JSON."""

    def damage(folder):
        path = folder / "features.json"
        text = path.read_text().replace(old, new)
        assert json.loads(text) != json.loads(path.read_text())
        path.write_text(text)

    return damage


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The files of a copy that TFDS prepared, of one measurement."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "downloads" / "manual").mkdir(parents=True)
    (folder / "downloads" / "manual" / "ethanol.dat").write_text(LINE)
    tfds.disable_progress_bar()  # It leaves its line without an end.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(gas_sensor_drift_dataset_builder.COUNTS, "ethanol", 1)
        tfds.builder("gas_sensor_drift/ethanol", data_dir=folder).download_and_prepare()
    path = folder / "gas_sensor_drift" / "ethanol" / "1.0.0"
    return {each.name: each.read_bytes() for each in path.iterdir()}


@pytest.mark.parametrize(
    "damage, says",
    [
        (_truncated, "cannot be read"),
        (lambda folder: next(folder.glob("*.tfrecord*")).unlink(), "cannot be read"),
        (_described('"sensors"', '"sensorz"'), "cannot be read"),
        (_described("tensorflow_datasets.core.features.tensor_feature", "os"), "cannot be read"),
    ],
    ids="truncated_description no_records feature feature's_class".split(),
)
def test_prepared_copies(damage, says, prepared, data_refuses, tmp_path):
    folder = tmp_path / "gas_sensor_drift" / "ethanol" / "1.0.0"
    folder.mkdir(parents=True)
    for name, content in prepared.items():
        (folder / name).write_bytes(content)
    damage(folder)
    data_refuses("ethanol", "gas_sensor_drift/ethanol/1.0.0", "Delete the folder", says)


def test_an_empty_folder_for_a_prepared_copy(data_refuses, tmp_path):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    data_refuses("mnist", "mnist/3.0.1 cannot be read", "Delete the folder")
