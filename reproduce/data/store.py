"""Where data sets are kept: TensorFlow Datasets' folders, written whole or not at all."""

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

from reproduce.harness import interrupts
from reproduce.harness.errors import DataError
from reproduce.harness.messages import one_line

SOURCES = ("auto", "real", "stand-in")
_CONNECTION_TIMEOUT = 10  # seconds


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set as TFDS keeps it.

    Attributes:
        title: What people call it.
        builder: Its name for `tfds.builder`, with the version.
        folder: Its folder in a root.
        megabytes: What preparing it needs.
    """

    title: str
    builder: str
    folder: str
    megabytes: int

    def path(self, root: Path) -> Path:
        # Complete if it exists at all: it only ever appears by the renaming of a finished folder.
        return root / self.folder

    def prepare(self, root: Path, files: dict[str, bytes], check=None) -> None:
        """Lets TFDS write its copy under `root` from these files, whole or not at all.

        `check`, if given, is called with the folder of the copy before it becomes one.

        Raises:
            DataError: If it cannot be written.
            ValueError: If the data set's builder refuses what is in the files.
        """
        import tensorflow as tf
        import tensorflow_datasets as tfds

        path = self.path(root)
        print(f"Preparing {self.title} once (about half a minute) in {path} ...", file=sys.stderr)
        workspace = root / f".{self.folder.partition('/')[0]}-being-prepared"
        manual = workspace / "downloads" / "manual"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with interrupts.raised(), _lock(root):
                if path.is_dir():  # Another process prepared it while we waited.
                    return
                shutil.rmtree(workspace, ignore_errors=True)  # Left by a start that was killed.
                try:
                    manual.mkdir(parents=True)
                    for name, content in files.items():
                        (manual / name).write_bytes(content)
                    tfds.display_progress_bar(sys.stderr.isatty())
                    with contextlib.redirect_stdout(io.StringIO()):  # It names the workspace.
                        tfds.builder(self.builder, data_dir=workspace).download_and_prepare()
                    if check is not None:
                        check(self.path(workspace))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self.path(workspace).rename(path)
                finally:
                    shutil.rmtree(workspace, ignore_errors=True)
        except (OSError, tf.errors.OpError) as error:
            raise DataError(
                f"{self.title} cannot be prepared in {root}: {one_line(error)}. "
                "Set TFDS_DATA_DIR to a folder that can be written to and has "
                f"{self.megabytes} MB to spare."
            ) from error


def default_root() -> Path:
    """TFDS's own default."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def find_root(data_dir: str | Path | None, source: str) -> Path:
    """The folder to look in.

    Raises:
        DataError: If `data_dir` is not a folder.
        ValueError: If `source` is none of `SOURCES`.
    """
    if source not in SOURCES:
        raise ValueError(
            f'`source` must be "auto", "real" or "stand-in". Received: source={source!r}'
        )
    try:
        root = default_root() if data_dir is None else Path(data_dir).expanduser()
        if root.is_dir() or (data_dir is None and not root.exists()):
            return root
        problem = "is not a folder" if root.exists() else "does not exist"
    except (OSError, RuntimeError) as error:  # A name too long; the home of nobody.
        root = Path(data_dir or os.environ["TFDS_DATA_DIR"])
        problem = f"cannot be found ({one_line(error)})"
    raise DataError(f"The data folder {str(root):.200} {problem}. Name an existing folder.")


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


def writable_root(root: Path, folder: Path) -> Path:
    """Where a copy of what was found in `folder` goes: never into somebody else's folder."""
    if folder != root and os.access(root, os.W_OK):
        return root
    default = default_root()
    if default.resolve() == root.resolve():
        return Path("~/tensorflow_datasets").expanduser()
    return default


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
