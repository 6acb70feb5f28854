"""Networks that people train, with their data and losses: one small module each."""

import importlib

MODULES = {
    "ethanol": ("ethanol", "ETHANOL"),
    "mlp": ("mlp", "MLP"),
    "tutorial_convnet": ("tutorial_convnet", "WITH_L2"),
    "tutorial_convnet_no_l2": ("tutorial_convnet", "WITHOUT_L2"),
    "gpt": ("gpt", "GPT"),
    "residual_convnet": ("residual_convnet", "RESIDUAL_CONVNET"),
}


def get(name):
    """A `workload.Workload`; its module needs TensorFlow, and comes when it is asked for."""
    module, variable = MODULES[name]
    return getattr(importlib.import_module(f"reproduce.workloads.{module}"), variable)
