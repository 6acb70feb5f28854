"""Kill a figure's command at random moments, go on from what is left, and compare what is made.

    python -m tools.reliability.kills            about half an hour
    python -m tools.reliability.kills --share 0.1

A command is started, killed at a random moment, started again in the same folder, killed again,
until it ends; then its records must equal, to the last bit, those of a command that was never
killed, and nothing else may be left in the folder. In between no finished record may change.
The moments are spread over the whole run, over the start of the program, and over the
milliseconds in which files are written.
"""

import collections
import contextlib
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

from tools.reliability import processes, table

NAME = "kills"
FORKED, WHOLE = "imported beforehand", "start-up included"
PARTS = [
    ("figure3", FORKED, signal.SIGKILL, 30),
    ("figure5_right", FORKED, signal.SIGKILL, 12),
    ("figure3", WHOLE, signal.SIGKILL, 8),
    ("figure3", FORKED, signal.SIGINT, 20),
    ("figure5_right", FORKED, signal.SIGINT, 6),
    ("figure3", WHOLE, signal.SIGINT, 8),
]


class Chain:
    """Starts of one command in one folder, until it ends by itself.

    Attributes:
        phases: From where the command was killed to how often.
        too_early: How often Ctrl-C came too early: see `is_too_early`.
        faults: What was not as it should be: a list of strings.
    """

    def __init__(self, name, start, expected, root):
        self.name, self.start, self.expected, self.root = name, start, expected, root
        self.phases, self.too_early, self.faults = collections.Counter(), 0, []
        self._new_folder()

    def _new_folder(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        self.saved = {}

    def begin(self):
        """Start the command: the process."""
        given = processes.arguments(self.name, self.folder, "--resume")
        return self.start(self.name, self.folder, *given)

    def killed(self):
        """Look at what the kill has left."""
        found = self._numbers()
        if {name: found.get(name) for name in self.saved} != self.saved:
            self.faults.append("a finished record was lost or changed")
        if any(self.expected[name] != numbers for name, numbers in found.items()):
            self.faults.append("a record differs")
        self.saved = found
        self.phases[self._phase()] += 1

    def interrupted(self, status):
        """Look at how a command ended after Ctrl-C."""
        printed = (self.folder / "printed").read_text("utf-8")
        last = printed.splitlines()[-1] if printed else ""
        if is_too_early(status, printed):
            self.too_early += 1
        elif (status, last[:12]) != (130, "Interrupted.") or "Traceback" in printed:
            self.faults.append(f"Ctrl-C ended with {status} and {last!r}")

    def _numbers(self):
        return numbers(self.folder / "results")

    def _phase(self):
        results = self.folder / "results"
        if not (results / "config.yaml").exists():
            return "starting"
        if list(results.rglob("*.partial")):
            return "writing a file"
        if len(self.saved) == len(self.expected):
            return "concluding"
        if list(results.glob("records/*.npz")):
            return "training with a checkpoint"
        return "training"

    def ended(self, status):
        """Look at what a command that ended by itself has left, and go on in a new folder."""
        results = self.folder / "results"
        if status:
            self.faults.append(f"ended with {status}: {self.folder}")
        elif self._numbers() != self.expected:
            self.faults.append("the final records differ")
        paths = [*results.glob("*"), *results.glob("records/*")]
        left = {path.relative_to(results).as_posix() for path in paths}
        wanted = {f"records/{name}.json" for name in self.expected} | {"records", "logs", ".locks"}
        wanted |= {"config.yaml", "curves.csv", "summary.json", "figure.png", "figure.pdf"}
        if left != wanted:
            self.faults.append(f"left in the folder, or missing: {sorted(left ^ wanted)}")
        self._new_folder()


def is_too_early(status, printed):
    """Whether Ctrl-C came before a command could say what it does: while it was imported.

    Python then ends with SIGINT or 1; what it prints, if anything, ends with `KeyboardInterrupt`,
    and the command's `main` has not been called.
    """
    started = re.search(r'reproduce/.*", line \d+, in main$', printed, re.MULTILINE)
    words = printed.splitlines()[-1:]
    in_words = status in (-signal.SIGINT, 1) and words == ["KeyboardInterrupt"] and not started
    return in_words or (status == -signal.SIGINT and not printed)


def numbers(results):
    """The content of the records, without when and where: from a run's name to plain values."""
    from reproduce.harness import records

    return {record.name: record.numbers() for record in records.read_records(results)}


def moment(chain, process, seconds, generator):
    """Wait for a random moment; False if the process ends before it."""
    results = chain.folder / "results"

    def count(pattern):
        return len(list(results.glob(pattern)))

    some = generator.randint(count("records/*.json"), len(chain.expected))
    reached, spread = generator.choice(
        [
            (lambda: True, seconds),
            (lambda: count("records/*.npz"), 0.2 * seconds),
            (lambda: count("records/*.npz*"), 0.01),
            (lambda: count("records/*.json") >= some, 0.02),
            (lambda: count("records/*.json") == len(chain.expected), 0.2 * seconds),
            (lambda: count("curves.csv*"), 0.2 * seconds),
        ]
    )
    until, delay = None, generator.uniform(0, spread)
    while process.poll() is None:
        if until is None and reached():
            until = time.monotonic() + delay
        if until is not None and time.monotonic() >= until:
            return True
        time.sleep(0.001)
    return False


def strike(chain, number, count, seconds, generator):
    """Send the signal `number` at `count` random moments; at last let the command end."""
    while chain.phases.total() < count:
        process = chain.begin()
        if moment(chain, process, seconds, generator):
            process.send_signal(number)
            status = process.wait()
            if number == signal.SIGINT and status != 0:
                chain.interrupted(status)
            chain.killed()
        else:
            chain.ended(process.wait())
    chain.ended(chain.begin().wait())


def row(what, chain):
    """A line of the table."""
    where = ", ".join(f"{phase} {count}" for phase, count in sorted(chain.phases.items()))
    tried = chain.phases.total()
    if chain.too_early:
        where += f"; {chain.too_early} before the command had started"
    faults = f"; {'; '.join(chain.faults)}" if chain.faults else ""
    return table.Row(what, tried, tried - len(chain.faults), f"0 ({where}){faults}")


def preparations(count, root, generator):
    """Kill the preparation of the data at random moments, then let it end."""
    from reproduce import data

    target = root / "prepared"
    environment = {"TFDS_DATA_DIR": str(target)}
    given = ["data", root, "--only", "ethanol"]
    being_prepared = ".gas_sensor_drift-ethanol-being-prepared"
    killed = faults = 0
    while killed < count:
        process = processes.command(*given, **environment)
        if generator.random() < 0.8:
            while process.poll() is None and not (target / being_prepared).exists():
                time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0, 10))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:
            faults += process.returncode != 0
            shutil.rmtree(target / "gas_sensor_drift")
    faults += processes.command(*given, **environment).wait() != 0
    faults += (target / being_prepared).exists()
    fingerprint = data.load_ethanol(target).fingerprint
    faults += fingerprint not in (root / "printed").read_text("utf-8")
    faults += fingerprint != data.load_ethanol().fingerprint
    return table.Row("kill -9 while data is prepared (Ethanol)", killed, killed - faults, 0.0)


def reference(name, start, root):
    """Records of a command that nobody disturbs, and the seconds that it takes."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=root))
    began = time.monotonic()
    status = start(name, folder, *processes.arguments(name, folder)).wait()
    if status:
        raise RuntimeError((folder / "printed").read_text("utf-8"))
    return numbers(folder / "results"), time.monotonic() - began


def main():
    """Measure, print and write."""
    parser = table.parser(NAME, __doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--share", type=float, default=1.0, help="of all kills (default: 1)")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    forks, rows = processes.Forks(), []
    starts = {FORKED: forks.start, WHOLE: processes.command}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        expected = {}
        for name, how, number, count in PARTS:
            count = max(1, round(arguments.share * count))
            # The reference of the numbers is a fork's: its checkpoints come at other times.
            found, seconds = reference(name, starts[how], root)
            chain = Chain(name, starts[how], expected.setdefault(name, found), root)
            if found != expected[name]:
                chain.faults.append("two undisturbed commands differ")
            strike(chain, number, count, seconds, generator)
            what = {signal.SIGKILL: "kill -9", signal.SIGINT: "Ctrl-C"}[number]
            rows.append(row(f"{what}, {name}, {how}", chain))
            print(rows[-1], flush=True)
        rows.append(preparations(max(1, round(8 * arguments.share)), root, generator))
    table.report(NAME, rows, arguments.write, options=f"--seed {arguments.seed}")


if __name__ == "__main__":
    main()
