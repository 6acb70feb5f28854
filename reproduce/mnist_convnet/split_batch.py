"""Layers that compute on a batch what they would on one device, however many devices share it.

Each replica has consecutive rows of the batch, in the replicas' order and the same number each.
"""

import keras
import tensorflow as tf


class SplitDropout(keras.layers.Layer):
    """Dropout: each replica draws the mask of the whole batch, and uses its own rows of it."""

    def __init__(self, rate, seed):
        super().__init__()
        self.rate = rate
        self.seed = seed
        # No weight of the network, and not Keras's generator, whose state no replica may assign.
        self.draws = tf.Variable(
            0,
            dtype="int64",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        context = tf.distribute.get_replica_context()
        rows = tf.shape(inputs)[0]
        whole = tf.ones((rows * context.num_replicas_in_sync, inputs.shape[1]), inputs.dtype)
        # The seeds of `keras.random.SeedGenerator(seed)`, one after the other.
        seed = tf.stack([tf.constant(self.seed, "int64"), self.draws.read_value()])
        seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), "int32")
        mask = tf.nn.experimental.stateless_dropout(whole, self.rate, seed)
        self.draws.assign_add(1)
        first = context.replica_id_in_sync_group * rows
        own = mask[first : first + rows]
        return tf.where(own > 0, inputs * own, 0.0)


class SplitBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by the moments of the whole batch."""

    def __init__(self):
        super().__init__(synchronized=True)

    def add_weight(self, *args, trainable=True, **kwargs):
        # All replicas have the same moving averages; one may be assigned to all only if told so.
        aggregation = "none" if trainable else "only_first_replica"
        return super().add_weight(*args, trainable=trainable, aggregation=aggregation, **kwargs)
