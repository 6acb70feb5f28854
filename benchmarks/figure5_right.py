"""What a training step of Figure 5 (right) costs, side by side in one run.

    python benchmarks/figure5_right.py [--rounds N] [--steps N]

Four loops take turns, so that a change in the machine's speed meets all of them: the tutorial's
network and the overparameterized one, each through the library and written by hand as a plain
`tf.function` with TensorFlow's own operations. A round's figure is the mean over its steps, the
result the median over the rounds, a ratio the median over the rounds' ratios.
"""

import argparse
import time

import _checkout  # noqa: F401
import numpy as np
import tensorflow as tf

from reproduce import figure5_right, mnist_convnet
from reproduce.harness import cli, config
from reproduce.harness.records import device
from reproduce.harness.records import rebuilt


def by_hand(training, images, labels):
    """`mnist_convnet.training_loop`'s `run_steps`, with nothing but TensorFlow's operations."""

    def kernel(*shape):
        return tf.Variable(tf.random.truncated_normal(shape, stddev=training.stddev))

    conv1, conv2 = kernel(5, 5, 1, 32), kernel(5, 5, 32, 64)
    fc1, fc2 = [kernel(3136, 512)], [kernel(512, 10)]
    if training.depth == 2:
        fc1.append(kernel(512, 512))
        fc2.append(kernel(10, 10))
    bias1 = tf.Variable(tf.zeros([32]))
    bias2, bias3, bias4 = (tf.Variable(tf.fill([n], 0.1)) for n in (64, 512, 10))
    variables = [conv1, bias1, conv2, bias2, *fc1, bias3, *fc2, bias4]
    velocities = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    images, labels = tf.constant(mnist_convnet.normalized(images)), tf.constant(labels)

    def convolution(inputs, weights, bias):
        outputs = tf.nn.bias_add(tf.nn.conv2d(inputs, weights, 1, "SAME"), bias)
        return tf.nn.max_pool2d(tf.nn.relu(outputs), 2, 2, "SAME")

    def dense(inputs, factors, bias):
        for factor in factors:
            inputs = tf.matmul(inputs, factor)
        return inputs + bias

    def losses(step):
        offset = step * training.batch_size % (images.shape[0] - training.batch_size)
        outputs = images[offset : offset + training.batch_size]
        outputs = convolution(outputs, conv1, bias1)
        outputs = convolution(outputs, conv2, bias2)
        outputs = tf.reshape(outputs, [training.batch_size, 3136])
        outputs = tf.nn.relu(dense(outputs, fc1, bias3))
        outputs = dense(tf.nn.dropout(outputs, training.dropout), fc2, bias4)
        cross_entropy = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels[offset : offset + training.batch_size], outputs
            )
        )
        squares = sum(map(squared_norm_of_product, (fc1, fc2, [bias3], [bias4])))
        return cross_entropy + training.l2 / 2 * squares, cross_entropy, training.l2 / 2 * squares

    @tf.function
    def run_steps(first, count):
        recorded = tf.TensorArray(tf.float32, count, element_shape=(3,))
        for index in tf.range(count):
            with tf.GradientTape() as tape:
                step_losses = losses(first + index)
            epoch = (first + index) * training.batch_size // training.decay_examples
            rate = training.learning_rate * training.decay_rate ** tf.cast(epoch, tf.float32)
            gradients = tape.gradient(step_losses[0], variables)
            for variable, velocity, gradient in zip(variables, velocities, gradients):
                tf.raw_ops.ResourceApplyMomentum(
                    var=variable.handle,
                    accum=velocity.handle,
                    lr=rate,
                    grad=gradient,
                    momentum=training.momentum,
                )
            recorded = recorded.write(index, tf.stack(step_losses))
        return recorded.stack()

    return run_steps


def squared_norm_of_product(factors):
    """Of the matrix that the factors multiply to, formed as one would without a thought."""
    product = factors[0]
    for factor in factors[1:]:
        product = tf.matmul(product, factor)
    return 2 * tf.nn.l2_loss(product)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20, help="steps a round")
    arguments = parser.parse_args()
    path = cli.ROOT / "configs" / "figure5_right.yaml"
    settings = config.load(path, figure5_right.Config)
    runs = figure5_right.plan(settings, ("original", "overparameterized"), seeds=[0])
    # Speed does not depend on what the images show.
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5000, 28, 28, 1)).astype(np.uint8)
    labels = generator.integers(0, 10, 5000).astype(np.int32)
    loops = {}
    for run in runs:
        training = rebuilt(mnist_convnet.Training, run.settings)
        network = mnist_convnet.build_network(training)
        loops[f"{run.series}, library"], _ = mnist_convnet.training_loop(
            network,
            training,
            tf.constant(mnist_convnet.normalized(images)),
            tf.constant(labels),
        )
        loops[f"{run.series}, by hand"] = by_hand(training, images, labels)
    count = tf.constant(arguments.steps)
    for run_steps in loops.values():
        run_steps(tf.constant(0), tf.constant(2))
    times = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, run_steps in loops.items():
            start = time.perf_counter()
            run_steps(tf.constant(0), count).numpy()
            times[name].append((time.perf_counter() - start) / arguments.steps)
    print(f"{arguments.rounds} rounds of {arguments.steps} steps on {device()}")
    for name, seconds in times.items():
        low, median, high = 1000 * np.quantile(seconds, (0, 0.5, 1))
        print(f"{name:<28} {median:6.1f} ms a step (from {low:.1f} to {high:.1f})")
    for numerator, denominator in (
        ("original, library", "original, by hand"),
        ("overparameterized, library", "overparameterized, by hand"),
        ("overparameterized, library", "original, library"),
        ("overparameterized, by hand", "original, by hand"),
    ):
        ratio = np.median(np.divide(times[numerator], times[denominator]))
        print(f"{numerator} / {denominator}: {ratio:.2f}")


if __name__ == "__main__":
    main()
