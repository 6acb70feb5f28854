"""Optimizers that apply the end-to-end rule."""

from tfoverparam.optimizers.end_to_end import EndToEnd

__all__ = ["EndToEnd"]
