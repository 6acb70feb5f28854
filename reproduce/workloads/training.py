"""One loop for all workloads and methods."""

import keras
import numpy as np
import tensorflow as tf

from reproduce.harness.curves import first_not_finite, rounded
from reproduce.workloads.workload import EVALUATED_AT_ONCE, split
from reproduce.workloads.methods import prepare

SEGMENT = 25  # steps, after which a run that has diverged ends


def start(workload, examples, settings):
    """A network at its start, the steps to train it with, and its evaluation.

    The seed decides the initial values, the order of the batches and dropout.

    Args:
        workload: A `workload.Workload`.
        examples: The first of what its `split` returns.
        settings: Those of a run.

    Returns:
        `(network, run_steps, evaluate)`. `run_steps(first, count)` takes `count` steps, numbered
        from `first`, and returns what the batches give before each update, shape (count, 2): the
        loss, and the penalty that is a part of it. `evaluate(examples)` is loss and error.
    """
    keras.utils.clear_session()  # Names, which paths are made of, are those of a new process.
    keras.utils.set_random_seed(settings["seed"])
    network = workload.network()
    optimizer = prepare(network, settings)
    variables = network.trainable_variables
    optimizer.build(variables)
    random = np.random.default_rng(settings["seed"])
    order = workload.order(examples, settings["steps"], settings["batch_size"], random)
    order = tf.constant(order, "int32")

    @tf.function
    def run_steps(first, count):
        recorded = tf.TensorArray("float32", count, element_shape=(2,))
        for index in tf.range(count):
            inputs, targets = workload.batch(examples, order[first + index])
            with tf.GradientTape() as tape:
                loss = workload.loss(network(inputs, training=True), targets)
                penalty = tf.add_n(network.losses) if network.losses else tf.zeros(())
                loss += penalty
            optimizer.apply(tape.gradient(loss, variables), variables)
            recorded = recorded.write(index, tf.stack([loss, penalty]))
        return recorded.stack()

    @tf.function
    def of_batch(inputs, targets):
        outputs = network(inputs, training=False)
        return tf.stack([workload.loss(outputs, targets), workload.error(outputs, targets)])

    def evaluate(examples):
        sums, size = np.zeros(2), EVALUATED_AT_ONCE
        for begin in range(0, len(examples.inputs), size):
            inputs, targets = (each[begin : begin + size] for each in examples)
            sums += len(inputs) * of_batch(inputs, targets).numpy()
        return sums / len(examples.inputs)

    return network, run_steps, evaluate


def train(workload, dataset, settings, on_point=lambda step, values: None):
    """Train one network from its start to its last step, or until it diverges.

    Args:
        workload: A `workload.Workload`.
        dataset: What its `load` returns.
        settings: Those of a run.
        on_point: Called at each point with the number of steps done and a dict of what is recorded.

    Returns:
        `(curves, results)` of a record. At a point, `training_loss` is the mean of the batches'
        since the point before, and `penalty` that of its part; `validation_loss` is without it.
    """
    examples, held_out = split(workload, dataset, settings["validation_size"])
    network, run_steps, evaluate = start(workload, examples, settings)
    curves: dict = {}

    def record(step, **values):
        for name, value in values.items():
            curves.setdefault(name, []).append([step, rounded(value)])
        on_point(step, values)

    if held_out:
        record(0, validation_loss=evaluate(held_out["validation"])[0])
    step, diverged_at = 0, None
    for point in points(settings):
        losses = []
        while step < point and diverged_at is None:
            count = min(SEGMENT, point - step)
            losses.append(run_steps(tf.constant(step), tf.constant(count)).numpy())
            bad = first_not_finite(losses[-1][:, 0])
            diverged_at = None if bad is None else step + bad
            step += count
        if diverged_at is not None:
            break
        loss, penalty = np.mean(np.concatenate(losses), axis=0)
        values = {"training_loss": loss, **({"penalty": penalty} if penalty else {})}
        if held_out:
            values["validation_loss"] = evaluate(held_out["validation"])[0]
        if not np.isfinite(list(values.values())).all():
            diverged_at = step
            break
        record(step, **values)
    results = {
        "diverged_at": diverged_at,
        "parameters": int(sum(np.prod(each.shape) for each in network.trainable_variables)),
    }
    if diverged_at is None:
        for name, part in held_out.items():
            loss, error = evaluate(part)
            results |= {f"{name}_loss": rounded(loss), f"{name}_error": rounded(error)}
    return curves, results


def points(settings):
    """The steps after which a run's losses are recorded."""
    steps, count = settings["steps"], settings["points"]
    return sorted({round(steps * k / count) for k in range(1, count + 1)} - {0})
