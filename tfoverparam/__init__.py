"""Train the linear maps of a Keras model as products of matrices, and fold them back.

Importing the package registers its classes with Keras, so that `keras.saving.load_model` finds
them without `custom_objects`.
"""

from tfoverparam import initializers
from tfoverparam import matrix_functions
from tfoverparam.callbacks import BalanceMonitor
from tfoverparam.conversion import collapse, overparameterize
from tfoverparam.kernel_kinds import register_linear_map
from tfoverparam.layers import (
    FactorizedConv1D,
    FactorizedConv2D,
    FactorizedConv3D,
    FactorizedDense,
    FactorizedEinsumDense,
)
from tfoverparam.linear_maps import LinearMap, linear_maps
from tfoverparam.optimizers import EndToEnd
from tfoverparam.summary import summary

__version__ = "0.2.0"

__all__ = [
    "BalanceMonitor",
    "EndToEnd",
    "FactorizedConv1D",
    "FactorizedConv2D",
    "FactorizedConv3D",
    "FactorizedDense",
    "FactorizedEinsumDense",
    "LinearMap",
    "collapse",
    "initializers",
    "linear_maps",
    "matrix_functions",
    "overparameterize",
    "register_linear_map",
    "summary",
]
