"""Small trainings under one strategy of distribution: a process that strategies.py starts.

    python -m tools.reliability.strategies_training STRATEGY FILE [--seeds N] [--only REGEX]

writes the weights that each training ends with to FILE. Strategies: `one-device`; `mirrored`, two
virtual CPUs of this process; `multi-worker`, this process and the others that `TF_CONFIG` names;
and, under `KERAS_BACKEND=jax`, `model-parallel`: four virtual CPUs, which share every batch by two
and every layer's factors or kernel by two.
"""

import argparse
import itertools
import re

EXAMPLES, BATCH, EPOCHS = 32, 8, 3
STEPS = EXAMPLES // BATCH * EPOCHS
FACTORIZED = ("sgd", "momentum", "adam")
END_TO_END = (("sgd", 1), ("sgd", 3), ("momentum", 1), ("adam", 3))


def cases(seeds, only=""):
    """What is trained: a dict from a name to depth, `refresh_every` or None, optimizer, seed."""
    found = {}
    for depth, seed in itertools.product((2, 3), range(seeds)):
        for optimizer in FACTORIZED:
            found[f"factorized, depth {depth}, {optimizer}, seed {seed}"] = (
                depth,
                None,
                optimizer,
                seed,
            )
        for optimizer, every in END_TO_END:
            found[f"EndToEnd, depth {depth}, refresh_every {every}, {optimizer}, seed {seed}"] = (
                depth,
                every,
                optimizer,
                seed,
            )
    return {name: case for name, case in found.items() if re.search(only, name)}


def build(depth, refresh_every, optimizer, seed):
    """A compiled model: factorized, or plain with `EndToEnd` where `refresh_every` is given."""
    import keras

    from tfoverparam import EndToEnd, FactorizedConv2D, FactorizedDense

    keras.utils.set_random_seed(seed)
    inner = {
        "sgd": lambda: keras.optimizers.SGD(0.02),
        "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(0.005),
    }[optimizer]()
    if refresh_every is None:
        convolution, dense, more = FactorizedConv2D, FactorizedDense, {"depth": depth}
    else:
        convolution, dense, more = keras.layers.Conv2D, keras.layers.Dense, {}
        inner = EndToEnd(inner, depth=depth, refresh_every=refresh_every)
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            convolution(4, 3, activation="tanh", name="convolution", **more),
            keras.layers.Flatten(),
            dense(8, activation="tanh", kernel_regularizer="l2", name="hidden", **more),
            dense(2, kernel_regularizer="l2", name="outputs", **more),
        ]
    )
    model.compile(inner, "mse")
    return model


def task(seed):
    """Inputs and targets."""
    import numpy as np

    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(EXAMPLES, 5, 5, 2)).astype("float32")
    return inputs, np.tanh(inputs.sum(axis=(1, 2)))


def fit(model, inputs, targets):
    """Keras's own loop."""
    model.fit(inputs, targets, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)


def fit_on_workers(strategy):
    """A loop like Keras's, which stumbles over its own batches under this strategy."""
    import tensorflow as tf

    def loop(model, inputs, targets):
        @tf.function
        def step(batch):
            strategy.run(model.train_step, (batch,))

        rows = BATCH // strategy.num_replicas_in_sync
        for start in list(range(0, EXAMPLES, BATCH)) * EPOCHS:

            def own(context):
                first = start + context.replica_id_in_sync_group * rows
                return tuple(tf.constant(each[first : first + rows]) for each in (inputs, targets))

            step(strategy.experimental_distribute_values_from_function(own))

    return loop


def start(strategy):
    """The scope to build a model in, and the loop to train it with."""
    import contextlib

    if strategy == "one-device":
        return contextlib.nullcontext, fit
    if strategy == "model-parallel":
        import keras

        keras.distribution.set_distribution(model_parallel())
        return contextlib.nullcontext, fit
    import tensorflow as tf

    if strategy == "multi-worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return strategy.scope, fit_on_workers(strategy)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope, fit


def model_parallel():
    """Each layer's factors, or its kernel, are shared by two devices; so is every batch."""
    import keras

    mesh = keras.distribution.DeviceMesh(
        (2, 2), ["batch", "model"], keras.distribution.list_devices()
    )
    layout = keras.distribution.LayoutMap(mesh)
    # Factors are matrices, of convolutions too. What one hands to the next is shared along the
    # axis that they have in common.
    layout[".*kernel_[02]"] = (None, "model")
    layout[".*kernel_1"] = ("model", None)
    layout[".*(hidden|outputs)/kernel"] = (None, "model")
    layout[".*convolution/kernel"] = (None, None, None, "model")
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def train(strategy, seeds=1, only=""):
    """The weights that each training ends with: a dict from its name and a number to an array."""
    scope, loop = start(strategy)
    weights = {}
    for name, case in cases(seeds, only).items():
        with scope():
            model = build(*case)
        loop(model, *task(case[-1]))
        for index, array in enumerate(model.get_weights()):
            weights[f"{name}/{index}"] = array
    return weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("strategy")
    parser.add_argument("file")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()

    import numpy as np

    weights = train(arguments.strategy, arguments.seeds, arguments.only)
    np.savez(arguments.file, **weights)


if __name__ == "__main__":
    main()
