"""The data of the experiments, as arrays; the files are in `files/`, with their terms.

`python -m reproduce.data` says what is read, and from where, and lets TFDS prepare its copies.
"""

import importlib

from reproduce.harness.errors import DataError

_MODULES = {
    "Dataset": "mnist",
    "RegressionData": "regression",
    "TextData": "text",
    "load_breast_cancer": "regression",
    "load_ethanol": "ethanol",
    "load_fashion_mnist": "mnist",
    "load_mnist": "mnist",
    "load_regression": "regression",
    "load_tiny_shakespeare": "text",
    "standardized": "regression",
}

__all__ = ["DataError", *_MODULES]


def __getattr__(name):
    # An experiment needs the modules of its own data only.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
