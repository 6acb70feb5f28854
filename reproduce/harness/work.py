"""What training needs besides settings and data: a bar, logs, a checkpoint, and a team."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from reproduce.harness import cli


class Alone:
    """The team of one process; `mnist_convnet.replicas.Workers` is that of several."""

    number = 1
    is_chief = True
    strategy = None

    def agreed(self, runs, missing, dataset):
        """Those of the runs that the team is to do: which are missing, the chief decides."""
        return missing

    def wait_for_all(self):
        """Return when every process of the team has come here."""

    def provenance(self):
        """What a record says of the team: plain values."""
        return {}


@dataclasses.dataclass
class Work:
    """What training needs besides settings and data.

    Attributes:
        experiment: The `experiment.Experiment`. `arguments`: those of its command line.
        team: Who trains; see `Alone`.
        checkpoint: From the name of a part, which may be empty, to the path of a file that the
            training of these runs may keep until they are saved.
        done, total: How many runs of how many have begun.
        whole: How long all of it takes that `--smoke` tries.
    """

    experiment: Any
    arguments: argparse.Namespace
    team: Any
    checkpoint: Callable | None = None
    done: int = 0
    total: int = 0
    whole: str = ""

    @property
    def logs(self):
        """The folder for TensorBoard's logs."""
        return cli.results_path(self.experiment, self.arguments) / "logs"

    def announce(self, missing, dataset):
        """Say how many runs are to be done, and how long that takes."""
        self.total = len(missing)
        if self.arguments.smoke:
            everyone = cli.with_values(self.arguments, smoke=False, steps=None)
            settings = cli.settings(self.experiment, everyone)
            everything = self.experiment.plan(settings, everyone)
            self.whole = cli.about(self.experiment.minutes(everything, dataset))
        if missing and not self.arguments.quiet:
            minutes = self.experiment.minutes(missing, dataset)
            count = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
            print(f"{count}: {cli.about(minutes)} on 2 cores.", flush=True)

    def begin(self, runs):
        """Say which runs begin."""
        first, self.done = self.done + 1, self.done + len(runs)
        if not self.arguments.quiet:
            numbers = f"{first}" if len(runs) == 1 else f"{first}-{self.done}"
            what = runs[0].title if len(runs) == 1 else runs[0].panel
            print(f"[{numbers}/{self.total}] {what}", flush=True)

    def bar(self, description, total):
        """A bar with the time left, on a terminal; nothing elsewhere."""
        hide = self.arguments.quiet or not sys.stderr.isatty()
        return tqdm(total=total, desc=description, unit="it", disable=hide, dynamic_ncols=True)
