"""MNIST for the experiments, as arrays in the original file order.

TensorFlow Datasets (TFDS) downloads, checks and stores MNIST, but shuffles it once, when it
writes its copy. The experiment needs the order of the original files (its validation set is the
first 5000 training images and its batches are never shuffled), so the order is restored here and
every array is checked against the SHA-256 of the original bytes.

`python -m reproduce.data` says what would be read, and from where.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import io
import os
from pathlib import Path
import shutil
import sys
import urllib.request

import numpy as np

__all__ = ["DataError", "Dataset", "load_mnist"]

_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_CONNECTION_TIMEOUT = 10  # seconds

# SHA-256 of the four files as they are published.
_FILE_SHA256 = {
    f"{stem}-ubyte.gz": digest
    for stem, digest in {
        "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }.items()
}

# SHA-256 of what the files hold: one byte per pixel or label, in file order, without the headers.
_ARRAY_SHA256 = {
    ("train", "image"): "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ("train", "label"): "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ("test", "image"): "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ("test", "label"): "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


class DataError(Exception):
    """The data cannot be had as asked; the message names the file or folder and the remedy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels in the original file order.

    Attributes:
        train_images: uint8 array of shape `(n, 28, 28, 1)`.
        train_labels: int32 array of shape `(n,)`, values 0 to 9.
        test_images: uint8 array of shape `(m, 28, 28, 1)`.
        test_labels: int32 array of shape `(m,)`, values 0 to 9.
        source: `"real"` or `"stand-in"`.
        description: One line for the console and a figure's title.
        fingerprint: SHA-256, in hexadecimal, of the bytes of the four arrays in the order above.
        location: Where the data was read from: a folder, or the name of a package.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    description: str
    fingerprint: str
    location: str = ""


def load_mnist(data_dir: str | None = None, source: str = "auto") -> Dataset:
    """Loads MNIST, or its stand-in where MNIST is not to be had.

    Looked for, in this order: a copy prepared by TFDS in `data_dir`; the four original files in
    `data_dir` or in `data_dir/downloads/manual`, from which TFDS then prepares its copy; the
    network. Files in `data_dir` itself are taken to be somebody else's folder and nothing is
    written there: the copy goes to TFDS's default folder, and is found there the next time.

    Args:
        data_dir: An existing folder. `None` means TFDS's default: `$TFDS_DATA_DIR`, or else
            `~/tensorflow_datasets`.
        source: `"real"` for MNIST or an error, `"stand-in"` for scikit-learn's digits, `"auto"`
            for MNIST or, only where there is none and it cannot be downloaded, the stand-in.

    Returns:
        A `Dataset`.

    Raises:
        DataError: If `data_dir` is not a folder, if data is there but damaged or incomplete (for
            `"auto"` too), if nothing can be written, or if `source="real"` finds no data.
        ValueError: If `source` is none of the three.
    """
    if source not in ("auto", "real", "stand-in"):
        raise ValueError(
            f'`source` must be "auto", "real" or "stand-in". Received: source={source!r}'
        )
    root = _default_root() if data_dir is None else Path(data_dir).expanduser()
    if not root.is_dir() and (data_dir is not None or root.exists()):
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"The data folder {root} {problem}. Name an existing folder.")
    if source == "stand-in":
        return _stand_in()
    if _prepared(root).is_dir():
        return _read_prepared(root)

    folder = _folder_with_files(root)
    if folder is not None:
        files = _read_files(folder)
        target = _writable_root(root, folder)
        if not _prepared(target).is_dir():
            _prepare(target, files)
        return _read_prepared(target)

    try:
        files = _download_files()
    except ConnectionError as error:
        problem = (
            f"MNIST is not in {root} and cannot be downloaded ({error}). Put the four files "
            f"{', '.join(_FILE_SHA256)}, with their names unchanged, into "
            f"{root / 'downloads' / 'manual'}, or name the folder that holds them."
        )
        if source == "real":
            raise DataError(problem) from error
        print(f"{problem} Going on with a stand-in.", file=sys.stderr)
        return _stand_in()
    _prepare(root, files)
    return _read_prepared(root)


def _default_root() -> Path:
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _prepared(root: Path) -> Path:
    # Complete if it exists at all: it only ever appears by the renaming of a finished folder.
    return root / "mnist" / "3.0.1"


def _folder_with_files(root: Path) -> Path | None:
    for folder in (root, root / "downloads" / "manual"):
        if any((folder / name).exists() for name in _FILE_SHA256):
            return folder
    return None


def _writable_root(root: Path, folder: Path) -> Path:
    if folder != root and os.access(root, os.W_OK):
        return root
    default = _default_root()
    if default.resolve() == root.resolve():
        return Path("~/tensorflow_datasets").expanduser()
    return default


def _read_files(folder: Path) -> dict[str, bytes]:
    missing = [name for name in _FILE_SHA256 if not (folder / name).exists()]
    if missing:
        raise DataError(
            f"{folder} holds only a part of MNIST. Add what is missing: {', '.join(missing)}."
        )
    files = {}
    for name in _FILE_SHA256:
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(f"{folder / name} cannot be read: {error}.") from error
        _check_file(name, files[name], origin=str(folder / name))
    return files


def _download_files() -> dict[str, bytes]:
    # Not left to TFDS: without a network it goes on trying for more than three minutes.
    files = {}
    for name in _FILE_SHA256:
        try:
            with urllib.request.urlopen(_URL + name, timeout=_CONNECTION_TIMEOUT) as response:
                files[name] = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"{_URL + name}: {error}") from error
        _check_file(name, files[name], origin=_URL + name)
    return files


def _check_file(name: str, content: bytes, origin: str) -> None:
    _check_sha256(content, _FILE_SHA256[name], origin, f"Replace it by the file from {_URL}.")


def _check_sha256(content: bytes, expected: str, subject: str, remedy: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"{subject}: damaged, or not the original. The SHA-256 should be {expected} but is "
            f"{found}. {remedy}"
        )


def _prepare(root: Path, files: dict[str, bytes]) -> None:
    """Lets TFDS write its copy of MNIST under `root`, whole or not at all."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    prepared = _prepared(root)
    print(f"Preparing MNIST once (about half a minute) in {prepared} ...", file=sys.stderr)
    workspace = root / ".mnist-being-prepared"
    manual = workspace / "downloads" / "manual"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root):
            if prepared.is_dir():  # Another process prepared it while we waited.
                return
            shutil.rmtree(workspace, ignore_errors=True)  # Left by a start that was killed.
            try:
                manual.mkdir(parents=True)
                for name, content in files.items():
                    (manual / name).write_bytes(content)
                tfds.display_progress_bar(sys.stderr.isatty())
                with contextlib.redirect_stdout(io.StringIO()):  # It names the workspace.
                    tfds.builder("mnist:3.0.1", data_dir=workspace).download_and_prepare()
                prepared.parent.mkdir(exist_ok=True)
                _prepared(workspace).rename(prepared)
            finally:
                shutil.rmtree(workspace, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"MNIST cannot be prepared in {root}: {error}. Set TFDS_DATA_DIR to a folder that can "
            "be written to and has 200 MB to spare."
        ) from error


@contextlib.contextmanager
def _lock(folder: Path):
    # A lock on the folder itself leaves no file behind, and ends with the process even if killed.
    import fcntl  # POSIX only, so not at the top: reading needs no lock.

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_prepared(root: Path) -> Dataset:
    import tensorflow_datasets as tfds

    folder = _prepared(root)
    remedy = "Delete the folder; the next start prepares it anew."
    arrays = []
    for split in ("train", "test"):
        try:
            examples = tfds.builder_from_directory(folder).as_dataset(
                split=split,
                batch_size=-1,
                read_config=tfds.ReadConfig(interleave_cycle_length=1),  # One shard at a time.
            )
        except Exception as error:  # TFDS raises as many types as there are kinds of damage.
            raise DataError(f"{folder} cannot be read: {error}. {remedy}") from error
        # TFDS sorted the examples by the MD5 of their position in the file, salted by the split.
        order = sorted(
            range(len(examples["label"])),
            key=lambda index: hashlib.md5(f"{split}{index}".encode()).digest(),
        )
        for feature in ("image", "label"):
            stored = examples[feature].numpy().astype(np.uint8)
            array = np.empty_like(stored)
            array[order] = stored
            subject = f"{folder} ({split} {feature}s)"
            _check_sha256(array.tobytes(), _ARRAY_SHA256[split, feature], subject, remedy)
            arrays.append(array)
    return _dataset(
        arrays,
        source="real",
        description=f"MNIST ({len(arrays[1])} training, {len(arrays[3])} test images)",
        location=str(folder),
    )


def _stand_in() -> Dataset:
    from scipy import ndimage
    from sklearn import datasets

    digits = datasets.load_digits()
    images = ndimage.zoom(digits.images, (1, 28 / 8, 28 / 8), order=1)  # Bilinear.
    images = np.rint(images[..., np.newaxis] * (255 / 16)).astype(np.uint8)  # From 0 .. 16.
    count = 1500
    return _dataset(
        [images[:count], digits.target[:count], images[count:], digits.target[count:]],
        source="stand-in",
        description=(
            "STAND-IN, not MNIST: scikit-learn's 8x8 digits scaled to 28x28 "
            f"({count} training, {len(images) - count} test images)"
        ),
        location="scikit-learn",
    )


def _dataset(arrays: list[np.ndarray], **fields: str) -> Dataset:
    arrays = [array.astype(np.int32) if array.ndim == 1 else array for array in arrays]
    content = b"".join(array.tobytes() for array in arrays)
    return Dataset(*arrays, fingerprint=hashlib.sha256(content).hexdigest(), **fields)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status, 2 after a `DataError`."""
    parser = argparse.ArgumentParser(
        prog="python -m reproduce.data", description="Find, check and if need be prepare MNIST."
    )
    parser.add_argument("--data-dir", help="folder with MNIST (default: that of TFDS)")
    parser.add_argument("--data", choices=("auto", "real", "stand-in"), default="auto")
    options = parser.parse_args(arguments)
    try:
        dataset = load_mnist(options.data_dir, options.data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(dataset.description)
    print(f"read from {dataset.location}")
    print(f"fingerprint {dataset.fingerprint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
