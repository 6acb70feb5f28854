"""The data of the experiments, as arrays: MNIST, the Ethanol task, and their stand-ins.

`python -m reproduce.data` says what would be read, and from where.
"""

from reproduce.data.ethanol import RegressionData, load_ethanol, standardized
from reproduce.data.mnist import Dataset, load_mnist

__all__ = [
    "Dataset",
    "RegressionData",
    "load_ethanol",
    "load_mnist",
    "standardized",
]
