"""One network trained on several machines, each of which takes its rows of every batch.

The command is started once on each machine, with TensorFlow's `TF_CONFIG` in its environment:

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                "task": {"type": "worker", "index": 0}}'

and `"index": 1` on the second machine. Worker 0 is the chief. It alone has a results folder,
decides which runs are missing there, and writes records, logs and figures; the others need no
access to it: they train what the chief tells them to, and end when it does.
"""

import contextlib
import dataclasses
import json
import os

import tensorflow as tf

from reproduce.harness import config
from reproduce.harness.errors import UsageError
from reproduce.harness.records import rebuilt
from reproduce.mnist_convnet.configuration import Training
from reproduce.mnist_convnet.training import train

EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    Attributes:
        strategy: A `tf.distribute.Strategy`.
        number: How many processes there are.
        index: Of this one; 0 is the chief.
    """

    strategy: tf.distribute.Strategy
    number: int
    index: int

    @property
    def is_chief(self):
        return self.index == 0

    def provenance(self):
        """What a record says of it: plain values."""
        return {"strategy": "multi-worker", "workers": self.number}

    def agreed(self, runs, missing, dataset):
        """Those of the runs that are missing, as the chief has found, on every worker.

        Args:
            runs: List of `harness.records.Run`.
            missing: Those that are missing; only the chief's count.
            dataset: The data to train on.

        Raises:
            UsageError: On all workers, if not all of them have the chief's plan and data.
        """
        plan = [[run.name, run.settings] for run in runs]
        digest = config.digest({"runs": plan, "data": dataset.fingerprint})
        mine = list(bytes.fromhex(digest))
        differs = mine != self._sum(mine if self.is_chief else [0] * len(mine))
        if self._sum([int(differs)]) != [0]:
            raise UsageError(
                f"The {self.number} workers were not started with the same arguments, "
                "configuration, data and version of this program."
            )
        chosen = self._sum([int(self.is_chief and run in missing) for run in runs])
        return [run for run, is_chosen in zip(runs, chosen) if is_chosen]

    def follow(self, runs, dataset):
        """Train, on a worker that is not the chief, what the chief decides."""
        agreed = self.agreed(runs, [], dataset)
        for number, run in enumerate(agreed, start=1):
            print(f"[{number}/{len(agreed)}] {run.title}", flush=True)
            train(rebuilt(Training, run.settings), dataset, strategy=self.strategy)
        self.wait_for_all()

    def wait_for_all(self):
        """Return when every worker has come here: none of them ends while another needs it."""
        self._sum([0])

    def _sum(self, numbers):
        """The sum over the workers of a list of integers."""

        @tf.function
        def total():
            def on_replica():
                context = tf.distribute.get_replica_context()
                local = self.strategy.num_replicas_in_sync // self.number
                # Several devices of one worker: the first speaks for it.
                first = tf.equal(context.replica_id_in_sync_group % local, 0)
                values = tf.where(first, tf.constant(numbers), 0)
                return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

            return self.strategy.run(on_replica)

        return self.strategy.experimental_local_results(total())[0].numpy().tolist()


@contextlib.contextmanager
def joined(batch_size):
    """Join the other workers, before anything is computed with TensorFlow.

    Args:
        batch_size: Of all workers together.

    Yields:
        `Workers`, when all of them are there. In the body, a worker that is gone is an error.

    Raises:
        UsageError: If `TF_CONFIG` does not say who they are, if they cannot share the batch, or if
            another worker is gone.
    """
    addresses, index = _cluster(os.environ.get("TF_CONFIG"))
    replicas = len(addresses) * max(1, len(tf.config.list_physical_devices("GPU")))
    if batch_size % replicas:
        raise UsageError(
            f"`batch_size` is {batch_size}, which {replicas} devices cannot share equally. "
            f"Choose a multiple of {replicas} with --set batch_size=N."
        )
    print(f"Worker {index} of {len(addresses)}: waiting for all to start.", flush=True)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UsageError(
            f"This worker cannot join the others from {addresses[index]}: {error.message}"
        ) from error
    try:
        yield Workers(strategy, len(addresses), index)
    except tf.errors.OpError as error:
        raise UsageError(
            "Another worker is gone; its own output says why. Start all of them again, the chief "
            "with --resume."
        ) from error


def _cluster(text):
    """The workers' addresses and this one's index, from the content of `TF_CONFIG`."""
    if not text:
        raise UsageError(f"--strategy multi-worker needs TF_CONFIG, for instance {EXAMPLE}")
    try:
        values = json.loads(text)
        addresses, task = values["cluster"]["worker"], values["task"]
        index = task["index"]
        right = (
            list(values["cluster"]) == ["worker"]
            and task["type"] == "worker"
            and isinstance(addresses, list)
            and all(isinstance(each, str) and ":" in each for each in addresses)
            and len(set(addresses)) == len(addresses) >= 2
            and type(index) is int
            and 0 <= index < len(addresses)
        )
    except (ValueError, LookupError, TypeError):
        right = False
    if not right:
        raise UsageError(
            "TF_CONFIG must name two or more workers, and this one's index among them, for "
            f"instance {EXAMPLE}. Received: {text}"
        )
    return addresses, index
