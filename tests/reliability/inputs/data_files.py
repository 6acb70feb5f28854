"""Bad inputs of `reproduce.data`: what people put where the data should be."""

import io
import json
import os
import zipfile
from unittest import mock

import numpy as np

from reproduce.harness import records
from reproduce.data import mnist
from reproduce.harness.errors import RecordsError
from tests.reliability.inputs.bad_input import BadInput, command, written

LINE = "1;10 " + " ".join(f"{index}:{index}" for index in range(1, 129)) + "\n"
REPLACE = "Replace it by what UCI publishes"
TEXT, ARCHIVE = "gas sensor data: text", "gas sensor data: archives"
IMAGES, PREPARED = "MNIST: files", "prepared copies, damaged"
RECORDS = "records and checkpoints"
MNIST_FILES = list(mnist._FILE_SHA256)


def _case(kind, what, make, *says, only="ethanol"):
    """`make` puts something into the folder that is then named to `reproduce.data`."""

    def give(folder):
        make(folder)
        command("reproduce.data.__main__", "--only", only, "--data-dir", folder, "--data", "real")

    return BadInput(kind, what, give, says, (SystemExit,))


def _text(what, content, *says):
    return _case(TEXT, what, lambda f: written(f / "ethanol.dat", content), "ethanol.dat", *says)


def _archive(what, members, *says, compression=zipfile.ZIP_DEFLATED, edit=lambda content: content):
    def make(folder):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", compression) as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        written(folder / "gas+sensor.zip", edit(content.getvalue()))

    return _case(ARCHIVE, what, make, "gas+sensor.zip", REPLACE, *says)


def _inverted(content):
    """An archive whose first member's compressed bytes are others."""
    return content[:60] + bytes(255 - byte for byte in content[60:120]) + content[120:]


def _encrypted(content):
    """An archive that says of its members that they are encrypted."""
    content = content.replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0")
    return content.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")


def _images(what, make, *says):
    return _case(IMAGES, what, make, *says, only="mnist")


def _four(contents):
    """All four files, with these contents in turn."""
    return lambda folder: [written(folder / n, c) for n, c in zip(MNIST_FILES, contents)]


def _prepared(what, damage, *says):
    """A copy that TFDS prepared, of one measurement, and then `damage` of the copy's folder."""

    def make(folder):
        import tensorflow_datasets as tfds

        from tfoverparam.datasets.gas_sensor_drift import (
            gas_sensor_drift_dataset_builder as module,
        )

        tfds.disable_progress_bar()  # It leaves its line without an end.
        written(folder / "downloads" / "manual" / "ethanol.dat", LINE)
        with mock.patch.dict(module.COUNTS, {"ethanol": 1}):
            tfds.builder("gas_sensor_drift/ethanol", data_dir=folder).download_and_prepare()
        damage(folder / "gas_sensor_drift" / "ethanol" / "1.0.0")

    return _case(PREPARED, what, make, "gas_sensor_drift/ethanol/1.0.0", "Delete the folder", *says)


def _truncate(pattern):
    def damage(folder):
        (path,) = folder.glob(pattern)
        path.write_bytes(path.read_bytes()[:-20])

    return damage


def _features(edit):
    """Damage of `features.json`, by a function of its text."""

    def damage(folder):
        path = folder / "features.json"
        text = edit(path.read_text())
        json.loads(text)
        path.write_text(text)

    return damage


def _record(what, text, *says):
    def give(folder):
        records.read_record(written(folder / "records" / "a-seed-1.json", text))

    return BadInput(RECORDS, what, give, ("a-seed-1.json", "Delete it", *says), (RecordsError,))


def _pickled_checkpoint(folder):
    """A checkpoint of arrays that would be unpickled, which runs code."""

    class Payload:
        def __reduce__(self):
            return os.system, ("touch ran",)

    path = folder / "checkpoint.npz"
    np.savez(path, runs=np.array([Payload()], dtype=object), identity="x")
    with np.load(path, allow_pickle=False) as stored:  # as `linear_networks` does
        stored["runs"]


CASES = [
    _text("an empty file", "", "should hold 2565", REPLACE),
    _text("one measurement", LINE, "should hold 2565 measurements of ethanol, not 1", REPLACE),
    _text("half of a line", LINE[:300], "line 1: there should be 128 features", REPLACE),
    _text("NaN", LINE.replace(" 5:5 ", " 5:nan "), "line 1: feature 5", "finite", "'nan'"),
    _text("infinity", LINE.replace(" 5:5 ", " 5:inf "), "line 1: feature 5", "finite", "'inf'"),
    _text("a number too large", LINE.replace(" 5:5 ", " 5:1e999 "), "feature 5", "'1e999'"),
    _text("commas for points", LINE.replace(" 5:5 ", " 5:1,5 "), "feature 5", "'1,5'"),
    _text("a concentration below 0", LINE.replace("1;10", "1;-1"), "line 1", "positive", "'-1'"),
    _text("gas 7", LINE + LINE.replace("1;10", "7;10"), "line 2: the gas should be 1 to 6"),
    _text("swapped features", LINE.replace("5:5 6:6", "6:6 5:5"), "feature 5 should be 5:value"),
    _text("UTF-16", LINE.encode("utf-16"), "line 1", REPLACE),
    _text("bytes", bytes(range(256)) * 50, "line 1: it should start with gas;concentration"),
    _text("a line of a million features", "1;1 " + "1:1 " * 10**6, "128 features, not 1000000"),
    _case(TEXT, "a folder", lambda f: (f / "ethanol.dat").mkdir(), "ethanol.dat is no file", "Put"),
    _case(TEXT, "a pipe", lambda f: os.mkfifo(f / "ethanol.dat"), "ethanol.dat is no file", "Put"),
    _case(
        TEXT,
        "a link to a file without end",
        lambda f: (f / "ethanol.dat").symlink_to("/dev/zero"),
        "ethanol.dat is no file",
    ),
    _case(
        TEXT,
        "two of ten files",
        lambda f: [written(f / f"batch{number}.dat", LINE) for number in (1, 2)],
        "holds 2 of the ten batch*.dat",
        "Add the others",
    ),
    _case(TEXT, "an empty folder", lambda f: None, "Put UCI's archive", "downloads/manual"),
    _archive("no archive", {}, "is no archive", edit=lambda content: b"<html>log in</html>"),
    _archive("an empty archive", {}, "it holds no .dat file"),
    _archive("an archive of something else", {"a.txt": "x"}, "it holds no .dat file"),
    _archive("half an archive", {"a.dat": LINE * 9}, "damaged", edit=lambda c: c[: len(c) // 2]),
    _archive(
        "another checksum",
        {"a.dat": LINE},
        "Bad CRC-32",
        compression=zipfile.ZIP_STORED,
        edit=lambda content: content.replace(b"1:1 2:2", b"1:2 2:2"),
    ),
    *(
        _archive(
            f"damaged, {name}", {"a.dat": LINE * 99}, "damaged", compression=kind, edit=_inverted
        )
        for name, kind in (
            ("deflated", zipfile.ZIP_DEFLATED),
            ("bzip2", zipfile.ZIP_BZIP2),
            ("LZMA", zipfile.ZIP_LZMA),
        )
    ),
    _archive("an encrypted archive", {"a.dat": LINE}, "is encrypted", edit=_encrypted),
    _archive("110 MB of zeros in 110 kB", {"a.dat": bytes(11 * 10**7)}, "more than 100 MB"),
    _archive("an absolute name", {"/ran.dat": LINE}, "should hold 2565"),
    _archive("a name above the folder", {"../../ran.dat": LINE}, "should hold 2565"),
    _images("empty files", _four([b""] * 4), MNIST_FILES[0], "SHA-256", "Replace it"),
    _images("other content", _four([b"x"] * 4), MNIST_FILES[0], "SHA-256", "Replace it"),
    _images("three of four", _four([b"x"] * 3), "only a part of MNIST", MNIST_FILES[3], "Add"),
    _images(
        "folders",
        lambda folder: [(folder / name).mkdir() for name in MNIST_FILES],
        MNIST_FILES[0],
        "is no file",
    ),
    _images("nothing", lambda folder: None, "Put the four files", *MNIST_FILES),
    _case(
        PREPARED,
        "an empty folder for MNIST's copy",
        lambda folder: (folder / "mnist" / "3.0.1").mkdir(parents=True),
        "mnist/3.0.1 cannot be read",
        "Delete the folder",
        only="mnist",
    ),
    _prepared("other measurements", lambda folder: None, "SHA-256"),
    _prepared("half of the records", _truncate("*.tfrecord*"), "cannot be read"),
    _prepared("half of its description", _truncate("dataset_info.json"), "cannot be read"),
    _prepared("no records", lambda f: next(f.glob("*.tfrecord*")).unlink(), "cannot be read"),
    _prepared(
        "another name of a feature",
        _features(lambda text: text.replace('"sensors"', '"sensorz"')),
        "cannot be read",
    ),
    _prepared(
        "a feature of a class that is none",
        _features(lambda t: t.replace("tensorflow_datasets.core.features.tensor_feature", "os")),
        "cannot be read",
    ),
    _record("an empty file", ""),
    _record("half a record", '{"series": "a", '),
    _record("a list", "[1]"),
    _record("a record without curves", '{"series": "a"}', "curves"),
    _record("a key too many", '{"x": 1}', "'x'"),
    BadInput(
        RECORDS, "a checkpoint with a pickle", _pickled_checkpoint, ("allow_pickle=False",)
    ),
]
