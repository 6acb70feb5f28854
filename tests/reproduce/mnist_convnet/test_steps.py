"""The training loop against a computation of its own: losses, steps, rates, momentum, errors."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproduce import mnist_convnet
from reproduce.mnist_convnet import build_network
from tests.helpers import training
from tfoverparam.initializers import derive_seed

TRAINING = dataclasses.replace(
    training.TRAINING,
    depth=2,
    seed=3,
    batch_size=8,
    validation_size=10,
    decay_examples=16,  # an epoch of two steps, so that the third has another rate
)
RANDOM = np.random.default_rng(0)


class Data:
    """Noise, of which the first 10 images are held out."""

    train_images = RANDOM.integers(0, 256, (100, 28, 28, 1), dtype=np.uint8)
    train_labels = RANDOM.integers(0, 10, 100, dtype=np.int32)
    test_images = RANDOM.integers(0, 256, (40, 28, 28, 1), dtype=np.uint8)
    test_labels = RANDOM.integers(0, 10, 40, dtype=np.int32)


def losses(variables, images, labels, masks, depth):
    """Cross-entropy and L2 term of the tutorial's network, of arrays, in TensorFlow's own words."""
    conv1, bias1, conv2, bias2, *dense = variables
    factors1, bias3, factors2, bias4 = (
        dense[:depth],
        dense[depth],
        dense[depth + 1 : 2 * depth + 1],
        dense[-1],
    )
    kernel1, kernel2 = (functools.reduce(tf.matmul, each) for each in (factors1, factors2))
    hidden = (tf.cast(images, tf.float32) - 127.5) / 255
    for kernel, bias in ((conv1, bias1), (conv2, bias2)):
        hidden = tf.nn.relu(tf.nn.conv2d(hidden, kernel, 1, "SAME") + bias)
        hidden = tf.nn.max_pool2d(hidden, 2, 2, "SAME")
    hidden = tf.nn.relu(tf.reshape(hidden, (len(images), -1)) @ kernel1 + bias3)
    logits = tf.where(masks, hidden / (1 - TRAINING.dropout), 0.0) @ kernel2 + bias4
    log_probabilities = logits - tf.reduce_logsumexp(logits, axis=1, keepdims=True)
    cross_entropy = -tf.reduce_mean(tf.gather(log_probabilities, labels, batch_dims=1))
    squares = [tf.reduce_sum(each**2) for each in (kernel1, bias3, kernel2, bias4)]
    return cross_entropy, TRAINING.l2 / 2 * tf.add_n(squares)


def masks(seed, steps, shape):
    """Which units dropout keeps in each step: those of a layer of the same seed, by itself."""
    layer = keras.layers.Dropout(TRAINING.dropout, seed=derive_seed(seed, 4))
    kept = [layer(tf.ones(shape), training=True).numpy() for _ in range(steps)]
    assert all(set(np.unique(each)) == {0, 2} and 0.4 < np.mean(each > 0) < 0.6 for each in kept)
    return [each > 0 for each in kept]


@pytest.mark.parametrize("depth", [1, 2])
def test_three_steps_are_those_of_tensorflow_s_own_operations(depth):
    training = dataclasses.replace(TRAINING, depth=depth)
    network = build_network(training)
    variables = [tf.Variable(each) for each in network.trainable_variables]
    found, _ = mnist_convnet.descend(network, training, Data)
    velocities, expected = [0.0] * len(variables), []
    for step, mask in enumerate(masks(training.seed, 3, (8, 512))):
        batch = slice(10 + 8 * step, 18 + 8 * step)
        with tf.GradientTape() as tape:
            parts = losses(
                variables, Data.train_images[batch], Data.train_labels[batch], mask, depth
            )
            total = tf.add_n(parts)
        expected.append([total, *parts])
        rate = 0.01 * 0.95 ** (step * 8 // 16)
        for index, gradient in enumerate(tape.gradient(total, variables)):
            velocities[index] = 0.9 * velocities[index] + gradient
            variables[index].assign_sub(rate * velocities[index])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    start = build_network(training).trainable_variables
    for ours, theirs, first in zip(network.trainable_variables, variables, start):
        moved = np.linalg.norm(ours.numpy() - first.numpy())
        assert np.linalg.norm(ours.numpy() - theirs.numpy()) < 1e-3 * moved


class Slope(keras.layers.Layer):
    """Its penalty is a weight, whose gradient is 1: its moves are those of the optimizer."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs, training=False):
        self.add_loss(self.weight + 0.0)  # no variable: it would be one of the layer
        return tf.zeros((tf.shape(inputs)[0], 10), inputs.dtype)


def moves(steps, momentum):
    """By how much each step lowers the weight of a `Slope`, under the figure's own schedule."""
    training = dataclasses.replace(TRAINING, batch_size=64, decay_examples=55000, momentum=momentum)
    network = keras.Sequential([keras.Input((1, 1, 1), dtype="float64"), Slope(dtype="float64")])
    images, labels = tf.zeros((128, 1, 1, 1), tf.float64), tf.zeros(128, tf.int32)
    run_steps, _ = mnist_convnet.training_loop(network, training, images, labels)
    return -np.diff(run_steps(tf.constant(0), tf.constant(steps + 1)).numpy()[:, 2])


def test_the_rate_drops_at_the_steps_of_the_tutorial():
    rates = moves(8596, momentum=0.0)
    epochs = np.arange(8596) * 64 // 55000
    steps = [*range(6), *range(856, 864), *range(8588, 8596)]
    np.testing.assert_allclose(rates[steps], 0.01 * 0.95 ** epochs[steps], rtol=1e-6)
    assert list(epochs[858:862]) == [0, 0, 1, 1] and epochs[8590] == 9 and epochs[8594] == 10
    np.testing.assert_allclose(rates, 0.01 * 0.95**epochs, rtol=1e-6)


def test_the_log_is_of_every_hundredth_step_right_after_it():
    network = keras.Sequential([keras.Input((28, 28, 1)), Slope()])
    training = dataclasses.replace(TRAINING, steps=230, tutorial_seeds=True)
    found, log = mnist_convnet.descend(network, training, Data)
    assert [step for step, _ in log] == [0, 100, 200] and len(found) == 230
    # Of a `Slope` all batches have the same loss, until the next step.
    assert [loss for _, loss in log] == [pytest.approx(found[t + 1, 0]) for t in (0, 100, 200)]
    other = dataclasses.replace(training, tutorial_seeds=False, steps=2)
    assert mnist_convnet.descend(network, other, Data)[1] == []


def test_momentum_is_that_of_the_tutorial_in_the_loop_too():
    np.testing.assert_allclose(moves(3, momentum=0.9), [0.01, 0.019, 0.0271], rtol=1e-6)


@pytest.mark.parametrize(
    "network", [pytest.param("tutorial", marks=pytest.mark.slow), "batch_normalized"]
)
def test_each_error_is_that_of_its_own_images(network):
    training = dataclasses.replace(TRAINING, network=network, steps=1, learning_rate=0.0)
    model = build_network(training)
    mnist_convnet.descend(model, training, Data)  # moves the averages of batch normalization only

    def answers(images):
        return np.argmax(model.predict(mnist_convnet.normalized(images), verbose=0), axis=1)

    class Marked(Data):
        train_labels = answers(Data.train_images).astype(np.int32)
        test_labels = answers(Data.test_images).astype(np.int32)

    Marked.train_labels[:3] = (Marked.train_labels[:3] + 1) % 10  # of the 10 that are held out
    Marked.train_labels[10:50] = (Marked.train_labels[10:50] + 1) % 10
    Marked.test_labels[:2] = (Marked.test_labels[:2] + 1) % 10  # of 40
    trained = mnist_convnet.train(training, Marked)
    assert (trained.validation_error, trained.test_error) == (30, 5)
