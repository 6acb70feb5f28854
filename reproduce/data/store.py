"""Where data is found, and where TensorFlow Datasets (TFDS) keeps its copies.

Looked for in this order: the folder that the user names, or else TFDS's own (`$TFDS_DATA_DIR` or
`~/tensorflow_datasets`); the files in this repository; the network. A copy that TFDS prepares goes
to TFDS's own folder, or where that cannot be written to a temporary one: the checkout and the
folders that users name are only read.
"""

import contextlib
import dataclasses
import gzip
import hashlib
import http.client
import io
import os
from pathlib import Path
import shutil
import sys
import tempfile
import urllib.request
import zlib

import filelock

from reproduce.harness import interrupts
from reproduce.harness.errors import DataError
from reproduce.harness.messages import one_line

FILES = Path(__file__).with_name("files")
_CONNECTION_TIMEOUT = 10  # seconds
PREPARED_ANEW = "Delete the folder; the next start prepares it anew."
_LARGEST = 100_000_000  # bytes of an unpacked file; the largest there is has 47 MB


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set that TFDS prepares once, from its original files, and keeps.

    Attributes:
        title: What people call it.
        builder: Its name for `tfds.builder`, with the version.
        subfolders: Where in a folder of data its original files may be; in the repository, the
            first.
        publisher: Who has the original.
        originals: What to put where it can be found, for the message when there is nothing.
        seconds: What preparing it takes.
    """

    title: str
    builder: str
    subfolders: tuple[str, ...]
    publisher: str
    originals: str
    seconds: int

    def find(self, folder: Path) -> dict[str, bytes]:
        """The original files that are in a folder, by name; empty if there are none."""
        raise NotImplementedError

    def download(self) -> dict[str, bytes]:
        """The original files from the network; a ConnectionError without one."""
        raise NotImplementedError

    def check_files(self, files: dict[str, bytes], origin: str) -> None:
        """Raise a DataError if files, found in `origin`, are known to be damaged."""

    def check_copy(self, folder: Path, subject: str) -> None:
        """Raise a DataError if a copy that was just prepared, from `subject`, is wrong."""

    def path(self, root: Path) -> Path:
        # Complete if it exists at all: it only ever appears by the renaming of a finished folder.
        return root / self.builder.replace(":", "/")

    def locate(self, data_dir: str | Path | None, quiet: bool = False) -> Path:
        """The folder of the copy that TFDS has prepared, or now prepares.

        Raises:
            DataError: If `data_dir` is not a folder, if files are there but damaged or incomplete,
                if there are none, or if nothing can be written.
        """
        root = find_root(data_dir)
        if self.path(root).is_dir():
            return self.path(root)
        origin, files = self._first(places(root, self.subfolders))
        for target in (default_root(), temporary_root()):
            if self.path(target).is_dir():
                return self.path(target)
        if not files:
            if data_dir is not None and not quiet:
                print(f"There is no {self.title} in {root}.", file=sys.stderr)
            origin, files = self._first([FILES / self.subfolders[0]])
        if not files:
            origin, files = self.publisher, self._downloaded(root)
            self.check_files(files, origin)
        target = writable_root()
        if not quiet:
            print(
                f"Preparing {self.title} once (about {self.seconds} s) in {self.path(target)} ...",
                file=sys.stderr,
            )
        self.prepare(target, files, origin, quiet)
        return self.path(target)

    def _first(self, folders: list[Path]) -> tuple[str, dict[str, bytes]]:
        for folder in folders:
            files = self.find(folder)
            self.check_files(files, str(folder))
            if files:
                return str(folder), files
        return "", {}

    def _downloaded(self, root: Path) -> dict[str, bytes]:
        try:
            return self.download()
        except ConnectionError as error:
            raise DataError(
                f"{self.title} is not in {root} and cannot be downloaded ({error}). Put "
                f"{self.originals} into {root / self.subfolders[0]}, or name the folder that holds "
                "them."
            ) from error

    def prepare(self, root: Path, files: dict[str, bytes], origin: str, quiet: bool) -> None:
        """Lets TFDS write its copy under `root` from these files, whole or not at all.

        Raises:
            DataError: If it cannot be written, or the builder refuses what is in the files.
        """
        import tensorflow as tf
        import tensorflow_datasets as tfds

        path = self.path(root)
        workspace = root / f".{self.builder.partition(':')[0].replace('/', '-')}-being-prepared"
        manual = workspace / "downloads" / "manual"
        subject = f"{origin} ({', '.join(files)})"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with interrupts.raised(), filelock.FileLock(f"{workspace}.lock"):
                if path.is_dir():  # Another process prepared it while we waited.
                    return
                shutil.rmtree(workspace, ignore_errors=True)  # Left by a start that was killed.
                try:
                    manual.mkdir(parents=True)
                    for name, content in files.items():
                        (manual / name).write_bytes(content)
                    tfds.display_progress_bar(sys.stderr.isatty() and not quiet)
                    with contextlib.redirect_stdout(io.StringIO()):  # It names the workspace.
                        tfds.builder(self.builder, data_dir=workspace).download_and_prepare()
                    self.check_copy(self.path(workspace), subject)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self.path(workspace).rename(path)
                finally:
                    shutil.rmtree(workspace, ignore_errors=True)
        except ValueError as error:
            raise DataError(f"{subject}: {error} {self.replacement}") from error
        except (OSError, NotImplementedError, tf.errors.OpError) as error:
            raise DataError(
                f"{self.title} cannot be prepared in {root}: {one_line(error)}. "
                "Set TFDS_DATA_DIR to a folder that can be written to and has 200 MB to spare."
            ) from error

    @property
    def replacement(self) -> str:
        """The remedy for an original that is damaged."""
        return f"Replace it by what {self.publisher} publishes."


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
    """TFDS's own folder, or a temporary one in its place, and then a line says so."""
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
    root = find_root(data_dir)
    for folder in [*places(root, (subfolder,)), FILES / subfolder]:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.exists():
                content = read_unpacked(path)
                check_sha256(content, sha256, str(path), "Replace it by the original.")
                return content, path
    raise DataError(f"There is no {name}.gz in {root / subfolder}. Put it there.")


def read_copy(folder: Path, split: str, names: tuple[str, ...], subject: str, remedy: str):
    """Arrays of these features, in the order in which TFDS has stored the examples.

    Raises:
        DataError: If what is in the folder cannot be read; it names the subject and the remedy.
    """
    from absl import logging
    import tensorflow_datasets as tfds

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TFDS warns of what it does itself.
    try:
        examples = tfds.builder_from_directory(folder).as_dataset(
            split=split,
            batch_size=-1,
            read_config=tfds.ReadConfig(interleave_cycle_length=1),  # One shard at a time.
        )
        return [examples[name].numpy() for name in names]
    except Exception as error:  # TFDS raises as many types as there are kinds of damage.
        raise DataError(f"{subject} cannot be read: {one_line(error)}. {remedy}") from error
    finally:
        logging.set_verbosity(verbosity)


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
