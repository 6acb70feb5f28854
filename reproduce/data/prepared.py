"""Data sets that TensorFlow Datasets (TFDS) prepares from their original files, and keeps."""

import contextlib
import dataclasses
import io
from pathlib import Path
import shutil
import sys

from reproduce.data import store
from reproduce.harness import process
from reproduce.harness.errors import DataError, one_line
from reproduce.harness.files import locked

ANEW = "Delete the folder; the next start prepares it anew."


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
        examples: How many it has.
        seconds: What preparing it takes.
    """

    title: str
    builder: str
    subfolders: tuple[str, ...]
    publisher: str
    originals: str
    examples: int
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
        root = store.find_root(data_dir)
        if self.path(root).is_dir():
            return self.path(root)
        origin, files = self._first(store.places(root, self.subfolders))
        for target in (store.default_root(), store.temporary_root()):
            if self.path(target).is_dir():
                return self.path(target)
        if not files:
            origin, files = self._first([store.FILES / self.subfolders[0]])
            if files and data_dir is not None and not quiet:
                print(f"{root} has no {self.title}; this repository does.", file=sys.stderr)
        if not files:
            origin, files = self.publisher, self._downloaded(root)
            self.check_files(files, origin)
        target = store.writable_root()
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

        path = self.path(root)
        name = self.subfolders[0]
        workspace = root / f".{name}-being-prepared"
        manual = workspace / "downloads" / "manual"
        subject = f"{origin} ({', '.join(files)})"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with process.ctrl_c_raised(), locked(root / ".locks" / f"{name}.lock", self.title):
                if path.is_dir():  # Another process prepared it while we waited.
                    return
                shutil.rmtree(workspace, ignore_errors=True)  # Left by a start that was killed.
                try:
                    manual.mkdir(parents=True)
                    for name, content in files.items():
                        (manual / name).write_bytes(content)
                    self._build(workspace, quiet or not sys.stderr.isatty())
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

    def _build(self, workspace: Path, without_bar: bool) -> None:
        import tensorflow_datasets as tfds
        from tqdm import tqdm

        tfds.disable_progress_bar()  # It has four, which come and go.
        builder = tfds.builder(self.builder, data_dir=workspace)
        generate = builder._generate_examples
        title = f"Preparing {self.title}"
        bar = tqdm(total=self.examples, desc=title, disable=without_bar, leave=False)

        def counted(*args, **kwargs):
            for example in generate(*args, **kwargs):
                bar.update()
                yield example

        builder._generate_examples = counted
        with bar, contextlib.redirect_stdout(io.StringIO()):  # It names the workspace.
            builder.download_and_prepare()

    @property
    def replacement(self) -> str:
        """The remedy for an original that is damaged."""
        return f"Replace it by what {self.publisher} publishes."


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
