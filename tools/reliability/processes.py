"""Commands of the experiments as processes that can be killed, on small configurations."""

import importlib
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

from reproduce.data import store

ROOT = pathlib.Path(__file__).parents[2]
# The data is prepared once for all, while each command has a home of its own.
PREPARED = {"TFDS_DATA_DIR": str(store.default_root())}
# Two panels and two seeds; descents, some of which diverge and are dropped, and a flow.
REGRESSION = {
    "steps": 2000,
    "stddev": 0.01,
    "smoke_steps": 5,
    "panels": [
        {
            "name": "fig3L_l2",
            "p": 2,
            "series": [
                {"name": "1-layer", "depth": 1, "rates": [0.001, 0.01, 10.0], "plotted": 0.01},
                {"name": "2-layer", "depth": 2, "rates": [0.001, 0.01]},
            ],
        },
        {
            "name": "fig3R_l4",
            "p": 4,
            "series": [{"name": "1-layer", "depth": 1, "rates": [1e-4, 1e-3], "flow": 0.002}],
        },
    ],
}
# Each of them with what makes it short enough; YAML is a superset of JSON.
FIGURES = {
    "figure3": ["--config", "small.yaml", "--seeds", "0", "1"],
    "figure5_right": ["--steps", "6", "--seeds", "0", "1"],
}
OTHERS = ("robustness", "figure1", "theory.__main__", "data.__main__")
TRAINING = ("linear_networks.population", "mnist_convnet.training", "harness.tensorboard")
PRELOADED = [f"reproduce.{name}" for name in (*FIGURES, *OTHERS, *TRAINING, "paper.plots")]


def arguments(name, folder, *more):
    """Of the command, for results in `folder / "results"`."""
    if not (folder / "small.yaml").exists():  # Another command may be reading it.
        (folder / "small.yaml").write_text(json.dumps(REGRESSION), "utf-8")
    return [*FIGURES[name], "--quiet", "--out", "results", *more]


def command(module, folder, *given, **environment):
    """`python -m reproduce.MODULE` in `folder`, as a user would start it: a `subprocess.Popen`.

    What it prints goes to `folder / "printed"`.
    """
    variables = {"PYTHONPATH": str(ROOT), "HOME": str(folder), **PREPARED, **environment}
    with open(folder / "printed", "w") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", f"reproduce.{module}", *map(str, given)],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=printed,
            stderr=printed,
            # Where this runs in the background, Ctrl-C is ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


class Forks:
    """The same commands, without the seconds that TensorFlow's import takes.

    They are forked from a process that has imported them and done nothing else. Checkpoints are
    written every tenth of a second.
    """

    def __init__(self):
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *PRELOADED])

    def start(self, module, folder, *given, user=None):
        """As `command`, as the user of that number: a `Forked`."""
        process = self._context.Process(target=_run, args=(module, folder, given, user))
        printed = folder / "printed"
        printed.unlink(missing_ok=True)
        process.start()
        while not printed.exists() and process.exitcode is None:
            time.sleep(0.001)
        return Forked(process)


class Forked:
    """A forked command, with the methods of `subprocess.Popen` that are used."""

    def __init__(self, process):
        self._process = process

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self._process.pid, number)


def _run(module, folder, given, user):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.update(PREPARED, HOME=str(folder))
    printed = os.open(f"printed-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.rename(f"printed-{os.getpid()}", "printed")
    from reproduce.linear_networks import population

    population.SECONDS_BETWEEN_CHECKPOINTS = 0.1
    population.SEGMENT = 2e8
    main = importlib.import_module(f"reproduce.{module}").main
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    sys.argv[1:] = map(str, given)
    main()
