"""What factorized layers cost beside the built-in ones, side by side in one run.

    python benchmarks/layers.py [--networks mlp convnet block] [--rounds N] [--batch-size N]
    python benchmarks/layers.py --memory

Each network comes as it is, with its layers factorized (depth 2 and 3, with hidden layers of full
width, and depth 2 with a bottleneck of 32), collapsed again, and with Keras's own LoRA of rank 32
in its Dense layers, which trains two factors beside a frozen kernel. All take turns, ten training
steps and ten predictions each a round, so that a change in the machine's speed meets all of them.
A time is the median over the rounds, a ratio the median over the rounds' ratios to the network as
it is. Beside the ratio of the training steps is that of the multiplications in them, by count.

Then, what a report of `BalanceMonitor` costs at its default frequency. Last, the training step of
a transformer block: of built-in layers, factorized, and written by hand with two products in the
place of each. `--memory` measures
instead, each variant in a process of its own, the peak of the process's memory in training above
that of the network as it is (CPU and Linux only).
"""

import argparse
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

from tfoverparam import (  # noqa: E402
    BalanceMonitor,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    overparameterize,
)
from tfoverparam.layers.factorized_layer import FactorizedLayer  # noqa: E402

STEPS = 10
BOTTLENECK = 32
BLOCK_HEADS = 4
FACTORIZED = {
    layers.Dense: (FactorizedDense, "hidden_units"),
    layers.Conv2D: (FactorizedConv2D, "hidden_filters"),
}


def mlp():
    """784 -> 1024 -> 1024 -> 10."""
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(1024, "relu"),
            layers.Dense(1024, "relu"),
            layers.Dense(10),
        ]
    )


def convnet():
    """TensorFlow's MNIST tutorial network, without dropout."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(512, "relu"),
            layers.Dense(10),
        ]
    )


def bottleneck(model):
    """Hidden layers of that width, which restrict the rank of each kernel."""

    def replace(layer):
        cls, width = FACTORIZED.get(type(layer), (type(layer), None))
        config = layer.get_config()
        return cls.from_config({**config, width: BOTTLENECK} if width else config)

    return keras.models.clone_model(model, clone_function=replace)


def with_lora(model):
    model = keras.models.clone_model(model)
    for layer in model.layers:
        if isinstance(layer, layers.Dense):
            layer.enable_lora(BOTTLENECK)
    return model


NETWORKS = {"mlp": mlp, "convnet": convnet}
VARIANTS = {
    "as it is": lambda model: model,
    "depth 2": lambda model: overparameterize(model, depth=2, verbose=0),
    "depth 3": lambda model: overparameterize(model, depth=3, verbose=0),
    f"depth 2, width {BOTTLENECK}": bottleneck,
    "collapsed": lambda model: collapse(overparameterize(model, verbose=0)),
    f"LoRA, rank {BOTTLENECK}": with_lora,
}


def runs(model, batch_size):
    """Functions that take `STEPS` training steps and predictions with a model."""
    model.compile(
        keras.optimizers.SGD(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    # Speed does not depend on what the images show.
    random = np.random.default_rng(0)
    images = random.normal(size=(batch_size, *model.input_shape[1:])).astype("float32")
    labels = random.integers(0, 10, batch_size)

    def train():
        for _ in range(STEPS):
            loss = model.train_on_batch(images, labels)
        return float(loss)

    def predict():
        for _ in range(STEPS):
            model.predict_on_batch(images)

    return train, predict


def multiplications(model, batch_size):
    """Of a forward pass; the backward pass has twice as many of each product."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, FactorizedLayer):
            shapes = [tuple(factor.shape) for factor in layer.factors]
        elif isinstance(layer, (layers.Dense, layers.Conv2D)):
            kernel = tuple(layer.kernel.shape)
            shapes = [(math.prod(kernel[:-1]), kernel[-1])]
            if getattr(layer, "lora_enabled", False):
                total += BOTTLENECK * sum(shapes[0]) * shapes[0][1] // shapes[0][1]
                total += shapes[0][0] * BOTTLENECK * shapes[0][1]
        else:
            continue
        rows = batch_size * math.prod(layer.output.shape[1:-1])
        d, k = shapes[0][0], shapes[-1][1]
        by_factors = rows * sum(a * b for a, b in shapes)
        product = min(d * sum(a * b for a, b in shapes[1:]), k * sum(a * b for a, b in shapes[:-1]))
        total += min(by_factors, product * (len(shapes) > 1) + rows * d * k)
    return total


def time_network(network, rounds, batch_size):
    """Print parameters, milliseconds and ratios of each variant, and the monitor's share."""
    models, works = {}, {}
    for variant, convert in VARIANTS.items():
        models[variant] = convert(NETWORKS[network]())
        works[variant] = runs(models[variant], batch_size)
        for work in works[variant]:
            work()
    times = {(variant, kind): [] for variant in VARIANTS for kind in (0, 1)}
    for _ in range(rounds):
        for variant, kind in times:
            start = time.perf_counter()
            works[variant][kind]()
            times[variant, kind].append((time.perf_counter() - start) / STEPS)
    print(f"\n{network}: {NETWORKS[network].__doc__} Batches of {batch_size}.")
    heads = ("parameters", "trained", "ms a step", "ratio", "by count", "ms predicting", "ratio")
    print(f"{'':<20}" + "".join(f"{head:>14}" for head in heads))
    count = multiplications(models["as it is"], batch_size)
    for variant, model in models.items():
        trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        cells = [f"{model.count_params():,}", f"{trained:,}"]
        for kind in (0, 1):
            ratio = np.median(np.divide(times[variant, kind], times["as it is", kind]))
            cells += [f"{1000 * np.median(times[variant, kind]):.2f}", f"{ratio:.2f}"]
        cells.insert(4, f"{multiplications(model, batch_size) / count:.2f}")
        print(f"{variant:<20}" + "".join(f"{cell:>14}" for cell in cells))
    for variant in ("depth 2", "depth 3"):
        report = report_seconds(models[variant], works[variant][0])
        steps = 100 * report / np.median(times[variant, 0])
        print(
            f"BalanceMonitor on {variant}: {1000 * report:.0f} ms a report, which it makes every "
            f"{steps:.0f} steps so that it takes 1 % of the time"
        )


class Products(layers.Layer):
    """A projection by two products, written by hand."""

    def __init__(self, units, activation=None):
        super().__init__()
        self.units, self.activation = units, keras.activations.get(activation)

    def build(self, input_shape):
        hidden = min(input_shape[-1], self.units)
        self.a = self.add_weight(shape=(input_shape[-1], hidden), name="a")
        self.b = self.add_weight(shape=(hidden, self.units), name="b")
        self.bias = self.add_weight(shape=(self.units,), name="bias", initializer="zeros")

    def call(self, inputs):
        outputs = ops.matmul(ops.matmul(inputs, self.a), self.b) + self.bias
        return self.activation(outputs)


class AttentionByHand(layers.Layer):
    """Self-attention of `BLOCK_HEADS` heads, as `MultiHeadAttention` computes it."""

    def __init__(self, width):
        super().__init__()
        self.size = width // BLOCK_HEADS
        self.projections = [Products(width) for _ in range(4)]

    def call(self, inputs):
        shape = (-1, inputs.shape[1], BLOCK_HEADS, self.size)
        *projections, output = self.projections
        query, key, value = (ops.reshape(each(inputs), shape) for each in projections)
        scores = ops.einsum("aecd,abcd->acbe", key, query * self.size**-0.5)
        mixed = ops.einsum("acbe,aecd->abcd", ops.softmax(scores), value)
        return output(ops.reshape(mixed, (-1, *inputs.shape[1:])))


def transformer_block(length, width, is_by_hand):
    """A block of attention and a perceptron, of built-in layers or by hand with two products."""
    inputs = keras.Input((length, width))
    dense = Products if is_by_hand else layers.Dense
    x = layers.LayerNormalization()(inputs)
    if is_by_hand:
        attended = AttentionByHand(width)(x)
    else:
        attended = layers.MultiHeadAttention(BLOCK_HEADS, width // BLOCK_HEADS)(x, x)
    x = inputs + attended
    y = dense(4 * width, activation="gelu")(layers.LayerNormalization()(x))
    return keras.Model(inputs, x + dense(width)(y))


def time_block(rounds, width=256, batch_size=8, length=64):
    """Print the ratio of a factorized block's training step to that of the one by hand."""
    blocks = {
        "built-in": transformer_block(length, width, is_by_hand=False),
        "by hand, two products": transformer_block(length, width, is_by_hand=True),
        "factorized": overparameterize(
            transformer_block(length, width, is_by_hand=False), verbose=0
        ),
    }
    batch = np.random.default_rng(0).normal(size=(batch_size, length, width)).astype("float32")
    for block in blocks.values():
        block.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=False)
        block.train_on_batch(batch, batch)
    times = {name: [] for name in blocks}
    for _ in range(rounds):
        for name, block in blocks.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                loss = block.train_on_batch(batch, batch)
            float(loss)
            times[name].append((time.perf_counter() - start) / STEPS)
    print(f"\nTransformer block of width {width}, batches of {batch_size} x {length}")
    print(f"{'':<24}{'parameters':>14}{'ms a step':>14}{'ratio to by hand':>20}")
    for name, block in blocks.items():
        ratio = np.median(np.divide(times[name], times["by hand, two products"]))
        milliseconds = 1000 * np.median(times[name])
        print(f"{name:<24}{block.count_params():>14,}{milliseconds:>14.2f}{ratio:>20.2f}")


def report_seconds(model, train, repetitions=5):
    """Median time of all that the monitor does around a step on which it reports."""
    seconds = []
    for _ in range(repetitions + 1):
        monitor = BalanceMonitor()
        monitor.set_model(model)
        monitor.set_params({"epochs": 1, "steps": 10**6})
        monitor.on_train_begin()
        start = time.perf_counter()
        monitor.on_train_batch_begin(0)
        pause = time.perf_counter()
        train()
        resume = time.perf_counter()
        monitor.on_train_batch_end(0, {})
        seconds.append(time.perf_counter() - resume + pause - start)
    return np.median(seconds[1:])


def measure_memory(network, batch_size):
    """Print the peak memory of each variant above that of the network as it is."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant, convert in VARIANTS.items():
            # Conversion needs memory as well, which its process would keep: load the result.
            path = os.path.join(folder, "model.keras")
            convert(NETWORKS[network]()).save(path)
            command = [sys.executable, __file__, "--peak-of", path, "--batch-size", str(batch_size)]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[variant] = float(result.stdout.split()[-1])
    print(f"\n{network}: peak memory while training, above that of the network as it is, in MiB")
    for variant, peak in peaks.items():
        print(f"{variant:<20}{(peak - peaks['as it is']) / 1024:10.0f}")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*NETWORKS, "block"]
    parser.add_argument("--networks", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        train, _ = runs(keras.saving.load_model(arguments.peak_of), arguments.batch_size)
        train()
        # Not `resource.getrusage`: a process starts with the peak of the one that starts it.
        print(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
        return
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, {os.cpu_count()} CPU cores")
    for network in arguments.networks:
        if network == "block":
            if not arguments.memory:
                time_block(arguments.rounds)
        elif arguments.memory:
            measure_memory(network, arguments.batch_size)
        else:
            time_network(network, arguments.rounds, arguments.batch_size)


if __name__ == "__main__":
    main()
