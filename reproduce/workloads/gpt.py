"""A GPT on the characters of Tiny Shakespeare: nanoGPT's smallest recipe, without its decay."""

import dataclasses

import keras
from keras import initializers, layers, ops
import numpy as np
import tensorflow as tf

from reproduce import data
from reproduce.workloads.workload import Examples, Workload

LAYERS, HEADS, WIDTH, CONTEXT = 4, 4, 128, 64
VOCABULARY = 65
STDDEV = 0.02
TRAINING, VALIDATION = 0.9, 0.95  # where TFDS, too, cuts the text


class CausalSelfAttention(layers.Layer):
    """Each position looks at itself and at those before it."""

    def build(self, input_shape):
        self.inputs = dense(3 * WIDTH, name="inputs")
        self.outputs = dense(WIDTH, STDDEV / (2 * LAYERS) ** 0.5, name="outputs")
        self.inputs.build(input_shape)
        self.outputs.build(input_shape)

    def call(self, x):
        query, key, value = (
            ops.reshape(each, (-1, CONTEXT, HEADS, WIDTH // HEADS))
            for each in ops.split(self.inputs(x), 3, axis=-1)
        )
        mixed = ops.dot_product_attention(query, key, value, is_causal=True)
        return self.outputs(ops.reshape(mixed, (-1, CONTEXT, WIDTH)))


class Positions(layers.Layer):
    """Adds to each position a vector of its own."""

    def build(self, input_shape):
        self.vectors = embedding(CONTEXT)
        self.vectors.build(())

    def call(self, x):
        return x + self.vectors(ops.arange(CONTEXT))


def dense(units, stddev=STDDEV, **arguments):
    start = initializers.RandomNormal(stddev=stddev)
    return layers.Dense(units, kernel_initializer=start, **arguments)


def embedding(count):
    start = initializers.RandomNormal(stddev=STDDEV)
    return layers.Embedding(count, WIDTH, embeddings_initializer=start)


def network():
    """From (batch, context) characters to logits of the next ones."""
    inputs = keras.Input((CONTEXT,), dtype="int32")
    x = embedding(VOCABULARY)(inputs)
    x = Positions()(x)
    for _ in range(LAYERS):
        x = x + CausalSelfAttention()(layers.LayerNormalization(epsilon=1e-5)(x))
        hidden = dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization(epsilon=1e-5)(x))
        x = x + dense(WIDTH, STDDEV / (2 * LAYERS) ** 0.5)(hidden)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    return keras.Model(inputs, dense(VOCABULARY)(x))


@dataclasses.dataclass(frozen=True)
class Text(Workload):
    """The next character of each in a window; training examples are the characters themselves."""

    def split(self, dataset, validation_size):
        characters = sorted(set(dataset.text))
        numbers = {character: number for number, character in enumerate(characters)}
        tokens = np.array([numbers[character] for character in dataset.text], "int32")
        ends = [int(part * len(tokens)) for part in (TRAINING, VALIDATION)]
        training, *held_out = np.split(tokens, ends)
        windows = [evenly_spaced(part, validation_size) for part in held_out]
        return Examples(tf.constant(training), tf.constant(training)), {
            "validation": windows[0],
            "test": windows[1],
        }

    def order(self, training, steps, batch_size, random):
        return random.integers(0, len(training.inputs) - CONTEXT, (steps, batch_size))

    def batch(self, training, rows):
        places = rows[:, None] + tf.range(CONTEXT, dtype=rows.dtype)
        return tf.gather(training.inputs, places), tf.gather(training.targets, places + 1)


def evenly_spaced(tokens, count):
    """`count` windows of a text, and the characters that follow on each of theirs."""
    starts = np.linspace(0, len(tokens) - CONTEXT - 1, count).astype(int)
    places = starts[:, None] + np.arange(CONTEXT)
    return Examples(tf.constant(tokens[places]), tf.constant(tokens[places + 1]))


GPT = Text(lambda data_dir: data.load_tiny_shakespeare(data_dir), network)
