"""The tutorial's network and training loop, against what is known of them."""

import dataclasses
import gzip

import keras
import numpy as np
import pytest
import tensorflow as tf

from reproduce import mnist_convnet
from reproduce.mnist_convnet import build_network
from reproduce.mnist_convnet.network import SplitDropout
from reproduce.mnist_convnet.training import ClassicMomentum
from tests.helpers.training import TRAINING
from tfoverparam import FactorizedDense

DEEP = dataclasses.replace(TRAINING, depth=2)


def dense_layers(network):
    return [layer for layer in network.layers if isinstance(layer, FactorizedDense)]


def parameters(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_the_overparameterized_network_has_15_per_cent_more_parameters():
    original, deep = (parameters(build_network(each)) for each in (TRAINING, DEEP))
    assert (original, deep - original) == (1663370, 262244)


def test_shapes_and_starts_are_the_tutorials():
    network = build_network(TRAINING)
    shapes = [tuple(variable.shape) for variable in network.trainable_variables]
    assert shapes == [
        (5, 5, 1, 32),
        (32,),
        (5, 5, 32, 64),
        (64,),
        (3136, 512),
        (512,),
        (512, 10),
        (10,),
    ]
    kernels, biases = network.trainable_variables[::2], network.trainable_variables[1::2]
    assert [float(np.unique(bias.numpy())[0]) for bias in biases] == [
        0,
        *[pytest.approx(0.1)] * 3,
    ]
    for kernel in kernels:
        values = kernel.numpy()
        # Truncated at two standard deviations, which leaves 0.0879; 4 standard errors.
        assert np.abs(values).max() <= 0.2
        assert abs(values.std() - 0.0879) < 4 * 0.0879 / np.sqrt(2 * values.size)


def test_original_and_overparameterized_share_the_draws_that_they_can():
    original, deep = build_network(TRAINING), build_network(DEEP)
    np.testing.assert_array_equal(original.layers[0].kernel, deep.layers[0].kernel)
    for ours, theirs in zip(dense_layers(original), dense_layers(deep)):
        np.testing.assert_array_equal(ours.kernel, theirs.factors[0])
        assert not np.isin(theirs.factors[1].numpy().ravel()[:5], theirs.factors[0]).any()


def test_seeds_give_different_networks():
    other = build_network(dataclasses.replace(TRAINING, seed=1))
    for ours, theirs in zip(
        build_network(TRAINING).trainable_variables[::2], other.trainable_variables[::2]
    ):
        assert np.mean(ours.numpy() == theirs.numpy()) < 0.01


def test_the_factor_std_changes_the_dense_layers_alone():
    network = build_network(dataclasses.replace(DEEP, factor_stddev=0.01))
    assert network.layers[0].kernel.numpy().std() > 0.08
    for layer in dense_layers(network):
        assert all(factor.numpy().std() < 0.012 for factor in layer.factors)


@pytest.mark.parametrize("l2_on", ["kernel", "first_factor", "every_factor"])
def test_what_the_l2_penalty_acts_on(l2_on):
    network = build_network(dataclasses.replace(DEEP, l2_on=l2_on))
    penalised = []
    for layer in dense_layers(network):
        factors = [factor.numpy().astype("float64") for factor in layer.factors]
        penalised.append(layer.bias.numpy().astype("float64"))
        penalised += {
            "kernel": [factors[0] @ factors[1]],
            "first_factor": factors[:1],
            "every_factor": factors,
        }[l2_on]
    expected = 5e-4 * sum(np.sum(array**2) for array in penalised) / 2
    assert float(tf.add_n(network.losses)) == pytest.approx(expected, rel=1e-5)


def test_without_l2_there_is_no_penalty():
    assert build_network(dataclasses.replace(DEEP, l2=0.0)).losses == []


def test_momentum_is_tensorflow_1s():
    variable = keras.Variable([1.0])
    # The rate drops from 1 to 0.5 after the first step.
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5, staircase=True)
    optimizer = ClassicMomentum(schedule, momentum=0.9)
    optimizer.build([variable])
    seen = []
    for gradient in (2.0, 1.0):
        optimizer.apply([tf.constant([gradient])])
        seen.append(float(variable[0]))
    # v = 2, w = 1 - 1 * 2; v = 0.9 * 2 + 1 = 2.8, w = -1 - 0.5 * 2.8.
    np.testing.assert_allclose(seen, [-1.0, -2.4], rtol=1e-6)


class Data:
    """100 images that can be told apart by their brightness: image i has the value i."""

    train_images = np.broadcast_to(
        np.arange(100, dtype=np.uint8)[:, None, None, None], (100, 28, 28, 1)
    )
    train_labels = np.zeros(100, dtype=np.int32)
    test_images, test_labels = train_images[:2], train_labels[:2]


class Spy(keras.layers.Layer):
    """Logits that leak which images were seen."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs, training=False):
        first = inputs[:, 0, 0, :]
        # Cross-entropy of label 0 against logits (-x, 0, ...): increasing in x.
        return tf.concat([-first, tf.zeros_like(first)], axis=1) + 0 * self.weight


def test_batches_pass_by_in_file_order_and_wrap_as_the_tutorials_do():
    training = dataclasses.replace(TRAINING, batch_size=8)
    network = keras.Sequential([keras.Input((28, 28, 1)), Spy()])
    images = tf.constant(mnist_convnet.normalized(Data.train_images[10:]))
    labels = tf.constant(Data.train_labels[10:])
    run_steps, _ = mnist_convnet.training_loop(network, training, images, labels)
    cross_entropy = run_steps(tf.constant(0), tf.constant(25)).numpy()[:, 1]
    expected = []
    for step in range(25):
        offset = 10 + step * 8 % (90 - 8)
        x = (np.arange(offset, offset + 8) - 127.5) / 255
        expected.append(np.mean(np.log1p(np.exp(x))))
    np.testing.assert_allclose(cross_entropy, expected, rtol=1e-5)


def test_numbers_do_not_depend_on_how_often_progress_is_told():
    training = dataclasses.replace(TRAINING, validation_size=4, batch_size=8, steps=5)
    calls = []
    whole = mnist_convnet.train(training, Data)
    parts = mnist_convnet.train(training, Data, lambda *call: calls.append(call), segment=2)
    assert [steps for steps, _ in calls] == [2, 4, 5]
    np.testing.assert_array_equal(np.concatenate([losses for _, losses in calls])[:, 0], parts.loss)
    np.testing.assert_array_equal(whole.loss, parts.loss)
    np.testing.assert_array_equal(whole.loss, whole.cross_entropy + whole.l2_term)
    assert whole.parameters == 1663370


def test_on_one_device_the_dropout_of_several_is_that_of_keras():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(6, 40)).astype("float32")
    ours, theirs = SplitDropout(0.4, seed=3), keras.layers.Dropout(0.4, seed=3)
    for _ in range(3):
        np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))
    np.testing.assert_array_equal(ours(inputs), inputs)
    np.testing.assert_array_equal(SplitDropout(0, seed=3)(inputs, training=True), inputs)


def test_shapes_of_the_second_network():
    network = build_network(dataclasses.replace(TRAINING, network="batch_normalized"))
    kernels = [v.shape for v in network.trainable_variables if len(v.shape) > 1]
    assert kernels == [(3, 3, 1, 16), (3, 3, 16, 32), (1568, 128), (128, 10)]


def test_the_second_network_trains_and_has_no_l2():
    training = dataclasses.replace(
        DEEP,
        network="batch_normalized",
        validation_size=4,
        l2=0.0,
        batch_size=8,
        steps=3,
        learning_rate=0.1,
    )
    trained = mnist_convnet.train(training, Data)
    np.testing.assert_array_equal(trained.l2_term, 0)
    assert trained.loss[-1] < trained.loss[0]


@pytest.mark.parametrize(
    "depth, first", [pytest.param(1, 8.334, marks=pytest.mark.slow), (2, 16.160)]
)
def test_the_tutorials_seeds_give_its_published_first_loss(mnist_dir, depth, first):
    def read(name, header, shape):
        with gzip.open(mnist_dir / name) as file:
            content = file.read(header + int(np.prod(shape)))
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape)

    class Mnist:  # Of the first images: the first batch comes after those that are held out.
        train_images = read("train-images-idx3-ubyte.gz", 16, (5200, 28, 28, 1))
        train_labels = read("train-labels-idx1-ubyte.gz", 8, (5200,)).astype(np.int32)
        test_images, test_labels = train_images[:2], train_labels[:2]

    training = dataclasses.replace(TRAINING, depth=depth, tutorial_seeds=True, steps=1)
    trained = mnist_convnet.train(training, Mnist)
    assert [step for step, _ in trained.log] == [0]
    assert trained.log[0][1] == pytest.approx(first, abs=5e-4)
