"""MNIST and Fashion-MNIST for the experiments, as arrays in the original file order.

TensorFlow Datasets (TFDS) checks and stores them, but shuffles each once, when it writes its copy.
The experiment needs the order of the original files (its validation set is the first 5000 training
images and its batches are never shuffled), so the order is restored here and every array is checked
against the SHA-256 of the original bytes.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from reproduce.data import store
from reproduce.data.prepared import ANEW, Prepared, read_copy
from reproduce.data.store import check_sha256, read_file
from reproduce.harness.errors import DataError

_NAMES = tuple(
    f"{split}-{content}-ubyte"
    for split in ("train", "t10k")
    for content in ("images-idx3", "labels-idx1")
)
_ARRAYS = [(split, feature) for split in ("train", "test") for feature in ("image", "label")]
_HEADERS = (16, 8, 16, 8)  # bytes before the pixels or labels


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels in the original file order.

    Attributes:
        train_images: uint8 array of shape `(n, 28, 28, 1)`.
        train_labels: int32 array of shape `(n,)`, values 0 to 9.
        test_images: uint8 array of shape `(m, 28, 28, 1)`.
        test_labels: int32 array of shape `(m,)`, values 0 to 9.
        description: One line for the console and a figure's title.
        fingerprint: SHA-256, in hexadecimal, of the bytes of the four arrays in the order above.
        location: The folder that the data was read from.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    description: str
    fingerprint: str
    location: str = ""


@dataclasses.dataclass(frozen=True)
class ImageFiles(Prepared):
    """Four files of images and labels, packed (`.gz`) or not.

    Attributes:
        file_sha256: SHA-256 of the four packed files as they are published, in the order of
            `_NAMES`.
        array_sha256: Of what they hold: one byte per pixel or label, without the headers.
    """

    file_sha256: tuple[str, ...] = ()
    array_sha256: tuple[str, ...] = ()

    def find(self, folder):
        packed = [name for name in _NAMES if (folder / f"{name}.gz").exists()]
        unpacked = [name for name in _NAMES if (folder / name).exists()]
        if len(packed) == 4:
            return {f"{name}.gz": read_file(folder / f"{name}.gz") for name in _NAMES}
        if len(unpacked) == 4:
            for name, header, expected in zip(_NAMES, _HEADERS, self.array_sha256):
                content = read_file(folder / name)[header:]
                check_sha256(content, expected, str(folder / name), self.replacement)
            # TFDS wants the files as they are published, which the repository has.
            return self.find(store.FILES / self.subfolders[0])
        if packed or unpacked:
            missing = ", ".join(f"{name}.gz" for name in _NAMES if name not in packed)
            raise DataError(
                f"{folder} holds only a part of {self.title}. Add what is missing: {missing}."
            )
        return {}

    def download(self):
        return {f"{name}.gz": store.download(f"{self.publisher}{name}.gz") for name in _NAMES}

    def check_files(self, files, origin):
        for (name, content), expected in zip(files.items(), self.file_sha256):
            check_sha256(content, expected, str(Path(origin, name)), self.replacement)


_PACKED = f"the four files {'.gz, '.join(_NAMES)}.gz, with their names unchanged,"

MNIST = ImageFiles(
    "MNIST",
    builder="mnist:3.0.1",
    subfolders=("mnist", "MNIST/raw"),  # torchvision's layout
    publisher="https://storage.googleapis.com/cvdf-datasets/mnist/",
    originals=_PACKED,
    examples=70000,
    seconds=25,
    file_sha256=(
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    array_sha256=(
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
)
FASHION_MNIST = ImageFiles(
    "Fashion-MNIST",
    builder="fashion_mnist:3.0.1",
    subfolders=("fashion_mnist", "FashionMNIST/raw"),
    publisher="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    originals=_PACKED,
    examples=70000,
    seconds=25,
    file_sha256=(
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    array_sha256=(
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    ),
)


def load_mnist(data_dir: str | Path | None = None, quiet: bool = False) -> Dataset:
    """Loads MNIST.

    Looked for, in this order: a copy prepared by TFDS in `data_dir`; the four original files in
    `data_dir`, or in it in `mnist`, `MNIST/raw` or `downloads/manual`; the files in this
    repository; the network. TFDS prepares its copy once, in its own folder.

    Args:
        data_dir: An existing folder. `None` means TFDS's own: `$TFDS_DATA_DIR`, or else
            `~/tensorflow_datasets`.
        quiet: Whether to say nothing of the preparation, which takes half a minute.

    Returns:
        A `Dataset`.

    Raises:
        DataError: If `data_dir` is not a folder, if data is there but damaged or incomplete, or if
            nothing can be written.
    """
    return _read(MNIST, MNIST.locate(data_dir, quiet))


def load_fashion_mnist(data_dir: str | Path | None = None, quiet: bool = False) -> Dataset:
    """Loads Fashion-MNIST: as `load_mnist`, but that the repository does not hold it.

    Its four files have the names of MNIST's; their folder in `data_dir` is `fashion_mnist` or
    `FashionMNIST/raw`.
    """
    return _read(FASHION_MNIST, FASHION_MNIST.locate(data_dir, quiet))


def _read(source: ImageFiles, folder: Path) -> Dataset:
    arrays = []
    for split in ("train", "test"):
        stored = read_copy(folder, split, ("image", "label"), str(folder), ANEW)
        # TFDS sorted the examples by the MD5 of their position in the file, salted by the split.
        order = sorted(
            range(len(stored[1])),
            key=lambda index: hashlib.md5(f"{split}{index}".encode()).digest(),
        )
        for values in stored:
            arrays.append(np.empty_like(values, np.uint8))
            arrays[-1][order] = values
    for array, expected, (split, feature) in zip(arrays, source.array_sha256, _ARRAYS):
        check_sha256(array.tobytes(), expected, f"{folder} ({split} {feature}s)", ANEW)
    arrays = [array.astype(np.int32) if array.ndim == 1 else array for array in arrays]
    content = b"".join(array.tobytes() for array in arrays)
    return Dataset(
        *arrays,
        description=(f"{source.title} ({len(arrays[1])} training, {len(arrays[3])} test images)"),
        fingerprint=hashlib.sha256(content).hexdigest(),
        location=str(folder),
    )
