"""Layers whose kernel is a product of matrices."""

from tfoverparam.layers.factorized_dense import FactorizedDense

__all__ = ["FactorizedDense"]
