"""The exact order of the MNIST tutorial's training loop (Figure 5, right)."""

import dataclasses
import functools
import math

import keras
import numpy as np
import tensorflow as tf

from reproduce.mnist_convnet.network import build_network

LOG_EVERY = 100  # steps, in the tutorial's log


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run measured. The series hold one value per iteration, before its update."""

    loss: np.ndarray  # (steps,) cross-entropy plus L2 term of the minibatch
    cross_entropy: np.ndarray  # (steps,)
    l2_term: np.ndarray  # (steps,)
    log: list  # (step, minibatch loss after the update) every 100 steps, as the tutorial prints
    validation_error: float  # per cent
    test_error: float  # per cent
    parameters: int


def train(training, data, on_progress=lambda steps_done, losses: None, segment=20, strategy=None):
    """Train one network from its start to its last step.

    Args:
        training: A `Training`.
        data: A `reproduce.data.Dataset`. The first `validation_size` training images are held
            out, the others pass by in file order, never shuffled.
        on_progress: Called about once a second with the number of steps done, and the losses of
            those since the last call, shape (steps, 3): total, cross-entropy, L2 term.
        segment: Steps between two such calls. It changes no number.
        strategy: A `tf.distribute.Strategy` whose replicas share each batch equally, for which
            `tutorial_seeds` is not supported. It changes the numbers by rounding only.

    Returns:
        A `Trained`. A run that diverges has NaN or infinity from there on.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        network = build_network(training)
        losses, log = descend(network, training, data, on_progress, segment)
    loss, cross_entropy, l2_term = losses.T
    if strategy.num_replicas_in_sync > 1:
        # Each worker evaluates a copy of its own: `predict` would share out the images.
        weights = network.get_weights()
        network = build_network(training)
        network.set_weights(weights)
    held_out = training.validation_size
    return Trained(
        loss,
        cross_entropy,
        l2_term,
        log,
        validation_error=_error(
            network, data.train_images[:held_out], data.train_labels[:held_out]
        ),
        test_error=_error(network, data.test_images, data.test_labels),
        parameters=sum(math.prod(variable.shape) for variable in network.trainable_variables),
    )


def descend(network, training, data, on_progress=lambda steps_done, losses: None, segment=20):
    """Train a network that `build_network` made; the arguments are those of `train`.

    Returns:
        The losses of every step before its update, shape (steps, 3): total, cross-entropy, L2
        term; and the log, as in `Trained`.
    """
    images, labels = _tensors(data, training.validation_size, keras.config.floatx())
    run_steps, minibatch_loss = training_loop(network, training, images, labels)
    series, log = [], []
    step = 0
    while step < training.steps:
        count = min(segment, training.steps - step)
        if training.tutorial_seeds:
            # A logged step ends its segment: its loss is read right after its update.
            count = min(count, 1 if step % LOG_EVERY == 0 else LOG_EVERY - step % LOG_EVERY)
        series.append(run_steps(tf.constant(step), tf.constant(count)).numpy())
        if training.tutorial_seeds and step % LOG_EVERY == 0:
            log.append((step, float(minibatch_loss(tf.constant(step)))))
        step += count
        on_progress(step, series[-1])
    return np.concatenate(series), log


@functools.lru_cache(maxsize=1)
def _tensors(data, held_out, dtype):
    """The images and labels to train on. Once for all runs: TensorFlow frees them after none."""
    images, labels = data.train_images[held_out:], data.train_labels[held_out:]
    return tf.constant(normalized(images), dtype), tf.constant(labels)


def training_loop(network, training, images, labels):
    """The tutorial's loop over minibatches, compiled.

    Args:
        network: A built Keras model from images to logits.
        training: A `Training`.
        images: tensor of shape (n, 28, 28, 1). `labels`: int32 tensor of shape (n,).

    Returns:
        Two functions. `run_steps(first, count)` takes `count` steps, numbered from `first`, and
        returns their losses before each update, shape (count, 3): total, cross-entropy, L2 term.
        `minibatch_loss(step)` evaluates the total loss on that step's batch, in training mode.

    Both run under the strategy in whose scope they were made: every replica takes its rows of a
    batch, and the losses are the means over the replicas.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    rows = training.batch_size // replicas
    optimizer = ClassicMomentum(
        # The tutorial counts examples, not epochs: steps * 64 // 55000.
        keras.optimizers.schedules.ExponentialDecay(
            training.learning_rate,
            training.decay_examples / training.batch_size,
            training.decay_rate,
            staircase=True,
        ),
        momentum=training.momentum,
    )
    optimizer.build(network.trainable_variables)
    last_offset = images.shape[0] - training.batch_size

    def own_losses(step):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        offset = step * training.batch_size % last_offset + replica * rows
        logits = network(images[offset : offset + rows], training=True)
        cross_entropy = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels[offset : offset + rows], logits)
        )
        l2_term = tf.add_n(network.losses) if network.losses else tf.zeros((), logits.dtype)
        return cross_entropy, l2_term

    def losses(own):
        if replicas > 1:
            context = tf.distribute.get_replica_context()
            own = context.all_reduce(tf.distribute.ReduceOp.MEAN, own)
        cross_entropy, l2_term = own
        return cross_entropy + l2_term, cross_entropy, l2_term

    def train_step(step):
        with tf.GradientTape() as tape:
            own = own_losses(step)
            share = (own[0] + own[1]) / replicas
        # Keras's optimizers add up the replicas' gradients.
        optimizer.apply(tape.gradient(share, network.trainable_variables))
        return tf.stack(losses(own))

    def on_replicas(function, step):
        if replicas == 1:  # Without so much as a new name in the graph: it decides the rounding.
            return function(step)
        # What they return is the same on all.
        return strategy.experimental_local_results(strategy.run(function, (step,)))[0]

    @tf.function
    def run_steps(first, count):
        recorded = tf.TensorArray(images.dtype, count, element_shape=(3,))
        for index in tf.range(count):
            recorded = recorded.write(index, on_replicas(train_step, first + index))
        return recorded.stack()

    @tf.function
    def minibatch_loss(step):
        return on_replicas(lambda step: losses(own_losses(step))[0], step)

    return run_steps, minibatch_loss


def normalized(images):
    """Pixels 0 ... 255 as the tutorial scales them, to [-0.5, 0.5]: of Keras's float type."""
    return (images.astype(keras.config.floatx()) - 127.5) / 255


def _error(network, images, labels):
    logits = network.predict(normalized(images), batch_size=500, verbose=0)
    return float(100 * np.mean(np.argmax(logits, axis=1) != labels))


class ClassicMomentum(keras.optimizers.Optimizer):
    """TensorFlow 1's momentum: `v <- momentum * v + g; w <- w - learning_rate * v`.

    Keras folds the learning rate into `v`, which differs wherever the rate changes.
    """

    def __init__(self, learning_rate, momentum, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        velocity = self.velocities[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
        )
