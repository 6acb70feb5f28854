"""Disks that are full or read-only, and results folders that are not what they should be.

    python -m tools.reliability.disks            about a quarter of an hour

Every command must end with status 2 and one line that names the file or folder, or wait, or start
afresh; what was finished must still be there, and with the fault gone the command must go on to the
same records as one that nothing disturbed. Full and read-only disks are real ones, mounted where
no other process sees them: that part needs Linux and root.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tools.reliability import folders, processes, table
from tools.reliability.kills import numbers

NAME = "disks"
MARK = "TFOVERPARAM_OWN_MOUNTS"  # set once this process has a mount namespace of its own
KILOBYTES = (4, 28, 60, 80, 150, 250, 340, 348)


def mount(folder, *options):
    """Mount; private to this process and those that it starts."""
    subprocess.run(["mount", *options, str(folder)], check=True)


class Bench:
    """Starts commands, and says what was wrong with how they ended.

    Attributes:
        expected: The content of the records of the undisturbed figure.
    """

    def __init__(self, root):
        self.root = root
        self.forks = processes.Forks()
        self.finished = self.new_folder()
        status, printed = self.run("figure3", self.finished)
        if status:
            raise RuntimeError(printed)
        self.expected = numbers(self.finished / "results")

    def new_folder(self, results=None):
        """A new folder, with a copy of these results in it."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        folder.chmod(0o755)
        if results is not None:
            shutil.copytree(results, folder / "results")
        return folder

    def run(self, name, folder, *more, given=None, **options):
        """Status of a command, and what it printed."""
        if given is None:
            given = processes.arguments(name, folder, "--resume", *more)
        status = self.forks.start(name, folder, *given, **options).wait()
        return status, (folder / "printed").read_text("utf-8", errors="replace")

    def refused(self, outcome, *words):
        """Faults of a command that should have ended with a clear error."""
        status, printed = outcome
        lines = [line for line in printed.splitlines() if line.startswith("error: ")]
        faults = []
        if status != 2 or len(lines) != 1 or "Traceback" in printed:
            faults.append(f"status {status}: {printed[-300:]!r}")
        elif not all(word in lines[0] for word in words):
            faults.append(f"{lines[0]!r} does not say {words}")
        return faults

    def goes_on(self, folder, expected=None, name="figure3"):
        """Faults of the command, started again now that nothing is in its way."""
        status, printed = self.run(name, folder)
        if status:
            return [f"then status {status}: {printed[-300:]!r}"]
        if numbers(folder / "results") != (expected or self.expected):
            return ["the records differ"]
        records = (folder / "results" / "records").iterdir()
        left = [path.name for path in records if path.suffix != ".json"]
        return [f"left: {left}"] if left else []


def row(what, faults, deviation=""):
    """A row of the table; of `faults` there is a list for each time."""
    found = "; ".join(fault for each in faults for fault in each)
    print(f"{what}: {found or 'held'}", file=sys.stderr, flush=True)
    return table.Row(what, len(faults), sum(not each for each in faults), found or deviation)


def full_disks(bench):
    """The results folder on disks of several sizes: each is full at another file."""
    faults, full_at = [], set()
    for size in KILOBYTES:
        folder = bench.new_folder()
        (folder / "results").mkdir()
        mount(folder / "results", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs")
        outcome = bench.run("figure3", folder)
        found = bench.refused(outcome, "No space left on device", "results")
        full_at.add(_file_named(outcome[1]))
        kept = numbers(folder / "results")
        if any(bench.expected[name] != each for name, each in kept.items()):
            found.append("a record differs")
        mount(folder / "results", "-o", "remount,size=8m")
        faults.append(found + bench.goes_on(folder))
    yield row("disk full under the results", faults, f"full at {', '.join(sorted(full_at))}")


def _file_named(printed):
    """The kind of file that a line `error: Cannot write FILE: ...` is about."""
    name = printed.partition("error: Cannot write ")[2].partition(": ")[0].rpartition("/")[2]
    kinds = {".npz": "a checkpoint", ".json": "a record"}
    return name if name == "summary.json" else kinds.get(pathlib.Path(name).suffix, name)


def full_logs(bench):
    """TensorBoard's logs on a disk that is full, at once and later."""
    for name, sizes in (("figure3", (4, 24)), ("figure5_right", (4, 12))):
        faults = []
        for size in sizes:
            folder = bench.new_folder()
            (folder / "results" / "logs").mkdir(parents=True)
            mount(folder / "results" / "logs", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs")
            found = bench.refused(bench.run(name, folder), "logs", "No space left on device")
            mount(folder / "results" / "logs", "-o", "remount,size=64m")
            again = bench.run(name, folder)
            faults.append(found + ([f"then {again}"] if again[0] else []))
        yield row(f"disk full under TensorBoard's logs, {name}", faults)


def other_commands(bench):
    """Commands that are no regression figure."""
    problems = ["--set", "powers=[2]", "--set", "problems=[log_target]", "--seeds", "3", "4"]
    small = [*problems, "--set", "condition_numbers=[]", "--steps", "20"]
    shared = ["--out", "results"]
    commands = {
        "figure1": (8, shared),
        "robustness": (12, [*shared, *small, "--quiet", "--resume"]),
        "figure5_right": (8, processes.arguments("figure5_right", bench.root)),
    }
    for name, (size, given) in commands.items():
        folder = bench.new_folder()
        (folder / "results").mkdir()
        mount(folder / "results", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs")
        outcome = bench.run(name, folder, given=given)
        found = bench.refused(outcome, "No space left on device", "results")
        mount(folder / "results", "-o", "remount,size=8m")
        status, printed = bench.run(name, folder, given=[*given, *_resume(name, given)])
        found += [f"then {status}: {printed[-300:]!r}"] if status else []
        yield row(f"disk full under the results, {name}", [found])
    for name in ("figure1", "robustness", "figure5_right", "theory.__main__"):
        folder = bench.new_folder(bench.finished / "results")
        mount(folder / "results", "--bind", folder / "results")
        mount(folder / "results", "-o", "remount,ro,bind")
        outcome = bench.run(name, folder, given=shared)
        yield row(
            f"read-only results folder, {name.removesuffix('.__main__')}",
            [bench.refused(outcome, "Read-only file system", "results")],
        )


def _resume(name, given):
    return [] if name == "figure1" or "--resume" in given else ["--resume"]


def preparation(bench):
    """The data's folder on a disk that is full, then on one that is not."""
    faults = []
    for size in ("1m", "3m"):
        folder = bench.new_folder()
        target = folder / "data"
        target.mkdir()
        mount(target, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
        given = ["data", folder, "--only", "ethanol"]
        started = processes.command(*given, TFDS_DATA_DIR=str(target))
        outcome = started.wait(), (folder / "printed").read_text("utf-8")
        found = bench.refused(outcome, "cannot be prepared", str(target))
        left = [name for name in os.listdir(target) if not name.endswith(".lock")]
        found += [str(left)] if left else []
        mount(target, "-o", "remount,size=64m")
        status = processes.command(*given, TFDS_DATA_DIR=str(target)).wait()
        faults.append(found + ([f"then status {status}"] if status else []))
    yield row("disk full while data is prepared (Ethanol)", faults)


def read_only(bench):
    """A results folder that nobody, or somebody else alone, may write to."""
    folder = bench.new_folder(bench.finished / "results")
    mount(folder / "results", "--bind", folder / "results")
    mount(folder / "results", "-o", "remount,ro,bind")
    outcome = bench.run("figure3", folder)
    found = bench.refused(outcome, "Read-only file system", "results")
    yield row("read-only disk under the results", [found])
    folder = bench.new_folder(bench.finished / "results")
    outcome = bench.run("figure3", folder, user=65534)
    found = bench.refused(outcome, "Permission denied", "results")
    yield row("results folder of another user", [found])


def main():
    """Measure, print and write."""
    arguments = table.parser(NAME, __doc__).parse_args()
    if os.geteuid() == 0 and MARK not in os.environ:
        command = [sys.executable, "-m", f"tools.reliability.{NAME}", *sys.argv[1:]]
        os.environ[MARK] = "1"
        os.execvp("unshare", ["unshare", "--mount", *command])
    rows = []
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        root.chmod(0o755)
        bench = Bench(root)
        if MARK in os.environ:
            for part in (read_only, full_logs, other_commands, full_disks, preparation):
                rows += part(bench)
        rows += folders.rows(bench, row)
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if str(root) in line:
                subprocess.run(["umount", "--lazy", line.split()[1]], check=True)
    table.report(NAME, rows, arguments.write)


if __name__ == "__main__":
    main()
