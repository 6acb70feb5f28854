"""Layers whose kernels are products of matrices."""

from tfoverparam.layers.factorized_conv import FactorizedConv1D, FactorizedConv2D, FactorizedConv3D
from tfoverparam.layers.factorized_dense import FactorizedDense
from tfoverparam.layers.factorized_einsum_dense import FactorizedEinsumDense

__all__ = [
    "FactorizedConv1D",
    "FactorizedConv2D",
    "FactorizedConv3D",
    "FactorizedDense",
    "FactorizedEinsumDense",
]
