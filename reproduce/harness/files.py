"""Files that are written whole or not at all, and locks between the processes that write them."""

import contextlib
import errno
import io
import os
import re
import sys

import numpy as np

from reproduce.harness.errors import RecordsError


def write_atomically(path, content):
    """Write text or bytes so that `path` holds, at any moment, the old content or the new.

    Only one process at a time may write a path; see `held`. What one that was killed has left
    in `NAME.partial` is overwritten by the next.

    Raises:
        RecordsError: If it cannot be written; `path` is then as it was.
    """
    content = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f"{path.name}.partial")
    try:
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise RecordsError(
            f"Cannot write {path}: {error.strerror or error}. What is finished is kept: give the "
            "folder room and the permission to write, and start again."
        ) from error


def write_arrays(path, arrays):
    """Write a dict of NumPy arrays as a compressed `.npz`, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getvalue())


def held(folder, names):
    """Waits for all of these names in a folder, and holds them for the `with` statement's body.

    No two holders, be they processes or threads, have the same name at a time; if a process ends,
    however it ends, its names are free. Calls of one process must not be nested for the same name.

    Args:
        folder: A `pathlib.Path`; it keeps one empty file a name, in `.locks`.
        names: Strings.

    Raises:
        RecordsError: If the folder cannot be written, or its file system has no locks.
    """
    files = {re.sub(r"[^A-Za-z0-9.=_-]+", "_", name): name for name in names}
    _let_open(len(files))
    waited = False
    try:
        if not folder.is_dir():  # The lock would make it.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with contextlib.ExitStack() as stack:
            for file, name in sorted(files.items()):  # The order of all: no deadlock.
                path = folder / ".locks" / f"{file}.lock"
                waits = stack.enter_context(locked(path, "" if waited else f"{name} in {folder}"))
                waited = waited or waits
            return stack.pop_all()
    except OSError as error:
        raise RecordsError(
            f"Cannot write to the folder {folder}: {error.strerror}. Choose another with --out."
        ) from error


@contextlib.contextmanager
def locked(path, what):
    """Held by one process at a time, and freed if that ends, however it ends.

    Args:
        path: A `pathlib.Path`, which is made. `what`: the other process is at, for the line that is
            printed if there is one; empty for none.

    Yields:
        Whether it had to wait.
    """
    import filelock  # Half of the time that a command takes to say --help.

    lock, waits = filelock.FileLock(path, fallback_to_soft=False), False
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        waits = True
        if what:
            line = f"Waiting for another process, which is at {what}."
            print(line, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield waits
    finally:
        lock.release()


def _let_open(files):
    """Many systems let a process open 256 or 1024 files, unless it asks for more."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
