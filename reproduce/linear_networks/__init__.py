"""Linear networks by the hundred, trained as the columns of one compiled program."""

import importlib

from reproduce.linear_networks.run import OPTIMIZERS, Run, initial_factors, losses

__all__ = ["OPTIMIZERS", "Run", "Trajectory", "initial_factors", "losses", "train"]


def __getattr__(name):
    # What needs TensorFlow comes when it is asked for: a configuration is checked without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("reproduce.linear_networks.population"), name)
