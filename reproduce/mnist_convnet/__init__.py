"""TensorFlow's MNIST tutorial ConvNet, as it was and overparameterized."""

import importlib

from reproduce.mnist_convnet.configuration import (
    NETWORKS,
    TAGS,
    TUTORIAL_SEED,
    Config,
    Training,
    plan,
)

# All else is in `training`.
_MODULES = {"build_network": "network", "joined": "replicas", "train_all": "runs"}

__all__ = [
    "NETWORKS",
    "TAGS",
    "TUTORIAL_SEED",
    "Config",
    "Trained",
    "Training",
    "build_network",
    "descend",
    "joined",
    "normalized",
    "plan",
    "train",
    "train_all",
    "training_loop",
]


def __getattr__(name):
    # What needs TensorFlow comes when it is asked for: a configuration is checked without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES.get(name, "training")
    return getattr(importlib.import_module(f"reproduce.mnist_convnet.{module}"), name)
