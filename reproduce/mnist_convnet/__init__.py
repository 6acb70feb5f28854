"""TensorFlow's MNIST tutorial ConvNet, as it was and overparameterized."""

import importlib

from reproduce.mnist_convnet.configuration import TUTORIAL_SEED, Training

_MODULES = {"build_network": "network"}  # all else is in `training`

__all__ = [
    "TUTORIAL_SEED",
    "Trained",
    "Training",
    "build_network",
    "descend",
    "normalized",
    "train",
    "training_loop",
]


def __getattr__(name):
    # What needs TensorFlow comes when it is asked for: a configuration is checked without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name, "training")
    return getattr(importlib.import_module(f"reproduce.mnist_convnet.{module}"), name)
