"""What a process computes on."""

import os

import tensorflow as tf


def device():
    """The GPU that TensorFlow found, or how many cores this process may use."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    restricted = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if restricted else os.cpu_count() or 1
    return f"CPU, {cores} core{'s' if cores > 1 else ''}"
