"""Train the linear maps of a Keras model as products of matrices, and fold them back.

Importing the package registers its classes with Keras, so that `keras.saving.load_model` finds
them without `custom_objects`.
"""

from tfoverparam import initializers
from tfoverparam import matrix_functions
from tfoverparam.layers import FactorizedDense
from tfoverparam.optimizers import EndToEnd

__version__ = "0.1.0"

__all__ = ["EndToEnd", "FactorizedDense", "initializers", "matrix_functions"]
