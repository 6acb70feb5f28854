"""Files written whole or not at all, and locks between processes."""

import concurrent.futures
import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from reproduce.harness import files as disk
from reproduce.harness.errors import RecordsError

ROOT = pathlib.Path(__file__).parents[3]
HOLDER = """
import pathlib, sys, time
from reproduce.harness import files as disk
folder, *names = sys.argv[1:]
with disk.held(pathlib.Path(folder), names):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder, *names):
    """A process that holds `names` until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *names],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    disk.write_atomically(path, "old")

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(RecordsError, match="Cannot write .*summary.json: No space left"):
        disk.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    disk.write_atomically(path, "old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disk.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_has_gone_is_named(tmp_path):
    with pytest.raises(RecordsError, match="gone/summary.json: No such file or directory"):
        disk.write_atomically(tmp_path / "gone" / "summary.json", "new")
    with pytest.raises(RecordsError, match="Cannot write to the folder .*gone: No such file"):
        disk.held(tmp_path / "gone", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def read_only(path, *arguments, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "open", read_only)
    message = f"Cannot write to the folder {tmp_path}: Read-only file system. Choose another"
    with pytest.raises(RecordsError, match=message):
        disk.held(tmp_path, ["a"])


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    path = tmp_path / "summary.json"
    path.with_name("summary.json.partial").write_text("half, and longer than the new")
    disk.write_atomically(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_held_name_is_waited_for_and_others_are_not(tmp_path, capsys):
    with holder(tmp_path, "a", "b") as first:
        assert first.stdout.readline() == "held\n"
        with disk.held(tmp_path, ["c", "d"]):
            pass
        assert capsys.readouterr().err == ""
        with holder(tmp_path, "d", "b") as second:
            line = f"Waiting for another process, which is at b in {tmp_path}.\n"
            assert second.stderr.readline() == line
            # The names are free even if the process that holds them is killed.
            first.kill()
            assert second.stdout.readline() == "held\n"
            assert second.communicate("") == ("", "") and second.returncode == 0
    with disk.held(tmp_path, ["a", "b", "c", "d"]):
        pass
    assert capsys.readouterr().err == ""


def test_waiting_can_be_interrupted(tmp_path):
    first, second = holder(tmp_path, "a"), None
    assert first.stdout.readline() == "held\n"
    second = holder(tmp_path, "a")
    assert second.stderr.readline().startswith("Waiting")
    second.send_signal(signal.SIGINT)
    assert second.communicate()[1].endswith("KeyboardInterrupt\n")
    first.communicate("")


def test_no_two_processes_hold_a_name_and_none_waits_for_ever(tmp_path):
    # Each reserves the same names in an order of its own, again and again.
    program = """
import os, pathlib, random, sys, time
from reproduce.harness import files as disk
folder = pathlib.Path(sys.argv[1])
for turn in range(30):
    names = random.sample("abcdef", 3)
    with disk.held(folder, names):
        for name in names:
            os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL))
        time.sleep(0.001)
        for name in names:
            os.unlink(folder / name)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err


def test_no_two_threads_hold_a_name(tmp_path, capsys):
    inside, most = [], []

    def work(turn):
        with disk.held(tmp_path, ["b", "a"] if turn % 2 else ["a", "b"]):
            inside.append(turn)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(turn)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(8)))
    assert most == [1] * 8
    assert f"Waiting for another process, which is at a in {tmp_path}" in capsys.readouterr().err


def test_what_was_acquired_is_free_again_if_the_rest_cannot_be(tmp_path):
    (tmp_path / ".locks" / "b.lock").mkdir(parents=True)
    with pytest.raises(RecordsError, match="Cannot write to the folder"):
        disk.held(tmp_path, ["a", "b"])
    with disk.held(tmp_path, ["a"]):
        pass


def test_more_names_are_held_than_files_may_be_open_at_first(tmp_path):
    program = """
import pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from reproduce.harness import files as disk
with disk.held(pathlib.Path(sys.argv[1]), map(str, range(100))):
    print("held")
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
