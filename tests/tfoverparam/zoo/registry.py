"""Models of every kind that `overparameterize` is tried on, by name."""

import collections.abc
import dataclasses
import importlib
import math
import typing

import keras
import numpy as np
from tfoverparam import linear_maps


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        make: Function of nothing to a model that is built and a batch of inputs.
        kind: Heading of the table.
        share: Least share of the kernels' parameters that is to be factorized, of kernels that
            are not depthwise.
        share_of_all: The share of all kernels' parameters in percent, where depthwise kernels make
            it less than 95; else `None`.
        apart: Part of the names of weights that these shares leave out.
        needs: Module that it needs beside Keras, `"tensorflow"` as the backend, or `None`.
        is_quick: Whether the fast tests have it.
        is_converted: Whether the tests convert it; of a model that is large they only count.
    """

    make: collections.abc.Callable
    kind: str
    share: float
    share_of_all: float | None
    apart: str | None
    needs: str | None
    is_quick: bool
    is_converted: bool


ZOO: dict[str, Entry] = {}


def entry(
    name,
    kind,
    share,
    share_of_all=None,
    apart=None,
    needs=None,
    is_quick=False,
    is_converted=True,
):
    """Has a function that makes a model enter the zoo."""

    def enter(make):
        ZOO[name] = Entry(make, kind, share, share_of_all, apart, needs, is_quick, is_converted)
        return make

    return enter


def the_zoo():
    """All entries, by name."""
    for module in ("hub", "written", "applications"):
        importlib.import_module(f"tests.tfoverparam.zoo.{module}")
    return ZOO


def randomized(model):
    """The model with weights that have come some way from their initial values."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" not in weight.path and keras.backend.is_float_dtype(weight.dtype):
            value = np.asarray(weight)
            # Variances stay positive, and biases are not zero.
            noise = random.uniform(0.9, 1.1, value.shape) * value
            weight.assign(noise + random.uniform(0.0, 0.02, value.shape))
    return model


def outputs_of(model, inputs):
    """What the model computes, a list of arrays of float64."""
    function = getattr(model, "compute", model)  # of one without `call`
    outputs = keras.tree.flatten(function(inputs, training=False))
    return [np.asarray(each).astype("float64") for each in outputs]


def largest_gap(outputs, others):
    """Of two lists of arrays, relative to the largest entry of each output."""
    return max(
        np.abs(other - output).max() / np.abs(output).max()
        for output, other in zip(outputs, others, strict=True)
    )


def train(model, inputs):
    """One step of training: by what the model is compiled with, else by the mean square."""
    if model.compiled and model.loss is None:  # the model has its own
        model.fit(inputs, batch_size=len(inputs), verbose=0)
        return
    outputs = model(inputs, training=False)
    if model.compiled:  # for classes
        targets = np.zeros(outputs.shape[:-1], "int32")
    else:
        # On JAX it takes longer to compile each operation by itself than all of them together.
        is_jax = keras.backend.backend() == "jax"
        model.compile(keras.optimizers.SGD(1e-3, clipnorm=1.0), "mse", jit_compile=is_jax)
        targets = keras.tree.map_structure(lambda each: np.zeros(each.shape, "float32"), outputs)
    model.train_on_batch(inputs, targets)


def kernels(model):
    """All weights of a plain model that are more than vectors, embeddings and biases apart.

    Depthwise kernels count, and so do weights that a custom layer multiplies by in its own way.
    """
    return [
        weight
        for weight in model.weights
        if sum(size > 1 for size in weight.shape) >= 2
        and weight.name != "bias"
        and not any(word in weight.path for word in ("embedding", "relative_attention_bias"))
    ]


class Count(typing.NamedTuple):
    """How many parameters the kernels of a plain model have.

    Attributes:
        kernels: All of them.
        depthwise: Those of depthwise kernels, which are left by default.
        factorized: Those of kernels that `overparameterize` takes in by default.
        possible: Those that it takes in with `filter=lambda each: True`.
    """

    kernels: int
    depthwise: int
    factorized: int
    possible: int

    @property
    def share(self):
        """What is factorized of all kernels."""
        return self.factorized / self.kernels

    @property
    def share_but_depthwise(self):
        """What is factorized of all kernels that are not depthwise."""
        return self.factorized / (self.kernels - self.depthwise)


def count(model, apart=None):
    """The `Count` of a model.

    Args:
        model: A plain model.
        apart: Part of the names of weights that do not count.
    """
    maps = {each.path: each for each in linear_maps(model)}
    sizes = dict.fromkeys(("kernels", "depthwise", "factorized", "possible"), 0)
    for weight in kernels(model):
        if apart is not None and apart in weight.path:
            continue
        found = maps.get(weight.path)
        is_possible = found is not None and found.reason is None
        for name, counts in (
            ("kernels", True),
            ("depthwise", found is not None and not found.is_default),
            ("factorized", is_possible and found.is_default),
            ("possible", is_possible),
        ):
            sizes[name] += counts * math.prod(weight.shape)
    return Count(**sizes)
