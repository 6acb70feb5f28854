"""The data of the experiments, as arrays; the files are in `files/`, with their terms.

`python -m reproduce.data` says what is read, and from where, and lets TFDS prepare its copies.
"""

from reproduce.data.ethanol import load_ethanol
from reproduce.data.mnist import Dataset, load_fashion_mnist, load_mnist
from reproduce.data.regression import (
    RegressionData,
    has_regression,
    load_breast_cancer,
    load_regression,
    standardized,
)
from reproduce.data.text import TextData, load_tiny_shakespeare
from reproduce.harness.errors import DataError

__all__ = [
    "DataError",
    "Dataset",
    "RegressionData",
    "TextData",
    "has_regression",
    "load_breast_cancer",
    "load_ethanol",
    "load_fashion_mnist",
    "load_mnist",
    "load_regression",
    "load_tiny_shakespeare",
    "standardized",
]
