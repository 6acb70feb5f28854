"""Files that are written whole or not at all, and locks between the processes that write them."""

import contextlib
import hashlib
import io
import os
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


@contextlib.contextmanager
def held(path, names):
    """Holds all of these names in the lock file `path` while the body runs; waits for them first.

    No two processes hold the same name at a time; if one ends, however it ends, its names are
    free. Calls for the same file must not be nested: the inner one's end would free all names.

    Raises:
        RecordsError: If the file cannot be made, or the file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            _lock(stack.enter_context(open(path, "ab")), path.parent, names)
        except OSError as error:
            raise RecordsError(
                f"Cannot write to the folder {path.parent}: {error.strerror}. Choose another with "
                "--out."
            ) from error
        yield


def _lock(file, folder, names):
    import fcntl  # POSIX only, so not at the top: reading needs no lock.

    # POSIX's locks on single bytes: one open file for any number of names, nothing to tidy up,
    # and they work on network file systems. All take them in the same order: no deadlock.
    offsets = {int(hashlib.sha256(name.encode()).hexdigest()[:15], 16): name for name in names}
    waited = False
    for offset, name in sorted(offsets.items()):
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):
            if not waited:
                line = f"Waiting for another process, which is at {name} in {folder}."
                print(line, file=sys.stderr, flush=True)
            waited = True
            fcntl.lockf(file, fcntl.LOCK_EX, 1, offset)
