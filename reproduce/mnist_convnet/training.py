"""The MNIST tutorial's ConvNet and the exact order of its training loop (Figure 5-right).

The network is that of TensorFlow's `models/tutorials/image/mnist/convolutional.py`, built from
`FactorizedDense`: with `depth=1` it is the tutorial's own, with `depth=2` the overparameterized
one, whose dense kernels are products of two matrices. What the L2 penalty acts on is a choice
(`l2_on`) that decides the outcome.
"""

import dataclasses
import functools
import math

import keras
import numpy as np
import tensorflow as tf

from reproduce.mnist_convnet.split_batch import SplitBatchNormalization, SplitDropout
from tfoverparam import FactorizedDense
from tfoverparam.initializers import derive_seed

# The graph and op seeds of the tutorial's log; each op's stream is a function of the pair.
TUTORIAL_GRAPH_SEED = 87654321
TUTORIAL_SEED = 66478
LOG_EVERY = 100  # steps, in the tutorial's log


@dataclasses.dataclass(frozen=True)
class Training:
    """Everything that the numbers of one training run depend on, the data apart."""

    network: str  # "tutorial" or "batch_normalized"
    depth: int  # factors per dense layer; 1 = the original network
    seed: int
    tutorial_seeds: bool  # initial values and dropout masks of the tutorial's published log
    steps: int
    batch_size: int
    validation_size: int
    learning_rate: float
    decay_rate: float  # factor per epoch of `decay_examples`
    decay_examples: int
    momentum: float
    stddev: float  # of the truncated normal that every kernel is drawn from
    factor_stddev: float  # the same for the factors of the dense layers
    dropout: float
    l2: float  # penalty l2 * sum(w**2) / 2
    l2_on: str  # "kernel" (of a factorised layer: the product), "first_factor", "every_factor"


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


def build_network(training):
    """The untrained network, a `keras.Sequential` from (batch, 28, 28, 1) to 10 logits."""
    conv1, conv2, fc1, fc2, dropout = (derive_seed(training.seed, index) for index in range(5))
    if training.network == "tutorial":
        layers = [
            *_convolution(training, 32, 5, conv1, bias_initializer="zeros", activation="relu"),
            *_convolution(training, 64, 5, conv2, bias_initializer=_bias(), activation="relu"),
            keras.layers.Flatten(),
            _dense(training, 512, fc1, activation="relu"),
            _several_replicas(keras.layers.Dropout, SplitDropout)(training.dropout, seed=dropout),
            _dense(training, 10, fc2),
        ]
    else:
        layers = [
            *_convolution(training, 16, 3, conv1, use_bias=False, batch_norm=True),
            *_convolution(training, 32, 3, conv2, use_bias=False, batch_norm=True),
            keras.layers.Flatten(),
            _dense(training, 128, fc1, activation="relu"),
            _dense(training, 10, fc2),
        ]
    if training.tutorial_seeds:
        layers[-2] = TutorialDropout(training.dropout)
    network = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    if training.tutorial_seeds:
        _set_tutorial_start(network, training.stddev)
    if training.l2 and training.l2_on == "first_factor":
        for layer in network.layers:
            if isinstance(layer, FactorizedDense):
                layer.factors[0].regularizer = keras.regularizers.L2(training.l2 / 2)
    return network


def _convolution(training, filters, kernel_size, seed, batch_norm=False, **arguments):
    yield keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=training.stddev, seed=seed),
        **arguments,
    )
    if batch_norm:
        yield _several_replicas(keras.layers.BatchNormalization, SplitBatchNormalization)()
        yield keras.layers.ReLU()
    yield keras.layers.MaxPooling2D(2, padding="same")


def _dense(training, units, seed, activation=None):
    penalty = keras.regularizers.L2(training.l2 / 2) if training.l2 else None
    return FactorizedDense(
        units,
        depth=training.depth,
        activation=activation,
        factor_initializer=keras.initializers.TruncatedNormal(
            stddev=training.factor_stddev, seed=seed
        ),
        bias_initializer=_bias(),
        kernel_regularizer=penalty if training.l2_on == "kernel" else None,
        factor_regularizer=penalty if training.l2_on == "every_factor" else None,
        bias_regularizer=penalty,
    )


def _several_replicas(layer, split_layer):
    """`split_layer` where the devices of a strategy share each batch, else Keras's own."""
    return split_layer if tf.distribute.get_strategy().num_replicas_in_sync > 1 else layer


def _bias():
    return keras.initializers.Constant(0.1)


def train(
    training, data, on_progress=lambda steps_done, losses: None, segment=20, strategy=None
):
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
    held_out = _held_out(training, data)
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
    images, labels = _tensors(data, _held_out(training, data), keras.config.floatx())
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


def _held_out(training, data):
    # A tenth at most: the stand-in for MNIST has fewer images than the tutorial holds out.
    return min(training.validation_size, len(data.train_images) // 10)


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


class TutorialDropout(keras.layers.Layer):
    """Dropout with the masks of TensorFlow 1's op under the tutorial's seeds."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.generator = _tutorial_generator(TUTORIAL_SEED)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        keep = self.generator.uniform(tf.shape(inputs)) >= self.rate
        return tf.where(keep, inputs / (1 - self.rate), 0.0)


def _set_tutorial_start(network, stddev):
    """Each kernel becomes the first draw of TensorFlow 1's `truncated_normal` op.

    All ops of the tutorial have one seed, so every kernel is a prefix of one random stream. New
    factors take the next seed: a 512 x 512 factor with the same one would repeat the first rows
    of the 3136 x 512 factor.
    """
    for layer in network.layers:
        kernels = getattr(layer, "factors", None) or [getattr(layer, "kernel", None)]
        for index, kernel in enumerate(kernels):
            if kernel is not None:
                generator = _tutorial_generator(TUTORIAL_SEED + index)
                kernel.assign(generator.truncated_normal(kernel.shape, stddev=stddev))


def _tutorial_generator(op_seed):
    # A Philox generator in the state that TensorFlow 1's stateful random ops start from.
    return tf.random.Generator.from_state([0, op_seed, TUTORIAL_GRAPH_SEED], alg="philox")
