"""MNIST: where it is looked for, what is refused, and the order of the images."""

import dataclasses
import gzip
import hashlib
import io
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import threading
import time

import filelock
import numpy as np
import pytest

from reproduce.data import DataError, load_fashion_mnist, load_mnist, mnist, store
from reproduce.data.prepared import Prepared

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
NAMES = tuple(f"{stem}.gz" for stem in STEMS)
HEADERS = (16, 8, 16, 8)
PLACES = (".", "mnist", "MNIST/raw", "downloads/manual")
REPOSITORY = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def dataset(tfds_data_dir):
    """MNIST, as TFDS has prepared it; the first test of all that needs it waits half a minute."""
    return load_mnist()


@pytest.fixture
def prepared_copy(dataset, folder):
    """A folder with a copy of its own for each test, which may damage it."""
    shutil.copytree(Path(dataset.location).parent, folder / "mnist")
    return folder


@pytest.fixture
def contents(tmp_path, monkeypatch):
    """Four small files, by name, that pass for the original ones; the repository has them."""
    unpacked = [f"{'header':16}"[:header] + f"of {header}" for header in HEADERS]
    packed = dict(zip(NAMES, (gzip.compress(each.encode()) for each in unpacked)))
    fake = dataclasses.replace(
        mnist.MNIST,
        file_sha256=tuple(hashlib.sha256(each).hexdigest() for each in packed.values()),
        array_sha256=tuple(
            hashlib.sha256(each[header:].encode()).hexdigest()
            for each, header in zip(unpacked, HEADERS)
        ),
    )
    monkeypatch.setattr(mnist, "MNIST", fake)
    monkeypatch.setattr(store, "FILES", tmp_path / "files")
    put(tmp_path / "files" / "mnist", packed)
    return packed


@pytest.fixture
def prepared(monkeypatch):
    """A list of what has been prepared: folder, files, their origin, and whether quietly."""
    calls = []

    def prepare(self, root, *more):
        calls.append((root, *more))
        self.path(root).mkdir(parents=True)

    monkeypatch.setattr(Prepared, "prepare", prepare)
    monkeypatch.setattr(mnist, "_read", lambda source, path: path)
    return calls


def put(folder, files, unpacked=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if unpacked:
            name, content = name.removesuffix(".gz"), gzip.decompress(content)
        (folder / name).write_bytes(content)


def tree(path):
    found = sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))
    return [entry for entry in found if not entry.startswith(".locks")]


def home(tmp_path):
    return tmp_path / "home" / "tensorflow_datasets"


# Where it is looked for.


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_files_are_found_and_left_alone(
    contents, prepared, folder, tmp_path, place, unpacked, capsys
):
    put(folder / place, contents, unpacked)
    before = tree(folder)
    path = home(tmp_path) / "mnist" / "3.0.1"
    assert [load_mnist(folder) for _ in range(2)] == [path, path]
    assert prepared == [(home(tmp_path), contents, str(folder / place), False)]
    assert tree(folder) == before
    assert f"Preparing MNIST once (about 25 s) in {path}" in capsys.readouterr().err


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("position, byte", [(-1, b""), (20, b"?")])
def test_a_damaged_file_is_an_error(contents, prepared, folder, place, unpacked, position, byte):
    put(folder / place, contents, unpacked)
    load_mnist(folder)  # The copy of today does not excuse what is damaged tomorrow.
    file = folder / place / (STEMS if unpacked else NAMES)[2]
    content = file.read_bytes()
    file.write_bytes(content[:position] + byte + content[position:][1:])
    with pytest.raises(DataError, match="damaged, or not the original") as caught:
        load_mnist(folder)
    expected = (mnist.MNIST.array_sha256 if unpacked else mnist.MNIST.file_sha256)[2]
    found = hashlib.sha256(file.read_bytes()[16 * unpacked :]).hexdigest()
    for each in (str(file), expected, found, mnist.MNIST.publisher):
        assert each in str(caught.value)


def test_a_missing_file_is_an_error(contents, folder):
    put(folder, contents)
    (folder / NAMES[1]).unlink()
    with pytest.raises(DataError, match="only a part of MNIST") as caught:
        load_mnist(folder)
    assert str(folder) in str(caught.value) and NAMES[1] in str(caught.value)
    assert NAMES[0] not in str(caught.value)


def test_data_dir_must_be_an_existing_folder(tmp_path):
    with pytest.raises(DataError, match="missing does not exist"):
        load_mnist(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        load_mnist(str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be found"):
        load_mnist("~nobody_has_this_name/data")


def test_what_the_users_folder_lacks_is_in_the_repository(prepared, folder, mnist_dir, capsys):
    load_mnist(folder)
    ((_, files, origin, _),) = prepared
    assert files == {name: (mnist_dir / name).read_bytes() for name in NAMES}
    assert origin == str(mnist_dir) and tree(folder) == []
    assert f"{folder} has no MNIST; this repository does." in capsys.readouterr().err


def test_quiet(contents, prepared, folder, capsys):
    load_mnist(folder, quiet=True)
    assert prepared[0][-1] is True
    assert capsys.readouterr() == ("", "")


def test_a_copy_in_the_users_folder_comes_first(contents, prepared, folder, monkeypatch):
    put(folder, contents)
    (folder / "mnist" / "3.0.1").mkdir(parents=True)
    assert load_mnist(folder) == folder / "mnist" / "3.0.1"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    assert load_mnist() == folder / "mnist" / "3.0.1"
    assert prepared == []


@pytest.mark.usefixtures("no_files")
def test_without_files_and_network_there_is_an_error(folder):
    with pytest.raises(DataError, match="cannot be downloaded") as caught:
        load_mnist(folder)
    for expected in (*NAMES, str(folder / "mnist"), "no network in tests"):
        assert expected in str(caught.value)
    assert tree(folder) == []


def test_a_download(contents, prepared, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "files")
    served = dict(contents)

    def urlopen(url, timeout):
        assert timeout <= 30
        return io.BytesIO(served[url.rsplit("/", 1)[1]])

    monkeypatch.setattr(store.urllib.request, "urlopen", urlopen)
    load_mnist()
    assert prepared == [(home(tmp_path), contents, mnist.MNIST.publisher, False)]
    shutil.rmtree(home(tmp_path))
    served[NAMES[0]] = b"login"
    with pytest.raises(DataError, match="storage.googleapis.com.*train-images.*damaged"):
        load_mnist()
    assert not home(tmp_path).exists()


@pytest.mark.usefixtures("no_files")
def test_fashion_mnist_has_folders_of_its_own(prepared, folder, tmp_path):
    (folder / "mnist").mkdir()
    (folder / "mnist" / NAMES[0]).write_bytes(b"MNIST's")
    with pytest.raises(DataError, match="Fashion-MNIST is not in .*/fashion_mnist, or name"):
        load_fashion_mnist(folder)
    put(folder / "FashionMNIST" / "raw", dict.fromkeys(NAMES, b"MNIST's"))
    with pytest.raises(DataError, match="FashionMNIST/raw/train-images-idx3-ubyte.gz: damaged"):
        load_fashion_mnist(folder)


# Where the copy goes.


def test_the_copy_goes_to_the_folder_of_tfds(contents, prepared, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "to be made"))
    assert load_mnist(folder) == tmp_path / "to be made" / "mnist" / "3.0.1"


@pytest.mark.parametrize("name", ["HOME", "TFDS_DATA_DIR"])
def test_an_unwritable_folder_is_replaced(contents, prepared, tmp_path, monkeypatch, name, capsys):
    monkeypatch.setenv(name, "/proc/nothing")  # which not even root can make
    paths = [load_mnist() for _ in range(2)]
    ((root, *_),) = prepared
    assert root.parent == tmp_path / "temporary"
    assert paths == [root / "mnist" / "3.0.1"] * 2
    err = capsys.readouterr().err
    assert err.count("cannot be written to") == 1 and "/proc/nothing" in err and str(root) in err


def test_the_repository_is_never_written_to(contents, prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "files"))
    before = tree(tmp_path / "files")
    assert tmp_path / "temporary" in load_mnist().parents
    assert tree(tmp_path / "files") == before
    assert "is in the repository" in capsys.readouterr().err


# Preparing.


def fake_builder(monkeypatch, download_and_prepare):
    """A builder in place of TFDS's, which is slow."""
    import tensorflow_datasets as tfds

    class Builder:
        _generate_examples = None

        def __init__(self, name, data_dir):
            self.data_dir = data_dir

    Builder.download_and_prepare = download_and_prepare
    monkeypatch.setattr(tfds, "builder", Builder)
    monkeypatch.setattr(mnist, "_read", lambda source, path: path)


def made(builder):
    assert not (builder.data_dir / "mnist").exists()
    (builder.data_dir / "mnist" / "3.0.1").mkdir(parents=True)


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_preparation_that_fails(contents, tmp_path, monkeypatch, failure):
    def fail(builder):
        (builder.data_dir / "mnist" / "incomplete.ABCDEF_3.0.1").mkdir(parents=True)
        raise failure

    fake_builder(monkeypatch, fail)
    # A full disk is reported with the folder's name; Ctrl-C stays Ctrl-C.
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        load_mnist()
    if expected is DataError:
        assert str(home(tmp_path)) in str(caught.value) and "disk full" in str(caught.value)
    assert tree(home(tmp_path)) == []


def test_what_another_process_prepares_is_waited_for(contents, tmp_path, monkeypatch, capsys):
    fake_builder(monkeypatch, made)
    home(tmp_path).mkdir(parents=True)
    results = []
    with filelock.FileLock(home(tmp_path) / ".locks" / "mnist.lock"):
        waiting = threading.Thread(target=lambda: results.append(load_mnist()))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive() and not (home(tmp_path) / "mnist").exists()
        (home(tmp_path) / "mnist" / "3.0.1" / "theirs").mkdir(parents=True)
    waiting.join(30)
    assert results == [home(tmp_path) / "mnist" / "3.0.1"]
    assert tree(results[0]) == ["theirs"]
    assert "Waiting for another process" in capsys.readouterr().err


@pytest.mark.slow
def test_start_after_one_that_was_killed(contents, tmp_path, monkeypatch):
    root = home(tmp_path)
    workspace = root / ".mnist-being-prepared"
    process = subprocess.Popen(
        [sys.executable, "-m", "reproduce.data", "--only", "mnist"],
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
    fake_builder(monkeypatch, made)
    load_mnist()
    assert tree(root) == ["mnist", "mnist/3.0.1"]


# What is loaded.


@pytest.mark.slow
def test_both_splits_are_in_file_order(dataset, mnist_dir):
    for images, labels, stem, count in (
        (dataset.train_images, dataset.train_labels, "train", 60000),
        (dataset.test_images, dataset.test_labels, "t10k", 10000),
    ):
        content = gzip.decompress((mnist_dir / f"{stem}-images-idx3-ubyte.gz").read_bytes())
        expected = np.frombuffer(content, np.uint8, offset=16).reshape(count, 28, 28, 1)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, expected)
        content = gzip.decompress((mnist_dir / f"{stem}-labels-idx1-ubyte.gz").read_bytes())
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, np.frombuffer(content, np.uint8, offset=8))
    assert dataset.description == "MNIST (60000 training, 10000 test images)"


@pytest.mark.slow
def test_the_fingerprint_is_that_of_the_four_arrays(dataset):
    arrays = ("train_images", "train_labels", "test_images", "test_labels")
    content = b"".join(getattr(dataset, name).tobytes() for name in arrays)
    assert dataset.fingerprint == hashlib.sha256(content).hexdigest()
    assert dataset.fingerprint.startswith("bab833be")  # that of the committed results


@pytest.mark.slow
def test_an_altered_copy_is_an_error(prepared_copy, monkeypatch):
    expected = (*mnist.MNIST.array_sha256[:3], "0" * 64)
    monkeypatch.setattr(mnist, "MNIST", dataclasses.replace(mnist.MNIST, array_sha256=expected))
    with pytest.raises(DataError, match="Delete the folder") as caught:
        load_mnist(prepared_copy)
    found = "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"
    for each in (str(prepared_copy / "mnist" / "3.0.1"), "0" * 64, found):
        assert each in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dataset_info.json", "mnist-train.tfrecord-00000-of-00001"])
def test_a_truncated_copy_is_an_error(prepared_copy, name):
    file = prepared_copy / "mnist" / "3.0.1" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 20])
    with pytest.raises(DataError, match="mnist/3.0.1 cannot be read.*Delete the folder"):
        load_mnist(prepared_copy)
