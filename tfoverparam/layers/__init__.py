"""Layers whose kernel is a product of matrices."""

from tfoverparam.layers.factorized_conv2d import FactorizedConv2D
from tfoverparam.layers.factorized_dense import FactorizedDense

__all__ = ["FactorizedConv2D", "FactorizedDense"]
