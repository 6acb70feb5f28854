"""Tests of `reproduce.data`.

Those that need the real files read them from the folder named by `MNIST_DATA_DIR`, and are
skipped where it is not set.
"""

import gzip
import hashlib
import io
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from reproduce.data import __main__ as command
from reproduce.data import mnist as data
from reproduce.data import store
from reproduce.harness.errors import DataError

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
REPOSITORY = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def fake_files(folder, monkeypatch):
    """Four small files in `folder` that pass for the original ones."""
    digests = {}
    for name in NAMES:
        (folder / name).write_bytes(f"the content of {name}".encode())
        digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(data, "_FILE_SHA256", digests)
    return folder


@pytest.fixture(scope="module")
def real_files():
    path = Path(os.environ.get("MNIST_DATA_DIR", ""))
    if "MNIST_DATA_DIR" not in os.environ:
        pytest.skip("MNIST_DATA_DIR, the folder of the four original files, is not set")
    missing = [name for name in NAMES if not (path / name).is_file()]
    if missing:
        pytest.skip(f"MNIST_DATA_DIR={path} lacks {', '.join(missing)}")
    return path


@pytest.fixture(scope="module")
def prepared(real_files, tmp_path_factory):
    """A prepared root, and what was loaded. TFDS takes a minute: a copy that you have will do."""
    if "TFDS_DATA_DIR" in os.environ and data.PREPARED.path(store.default_root()).is_dir():
        return store.default_root(), data.load_mnist(source="real")
    root = tmp_path_factory.mktemp("prepared")
    manual = root / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(real_files / name, manual)
    return root, data.load_mnist(str(root), "real")


@pytest.fixture
def prepared_copy(prepared, folder):
    """A folder of its own for each test, which may damage it."""
    shutil.copytree(prepared[0] / "mnist", folder / "mnist")
    return folder


def forbid(monkeypatch, *names):
    for name in names:

        def called(*args, name=name, **kwargs):
            raise AssertionError(f"{name} must not be called")

        monkeypatch.setattr(store.Prepared if name == "prepare" else data, name, called)


def tree(path):
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


def read_idx(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


# The stand-in.


def test_stand_in_arrays():
    dataset = data.load_mnist(source="stand-in")
    assert dataset.source == "stand-in"
    assert "STAND-IN, not MNIST" in dataset.description
    assert "\n" not in dataset.description
    for images, labels, count in (
        (dataset.train_images, dataset.train_labels, 1500),
        (dataset.test_images, dataset.test_labels, 297),
    ):
        assert images.shape == (count, 28, 28, 1) and images.dtype == np.uint8
        assert labels.shape == (count,) and labels.dtype == np.int32
        assert (images.min(), images.max()) == (0, 255)
        assert set(labels) == set(range(10))


def test_stand_in_keeps_the_order_and_the_corners_of_the_digits():
    from sklearn import datasets

    digits = datasets.load_digits()
    dataset = data.load_mnist(source="stand-in")
    images = np.concatenate([dataset.train_images, dataset.test_images])
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    np.testing.assert_array_equal(labels, digits.target)
    # Bilinear interpolation from corner to corner leaves the corner pixels as they are.
    corners = np.rint(digits.images[:, ::7, ::7] * 255 / 16)
    np.testing.assert_array_equal(images[:, ::27, ::27, 0], corners)


def test_stand_in_fingerprint_is_that_of_the_four_arrays():
    first, second = (data.load_mnist(source="stand-in") for _ in range(2))
    arrays = (first.train_images, first.train_labels, first.test_images, first.test_labels)
    content = b"".join(array.tobytes() for array in arrays)
    assert first.fingerprint == second.fingerprint == hashlib.sha256(content).hexdigest()


# What is not there, or is damaged.


@pytest.mark.parametrize("source", ["auto", "real", "stand-in"])
def test_data_dir_must_be_an_existing_folder(tmp_path, source):
    missing = tmp_path / "missing"
    with pytest.raises(DataError, match="missing does not exist"):
        data.load_mnist(str(missing), source)
    assert not missing.exists()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        data.load_mnist(str(file), source)


def test_unknown_source():
    with pytest.raises(ValueError, match="Received: source='fake'"):
        data.load_mnist(source="fake")


def test_without_data_and_network_real_is_an_error_and_auto_falls_back(folder, capsys):
    with pytest.raises(DataError) as caught:
        data.load_mnist(str(folder), "real")
    for expected in (*NAMES, str(folder / "downloads" / "manual"), "no network in tests"):
        assert expected in str(caught.value)

    assert data.load_mnist(str(folder), "auto").source == "stand-in"
    assert "no network in tests" in capsys.readouterr().err
    assert data.load_mnist(source="auto").source == "stand-in"  # With the default folder, too.
    assert tree(folder) == []
    assert not store.default_root().exists()


@pytest.mark.parametrize("source", ["auto", "real"])
@pytest.mark.parametrize("place", [".", "downloads/manual"])
@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: b"?" + content[1:]],
    ids=["truncated", "altered"],
)
def test_damaged_file_is_an_error(fake_files, monkeypatch, source, place, damage):
    forbid(monkeypatch, "_stand_in", "_download_files", "prepare")
    (fake_files / place).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (fake_files / name).rename(fake_files / place / name)
    file = fake_files / place / NAMES[2]
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError) as caught:
        data.load_mnist(str(fake_files), source)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    for expected in (str(file), data._FILE_SHA256[NAMES[2]], found):
        assert expected in str(caught.value)


@pytest.mark.parametrize("source", ["auto", "real"])
def test_missing_file_is_an_error(fake_files, monkeypatch, source):
    forbid(monkeypatch, "_stand_in", "_download_files", "prepare")
    (fake_files / NAMES[1]).unlink()
    with pytest.raises(DataError) as caught:
        data.load_mnist(str(fake_files), source)
    assert str(fake_files) in str(caught.value)
    assert NAMES[1] in str(caught.value)
    assert NAMES[0] not in str(caught.value)


@pytest.mark.parametrize("source", ["auto", "real"])
def test_damaged_download_is_an_error(folder, monkeypatch, source):
    forbid(monkeypatch, "_stand_in", "prepare")
    monkeypatch.setattr(store.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"login"))
    with pytest.raises(DataError, match="storage.googleapis.com.*train-images.*damaged"):
        data.load_mnist(str(folder), source)
    assert tree(folder) == []


def test_download_is_prepared_in_the_data_folder(fake_files, folder, monkeypatch):
    contents = {name: (fake_files / name).read_bytes() for name in NAMES}
    for name in NAMES:
        (fake_files / name).unlink()

    def urlopen(url, timeout):
        assert timeout <= 30
        return io.BytesIO(contents[url.rsplit("/", 1)[1]])

    calls = []
    monkeypatch.setattr(store.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(
        store.Prepared, "prepare", lambda self, root, files: calls.append((root, files))
    )
    monkeypatch.setattr(data, "_read_prepared", lambda root: root)
    assert data.load_mnist(str(folder)) == folder
    assert calls == [(folder, contents)]


# Preparing.


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_preparation_that_fails(fake_files, monkeypatch, failure):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Builder:
        def __init__(self, name, data_dir):
            self.data_dir = data_dir

        def download_and_prepare(self):
            (self.data_dir / "mnist" / "incomplete.ABCDEF_3.0.1").mkdir(parents=True)
            raise failure

    monkeypatch.setattr(tfds, "builder", Builder)
    manual = fake_files / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name in NAMES:
        (fake_files / name).rename(manual / name)
    before = tree(fake_files)
    # A full disk is reported with the folder's name; Ctrl-C stays Ctrl-C.
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        data.load_mnist(str(fake_files))
    if expected is DataError:
        assert str(fake_files) in str(caught.value) and "disk full" in str(caught.value)
    assert tree(fake_files) == before


def test_target_of_a_plain_folder_is_never_that_folder(tmp_path, monkeypatch):
    home = tmp_path / "home" / "tensorflow_datasets"
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.mkdir()
    assert store.writable_root(plain, plain) == home
    monkeypatch.setenv("TFDS_DATA_DIR", str(other))
    assert store.writable_root(plain, plain) == other
    monkeypatch.setenv("TFDS_DATA_DIR", str(plain))
    assert store.writable_root(plain, plain) == home
    manual = plain / "downloads" / "manual"
    assert store.writable_root(plain, manual) == plain
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)
    assert store.writable_root(plain, manual) == home


def test_both_splits_are_in_file_order(prepared, real_files):
    _, dataset = prepared
    for images, labels, stem, count in (
        (dataset.train_images, dataset.train_labels, "train", 60000),
        (dataset.test_images, dataset.test_labels, "t10k", 10000),
    ):
        expected = read_idx(real_files / f"{stem}-images-idx3-ubyte.gz", header=16)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, expected.reshape(count, 28, 28, 1))
        expected = read_idx(real_files / f"{stem}-labels-idx1-ubyte.gz", header=8)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, expected)
    assert dataset.source == "real"
    assert dataset.description == "MNIST (60000 training, 10000 test images)"


def test_prepared_root_holds_nothing_else(prepared):
    root, dataset = prepared
    assert dataset.location == str(root / "mnist" / "3.0.1")
    assert not list(root.glob(".*-being-prepared"))
    assert [path.name for path in (root / "mnist").iterdir()] == ["3.0.1"]


def test_second_start_reads_the_prepared_copy(prepared, prepared_copy, monkeypatch):
    forbid(monkeypatch, "prepare", "_download_files", "_read_files", "_stand_in")
    dataset = data.load_mnist(str(prepared_copy))
    assert dataset.fingerprint == prepared[1].fingerprint
    assert dataset.location == str(prepared_copy / "mnist" / "3.0.1")


def test_plain_folder_is_left_alone_and_its_copy_found_again(fake_files, tmp_path, monkeypatch):
    fake_files.chmod(0o555)
    home = tmp_path / "home" / "tensorflow_datasets"
    calls = []

    def prepare(self, root, files):
        calls.append(root)
        self.path(root).mkdir(parents=True)

    monkeypatch.setattr(store.Prepared, "prepare", prepare)
    monkeypatch.setattr(data, "_read_prepared", lambda root: root)
    assert [data.load_mnist(str(fake_files), "real") for _ in range(2)] == [home, home]
    assert calls == [home]
    assert tree(fake_files) == sorted(NAMES)

    # The copy does not excuse a file that has been damaged since.
    (fake_files / NAMES[0]).chmod(0o644)
    (fake_files / NAMES[0]).write_bytes(b"damaged")
    with pytest.raises(DataError, match=NAMES[0]):
        data.load_mnist(str(fake_files))


def test_altered_prepared_copy_is_an_error(prepared_copy, monkeypatch):
    forbid(monkeypatch, "_stand_in", "_download_files")
    monkeypatch.setitem(data._ARRAY_SHA256, ("test", "label"), "0" * 64)
    with pytest.raises(DataError, match="Delete the folder") as caught:
        data.load_mnist(str(prepared_copy))
    found = "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
    for expected in (str(prepared_copy / "mnist" / "3.0.1"), "0" * 64, found):
        assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "mnist-train.tfrecord-00000-of-00001"])
def test_truncated_prepared_copy_is_an_error(prepared_copy, name):
    file = prepared_copy / "mnist" / "3.0.1" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 20])
    with pytest.raises(DataError, match="mnist/3.0.1 cannot be read.*Delete the folder"):
        data.load_mnist(str(prepared_copy))


def test_start_after_one_that_was_killed(real_files, tmp_path, monkeypatch):
    root = tmp_path / "home" / "tensorflow_datasets"
    workspace = root / ".mnist-being-prepared"
    process = subprocess.Popen(
        [sys.executable, "-m", "reproduce.data", "--only", "mnist", "--data-dir", str(real_files)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not list(workspace.glob("mnist/incomplete.*")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert workspace.is_dir() and not (root / "mnist").exists()

    # The next start, without TFDS's slow part.
    tfds = pytest.importorskip("tensorflow_datasets")

    class Builder:
        def __init__(self, name, data_dir):
            self.data_dir = data_dir

        def download_and_prepare(self):
            assert not (self.data_dir / "mnist").exists()
            (self.data_dir / "mnist" / "3.0.1").mkdir(parents=True)

    monkeypatch.setattr(tfds, "builder", Builder)
    monkeypatch.setattr(data, "_read_prepared", lambda root: root)
    assert data.load_mnist(str(real_files), "real") == root
    assert tree(root) == ["mnist", "mnist/3.0.1"]


# The command.


def test_command_prints_description_location_and_fingerprint(capsys):
    assert command.main(["--only", "mnist", "--data", "stand-in"]) == 0
    lines = capsys.readouterr().out.splitlines()
    dataset = data.load_mnist(source="stand-in")
    assert lines == [
        dataset.description,
        "read from scikit-learn",
        f"fingerprint {dataset.fingerprint}",
    ]


def test_command_reports_errors_in_one_line(folder, capsys):
    assert command.main(["--only", "mnist", "--data-dir", str(folder / "missing")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: The data folder ")
    assert captured.err.count("\n") == 1
