"""What is compared: how a method changes a network, or its optimizer.

None has a knob that the plain network has not. Penalties act on the product, there is no decoupled
decay, no clipping. Keras's Muon moves kernels of rank 2 but the last layer's, and Adam all others;
of a kernel that plain Muon does not move, it moves no factors either. Of the residual ConvNet it
moves none: there it is Adam.

A convolution as one of 1 x 1, one of k x k and one of 1 x 1 is not among the methods: a factorized
convolution multiplies the (k k inputs, outputs) matrix from factors, and a first factor on the
inputs alone, the same at each of the k k places, is none of these.
"""

import re

import keras

from tfoverparam import EndToEnd, linear_maps, overparameterize


def prepare(network, settings):
    """Change a plain network in place, as a method has it; returns the optimizer to train it.

    Args:
        network: A built `keras.Model`.
        settings: Those of a run.
    """
    inner = _optimizer(network, settings)
    method, depth = settings["method"], settings["depth"]
    if method.startswith("factors"):
        seed = settings["seed"]
        overparameterize(network, depth, balanced=True, seed=seed, verbose=0)
    elif method == "identity_factors":  # One is the kernel itself.
        overparameterize(network, depth, balanced=False, verbose=0)
    elif method != "plain":
        grafting = method == "grafted_rule"
        return EndToEnd(inner, depth, apply_to=network, grafting=grafting)
    return inner


def _optimizer(network, settings):
    schedule = rate_schedule(settings)
    if settings["optimizer"] == "sgd":
        return keras.optimizers.SGD(schedule, momentum=settings["momentum"])
    if settings["optimizer"] == "adamw":
        return keras.optimizers.AdamW(schedule, weight_decay=0.0)
    return keras.optimizers.Muon(
        schedule, weight_decay=None, adam_weight_decay=None, exclude_layers=not_for_muon(network)
    )


def rate_schedule(settings):
    """A linear rise in the first steps, then half a cosine down to zero."""
    rate, steps = settings["learning_rate"], settings["steps"]
    rising = max(1, round(settings["warmup"] * steps))
    return keras.optimizers.schedules.CosineDecay(
        rate / rising, max(1, steps - rising), warmup_target=rate, warmup_steps=rising
    )


def not_for_muon(network):
    """Patterns of the paths of kernels that Adam moves: of other ranks than 2, and the last one.

    Where there is but one kernel it is Muon's.
    """
    maps = linear_maps(network)
    return [
        f"^{re.escape(each.path)}"
        for each in maps
        if len(each.shape) != 2 or (each is maps[-1] and len(maps) > 1)
    ]
