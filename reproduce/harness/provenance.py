"""Where numbers come from: the program, the data and the machine."""

import functools
import os
import pathlib
import platform
import socket
import subprocess
import time
import types
from importlib import metadata

NO_DATA = types.SimpleNamespace(description="", fingerprint="")


def provenance(task, started, together=1, **more):
    """What a record says of the program, the data and the machine that made it: plain values.

    Args:
        task: The data set.
        started: When its training began, a time of `time.time()`.
        together: How many runs were trained together, and share the time.
        more: What else there is to say.
    """
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round((time.time() - started) / together, 1),
        **more,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(
            _git("status", "--porcelain", "--", "tfoverparam", "reproduce", "configs")
        ),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "data": {"fingerprint": task.fingerprint},
        "device": device(),
        "host": socket.gethostname(),
    }


def device():
    """The GPU that TensorFlow found, or how many cores this process may use."""
    import tensorflow as tf  # Commands that compute nothing do not wait for it.

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    restricted = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if restricted else os.cpu_count() or 1
    return f"CPU, {cores} core{'s' if cores > 1 else ''}"


@functools.cache
def _git(*arguments):
    """What git says about this checkout; None where there is no git or no checkout."""
    root = pathlib.Path(__file__).parents[2]
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
