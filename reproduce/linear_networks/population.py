"""Linear networks by the hundred: all runs of a figure trained together, and resumable.

They are the columns of a `Program`. Between its compiled segments there is time to record losses,
show progress, drop what has diverged, write a checkpoint, and be interrupted.
"""

import dataclasses
import hashlib
import io
import json
import sys
import time

import numpy as np

from reproduce.harness import config
from reproduce.harness.files import write_atomically
from reproduce.linear_networks.gradients import gradients_of
from reproduce.linear_networks.program import Program
from reproduce.linear_networks.run import Run, losses


SEGMENT = 3e10  # multiply-adds between two looks at the outside world: about a second
SECONDS_BETWEEN_CHECKPOINTS = 30
# Runs that have diverged are dropped at these iterations and no others: how many columns a product
# has may decide its last bits, and a resumed program must repeat them.
DROPPED_AT = {digit * 10**power for power in range(2, 9) for digit in (1, 2, 5)}


@dataclasses.dataclass
class Trajectory:
    """What became of a run.

    Attributes:
        losses: List of `[iteration, loss]`, evaluated in float64; those that float32 can hold.
        diverged_at: The first iteration whose gradient is not finite in float32, or None.
        kernel: End-to-end kernel after the last iteration, shape (d,); not finite if diverged.
    """

    losses: list
    diverged_at: int | None
    kernel: np.ndarray


def train(runs, features, targets, steps, record_at, checkpoint=None, on_progress=None):
    """Train all runs.

    Args:
        runs: Sequence of `Run` of the same p.
        features, targets: Arrays of shape (m, d) and (m,), float64. Training is in float64 for
            p = 2, in float32 for every other p; losses are evaluated in float64.
        steps: Number of iterations.
        record_at: Iterations, from 0 to `steps`, whose losses are kept.
        checkpoint: Path of a file to go on from, if it holds these runs on this data, and to keep
            up to date while training. At the end it holds the result: remove it when that is
            safe. One that cannot be used is said so, and replaced. Defaults to `None`, none.
        on_progress: Called with the iterations done and the number of runs that have not diverged.

    Returns:
        A list of `Trajectory`, one per run.

    Raises:
        RecordsError: If the checkpoint cannot be written; the one before is then kept.
    """
    training = _Training(runs, features, targets, steps, record_at, checkpoint)
    written = time.monotonic()
    for boundary in training.boundaries():
        training.advance_to(boundary)
        if on_progress is not None:
            on_progress(boundary, len(training.alive))
        if checkpoint and time.monotonic() - written > SECONDS_BETWEEN_CHECKPOINTS:
            training.save()
            written = time.monotonic()
    if checkpoint:
        training.save()
    return [training.trajectory(run) for run in runs]


class _Training:
    """Where a call of `train` stands; it can be written to a file and taken up again."""

    def __init__(self, runs, features, targets, steps, record_at, checkpoint):
        self.features, self.targets = features, targets
        if len({run.p for run in runs}) != 1:
            raise ValueError("All runs of a program must have the same p.")
        self.gradients = gradients_of(features, targets, runs[0].p)
        self.steps, self.record_at = steps, sorted({int(t) for t in record_at if 0 <= t <= steps})
        self.path = checkpoint
        data = hashlib.sha256(features.tobytes() + targets.tobytes()).hexdigest()
        self.identity = config.digest([steps, self.record_at, data])
        if not self._load(runs):
            self._start(runs)
            self._build(states=None)
            self._record()

    def _start(self, runs):
        self.runs = list(runs)
        self.iteration = 0
        self.alive = np.arange(len(self.runs))  # indices of the runs in the program
        self.diverged_at = np.full(len(self.runs), -1)
        self.curves = np.full((len(self.record_at), len(self.runs)), np.nan)
        self.last_kernels = np.full((self.features.shape[1], len(self.runs)), np.nan)

    def boundaries(self):
        """Iterations at which a compiled segment ends: a function of the settings alone."""
        segment = max(1, int(SEGMENT / sum(self._cost(run) for run in self.runs)))
        all_ = {*self.record_at, *DROPPED_AT, *range(0, self.steps, segment), self.steps}
        return [t for t in sorted(all_) if self.iteration < t <= self.steps]

    def _cost(self, run):
        """Of an iteration, in multiply-adds."""
        return self.gradients.multiply_adds + 15 * run.width * (len(self.features.T) + run.width)

    def advance_to(self, iteration):
        if len(self.alive):
            found = self.program.advance(self.iteration, iteration - self.iteration)
            self.diverged_at[self.alive] = np.where(
                self.diverged_at[self.alive] < 0, found, self.diverged_at[self.alive]
            )
        self.iteration = iteration
        if iteration in self.record_at or iteration == self.steps:
            self._record()
        if iteration in DROPPED_AT:
            self._drop_diverged()

    def _record(self):
        if not len(self.alive):
            return
        kernels = self.program.kernels()
        self.last_kernels[:, self.alive] = kernels
        found = losses(kernels, self.features, self.targets, self.runs[0].p)
        now = ~np.isfinite(found) & (self.diverged_at[self.alive] < 0)
        self.diverged_at[self.alive[now]] = self.iteration
        if self.iteration in self.record_at:
            self.curves[self.record_at.index(self.iteration), self.alive] = found

    def _drop_diverged(self):
        keep = self.diverged_at[self.alive] < 0
        if keep.all():
            return
        states = self.program.states(keep)
        self.alive = self.alive[keep]
        if len(self.alive):
            self._build(states)

    def _build(self, states):
        runs = [self.runs[index] for index in self.alive]
        self.program = Program(runs, self.gradients, self.features.shape[1], states)

    def trajectory(self, run):
        """What became of a run."""
        index = self.runs.index(run)
        diverged = self.diverged_at[index] >= 0
        curve = [
            [t, float(loss)]
            for t, loss in zip(self.record_at, self.curves[:, index])
            if loss <= np.finfo("float32").max and not (diverged and t >= self.diverged_at[index])
        ]
        at = int(self.diverged_at[index]) if diverged else None
        return Trajectory(curve, at, self.last_kernels[:, index])

    def save(self):
        """Write the checkpoint, whole or not at all."""
        arrays = {
            name: getattr(self, name)
            for name in ("iteration", "alive", "diverged_at", "curves", "last_kernels", "identity")
        }
        arrays["runs"] = json.dumps([dataclasses.asdict(run) for run in self.runs])
        states = self.program.states() if len(self.alive) else []
        for block, parts in enumerate(states):
            for part, values in enumerate(parts):
                for number, array in enumerate(values):
                    arrays[f"state.{block}.{part}.{number}"] = array
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_atomically(self.path, content.getvalue())

    def _load(self, runs):
        """Take up what the checkpoint holds; False if it is not there or cannot be used."""
        if not self.path or not self.path.exists():
            return False
        try:
            content = io.BytesIO(self.path.read_bytes())
            with np.load(content, allow_pickle=False) as stored:
                self._take_up(dict(stored), runs)
        except Exception:  # There are as many types as there are kinds of damage.
            print(
                f"The checkpoint {self.path} is damaged, or of other runs: starting from "
                "iteration 0.",
                file=sys.stderr,
            )
            return False
        return True

    def _take_up(self, stored, runs):
        stored_runs = [Run(**values) for values in json.loads(str(stored["runs"]))]
        # Of more runs than are asked for, where the results of some have been saved since.
        if str(stored["identity"]) != self.identity or not set(runs) <= set(stored_runs):
            raise ValueError("other runs")
        self._start(stored_runs)
        self.iteration = int(stored["iteration"])
        self.alive = stored["alive"]
        if not 0 <= self.iteration <= self.steps:
            raise ValueError("iteration")
        for name in ("diverged_at", "curves", "last_kernels"):
            fresh = getattr(self, name)
            if (stored[name].shape, stored[name].dtype) != (fresh.shape, fresh.dtype):
                raise ValueError(name)
            setattr(self, name, stored[name])
        states: list[list] = []
        for key in stored:  # in the order in which they were written
            if key.startswith("state."):
                block, part, _ = map(int, key.split(".")[1:])
                if block == len(states):
                    states.append([[], []])
                states[block][part].append(stored[key])
        if len(self.alive):
            self._build(states=None)
            if _kinds(states) != _kinds(self.program.states()):
                raise ValueError("states")
            self._build(states)


def _kinds(states):
    return [[[(a.shape, a.dtype) for a in arrays] for arrays in state] for state in states]
