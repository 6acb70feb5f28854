"""Where data is found: the user's folder, TensorFlow Datasets' own, this repository, the network.

A copy that TensorFlow Datasets (TFDS) prepares goes to its own folder, `$TFDS_DATA_DIR` or
`~/tensorflow_datasets`, or where that cannot be written to a temporary one: the checkout and the
folders that users name are only read.
"""

import gzip
import hashlib
import http.client
import io
import os
from pathlib import Path
import sys
import tempfile
import urllib.request
import zlib

from reproduce.harness.errors import DataError, one_line

FILES = Path(__file__).with_name("files")
_CONNECTION_TIMEOUT = 10  # seconds
_LARGEST = 100_000_000  # bytes of an unpacked file; the largest there is has 47 MB


def default_root() -> Path:
    """TFDS's own folder: `$TFDS_DATA_DIR`, or else `~/tensorflow_datasets`."""
    try:
        return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    except RuntimeError:  # The user has no home.
        return temporary_root()


def temporary_root() -> Path:
    """Where copies go if TFDS's own folder cannot be written; each user has another."""
    return Path(tempfile.gettempdir(), f"tensorflow_datasets-{os.getuid()}")


def writable_root() -> Path:
    """TFDS's own folder, or a temporary one in its place, with a printed line."""
    root = default_root()
    if not root.resolve().is_relative_to(FILES.resolve()):
        try:
            root.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=root).close()
            return root
        except OSError as error:
            problem = f"cannot be written to ({error.strerror})"
    else:
        problem = "is in the repository"
    print(f"{root} {problem}: a temporary folder takes its place.", file=sys.stderr)
    return temporary_root()


def find_root(data_dir: str | Path | None) -> Path:
    """The folder to look in first.

    Raises:
        DataError: If `data_dir` is not a folder.
    """
    root = default_root() if data_dir is None else Path(data_dir)
    try:
        root = root.expanduser()
        if root.is_dir() or (data_dir is None and not root.exists()):
            return root
        problem = "is not a folder" if root.exists() else "does not exist"
    except (OSError, RuntimeError) as error:  # A name too long; the home of nobody.
        problem = f"cannot be found ({one_line(error)})"
    raise DataError(f"The data folder {str(root):.200} {problem}. Name an existing folder.")


def places(root: Path, subfolders: tuple[str, ...]) -> list[Path]:
    """The folders in which original files may be."""
    return [*(root / each for each in subfolders), root, root / "downloads" / "manual"]


def read_file(path: Path) -> bytes:
    """What is in a file.

    Raises:
        DataError: If it cannot be read, or is a folder or a device.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file. Put the file itself there.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def read_unpacked(path: Path) -> bytes:
    """What is in a file, unpacked if its name ends in `.gz`; raises as `read_file`."""
    content = read_file(path)
    if path.suffix != ".gz":
        return content
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read(_LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no gzip file, or is damaged: {error}.") from error


def read_original(
    data_dir: str | Path | None, subfolder: str, name: str, sha256: str
) -> tuple[bytes, Path]:
    """What is in the file `name` or `name.gz` of a data set that TFDS need not prepare; and where.

    Raises:
        DataError: If there is none, or it is damaged.
    """
    path = find_original(data_dir, subfolder, name)
    if path is None:
        where = find_root(data_dir) / subfolder
        raise DataError(f"There is no {name}.gz in {where}. Put it there.")
    content = read_unpacked(path)
    check_sha256(content, sha256, str(path), "Replace it by the original.")
    return content, path


def find_original(data_dir: str | Path | None, subfolder: str, name: str) -> Path | None:
    """Where the file `name` or `name.gz` is, in the user's folder or in this repository.

    Raises:
        DataError: If `data_dir` is not a folder.
    """
    for folder in [*places(find_root(data_dir), (subfolder,)), FILES / subfolder]:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                return path
    return None


def check_sha256(content: bytes, expected: str, subject: str, remedy: str) -> None:
    """Raise a DataError with both checksums unless `content` has the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"{subject}: damaged, or not the original. The SHA-256 should be {expected} but is "
            f"{found}. {remedy}"
        )


def download(url: str) -> bytes:
    """What is at a URL.

    Raises:
        ConnectionError: If it cannot be had.
    """
    # Not left to TFDS: without a network it goes on trying for more than three minutes.
    try:
        with urllib.request.urlopen(url, timeout=_CONNECTION_TIMEOUT) as response:
            return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"{url}: {error}") from error
