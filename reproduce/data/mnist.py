"""MNIST for the experiments, as arrays in the original file order.

TensorFlow Datasets (TFDS) downloads, checks and stores MNIST, but shuffles it once, when it
writes its copy. The experiment needs the order of the original files (its validation set is the
first 5000 training images and its batches are never shuffled), so the order is restored here and
every array is checked against the SHA-256 of the original bytes.
"""

import dataclasses
import hashlib
from pathlib import Path
import sys

import numpy as np

from reproduce.data.store import (
    Prepared,
    check_sha256,
    download,
    find_root,
    read_file,
    writable_root,
)
from reproduce.harness.errors import DataError
from reproduce.harness.messages import one_line

PREPARED = Prepared("MNIST", builder="mnist:3.0.1", folder="mnist/3.0.1", megabytes=200)
_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"

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


def load_mnist(data_dir: str | Path | None = None, source: str = "auto") -> Dataset:
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
    root = find_root(data_dir, source)
    if source == "stand-in":
        return _stand_in()
    if PREPARED.path(root).is_dir():
        return _read_prepared(root)

    folder = _folder_with_files(root)
    if folder is not None:
        files = _read_files(folder)
        target = writable_root(root, folder)
        if not PREPARED.path(target).is_dir():
            PREPARED.prepare(target, files)
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
    PREPARED.prepare(root, files)
    return _read_prepared(root)


def _folder_with_files(root: Path) -> Path | None:
    for folder in (root, root / "downloads" / "manual"):
        if any((folder / name).exists() for name in _FILE_SHA256):
            return folder
    return None


def _read_files(folder: Path) -> dict[str, bytes]:
    missing = [name for name in _FILE_SHA256 if not (folder / name).exists()]
    if missing:
        raise DataError(
            f"{folder} holds only a part of MNIST. Add what is missing: {', '.join(missing)}."
        )
    files = {}
    for name in _FILE_SHA256:
        files[name] = read_file(folder / name)
        _check_file(name, files[name], origin=str(folder / name))
    return files


def _download_files() -> dict[str, bytes]:
    files = {}
    for name in _FILE_SHA256:
        files[name] = download(_URL + name)
        _check_file(name, files[name], origin=_URL + name)
    return files


def _check_file(name: str, content: bytes, origin: str) -> None:
    check_sha256(content, _FILE_SHA256[name], origin, f"Replace it by the file from {_URL}.")


def _read_prepared(root: Path) -> Dataset:
    import tensorflow_datasets as tfds

    folder = PREPARED.path(root)
    remedy = "Delete the folder; the next start prepares it anew."
    arrays = []
    for split in ("train", "test"):
        try:
            examples = tfds.builder_from_directory(folder).as_dataset(
                split=split,
                batch_size=-1,
                read_config=tfds.ReadConfig(interleave_cycle_length=1),  # One shard at a time.
            )
            stored = {name: examples[name].numpy().astype(np.uint8) for name in ("image", "label")}
        except Exception as error:  # TFDS raises as many types as there are kinds of damage.
            raise DataError(f"{folder} cannot be read: {one_line(error)}. {remedy}") from error
        # TFDS sorted the examples by the MD5 of their position in the file, salted by the split.
        order = sorted(
            range(len(stored["label"])),
            key=lambda index: hashlib.md5(f"{split}{index}".encode()).digest(),
        )
        for feature, values in stored.items():
            array = np.empty_like(values)
            array[order] = values
            subject = f"{folder} ({split} {feature}s)"
            check_sha256(array.tobytes(), _ARRAY_SHA256[split, feature], subject, remedy)
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
