"""A Keras model with factors in the place of its kernels, and with kernels again.

Both functions work in place, as Keras's own `quantize` does, and return the model. Its layers
stay the objects that they are, so whatever else there is about a model is not touched.
"""

import collections
import contextlib
import random
import warnings
from collections.abc import Callable
from typing import TypeVar

import keras
import numpy as np

from tfoverparam import compilation, keras_private
from tfoverparam.annotations import Widths
from tfoverparam.arguments import (
    check_finite,
    check_positive_integer,
    check_seed,
    checked_hidden_widths,
    hidden_widths,
)
from tfoverparam.initializers import derive_seed
from tfoverparam.layer_tree import holding, models_that_share, walk
from tfoverparam.layers import in_place, recurrent
from tfoverparam.layers.factorized_layer import FactorizedLayer
from tfoverparam.linear_maps import LinearMap, linear_maps, maps_within
from tfoverparam.matrix_functions.balance import are_zero

Model = TypeVar("Model", bound=keras.Model)


def overparameterize(
    model: Model,
    depth: int = 2,
    hidden_units: Widths = None,
    filter: Callable[[LinearMap], bool] | None = None,
    balanced: bool = True,
    seed: int | None = None,
    verbose: int = 1,
) -> Model:
    """Factorizes the kernels of a model, in place, without changing what it computes.

    Each kernel of `linear_maps(model)` but those of embeddings and depthwise convolutions becomes
    a product of `depth` factors, which multiply to what the kernel is now, trained or not. The
    model and its layers stay the objects that they are, with all their methods and state; a
    layer's class becomes a subclass of its own, of the same name. Regularizers act on the product.

    A compiled model stays compiled, with its own loss and metrics, and so do other models that
    hold one of its layers. An optimizer that has made steps starts afresh, with the same
    configuration; those that are no attribute of a model must be made anew, and so must what you
    compiled yourself around the model. (Methods with `tf.function`, of models and of their
    layers, are traced anew.)

    Kernels that cannot be factorized stay as they are, and a warning names them: those with a
    constraint, of layers with LoRA enabled or quantized, that another layer reads as a variable
    (`SpectralNormalization`), of a class of your own that overrides `build`, reads its list of
    weights or assigns to the kernel, and within a layer or model of your own whose `call` does so.

    A weights file of the model holds the products, so that the plain model loads it, and the
    factors beside them. To go on training where it ended, build the model, `overparameterize` it
    with the same arguments, then load the weights. From a `.keras` file, layers that the file
    describes come back with their factors; those that other layers make come back plain.

    Args:
        model: A built `keras.Model`.
        depth: Number of factors of each kernel, a positive integer. Defaults to `2`.
        hidden_units: Width of the hidden layers, an integer or a list of `depth - 1` integers,
            for all kernels. None of them may be narrower than the kernels it goes into. Defaults
            to `None`: for each kernel the smallest that loses no expressiveness.
        filter: Function of a `LinearMap` that says whether to factorize it. Defaults to `None`:
            all but embeddings and depthwise kernels.
        balanced: Whether the factors satisfy Equation 7, on which the theory rests. If not, one
            factor is the kernel itself and the others are identities; so it is, with a warning,
            of a kernel of zeros, whose balanced factors could not move. Defaults to `True`.
        seed: Integer seed of the rotations between balanced factors. Copies of a layer, as of a
            network whose weights are averaged, get the same. Defaults to `None`, a random one.
        verbose: `0` not to print, in one line, what was factorized. Defaults to `1`.

    Returns:
        The model.

    Raises:
        ValueError: If an argument is not of the kind described, the model is not built, there is
            nothing to factorize, or a kernel holds NaN or infinity. The model is as it was.
        RuntimeError: If factors do not multiply to their kernel. The model is as it was.

    Example:

    >>> import keras
    >>> from tfoverparam import overparameterize
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="linear")])
    >>> model = overparameterize(model, depth=3)
    factorized 1 of 1 linear map, 100.0 % of its parameters
    >>> [weight.name for weight in model.weights]
    ['kernel_0', 'kernel_1', 'kernel_2', 'bias']
    >>> isinstance(model.layers[0], keras.layers.Dense)
    True

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """
    check_positive_integer("depth", depth)
    hidden_units = checked_hidden_widths("hidden_units", hidden_units, depth)
    check_seed(seed)
    if filter is not None and not callable(filter):
        raise ValueError(f"`filter` must be None or a function. Received: filter={filter!r}")
    _check_model(model)
    around = models_that_share(model, list(walk(model)))
    chosen = _chosen(model, maps_within(model, around), filter)
    for each in chosen:
        _check_kernel(each, hidden_units)
    if balanced and depth > 1:
        _warn_of_zeros(chosen)
    layers = list(dict.fromkeys(each.layer for each in chosen))
    models = holding(around, layers)
    compilation.check_rules(models, [each.kernel for each in chosen])
    optimizers = compilation.fresh_optimizers(models)

    seed = random.randint(1, 10**9) if seed is None else seed
    by_layer = collections.defaultdict(list)
    for each in chosen:
        by_layer[each.layer].append(each)
    kernels = [each.kernel for each in chosen]
    seeds = _seeds(by_layer, seed)
    factorizations = {
        layer: in_place.factorization_of(maps, depth, hidden_units, seeds[layer])
        for layer, maps in by_layer.items()
    }
    variables = in_place.factor_variables(by_layer, factorizations, balanced)
    with _undone_on_failure(models, layers):
        for layer, maps in by_layer.items():
            in_place.factorize(maps, factorizations[layer], variables)
        _check_products(chosen, kernels)
        recurrent.renew(models)
        replacements = [(kernel, each.factors) for kernel, each in zip(kernels, chosen)]
        compilation.renew(models, optimizers, replacements)
    if verbose:
        print(_report(linear_maps(model)))
    return model


def collapse(model: Model) -> Model:
    """Multiplies the factors of a model, in place: its layers have kernels again.

    The opposite of `overparameterize`, for any model with factorized layers. Each layer has the
    class that it had, or the built-in class if it was made as a factorized layer, so the model
    can be saved, loaded, quantized and exported where this package is not installed (unless it
    is compiled with parts of this package). A compiled model stays compiled, as
    `overparameterize` says it.

    Args:
        model: A built `keras.Model`.

    Returns:
        The model.

    Raises:
        ValueError: If the model is not built. The model is as it was.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedDense, collapse
    >>> model = keras.Sequential([keras.Input((4,)), FactorizedDense(3, depth=2, name="linear")])
    >>> [weight.name for weight in collapse(model).weights]
    ['kernel', 'bias']
    """
    _check_model(model)
    factorized = [layer for layer in walk(model) if isinstance(layer, FactorizedLayer)]
    models = holding(models_that_share(model, factorized), factorized)
    optimizers = compilation.fresh_optimizers(models)
    maps = [each for each in linear_maps(model) if each.is_factorized]
    factors = [each.factors for each in maps]
    with _undone_on_failure(models, factorized):
        for layer in factorized:
            layer.collapse()
        recurrent.renew(models)
        replacements = [
            (variable, [each.kernel]) for each, old in zip(maps, factors) for variable in old
        ]
        compilation.renew(models, optimizers, replacements)
    return model


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a `keras.Model`. Received: model={model!r}")
    # A model that only trains others, as of a GAN, may have no `call`, and never be built itself.
    others = [layer for layer in walk(model) if layer is not model]
    if not model.built and not (others and all(layer.built for layer in others)):
        raise ValueError(
            f"Model `{model.name}` is not built, so there is no function to keep. Call it on data "
            "first, or `build` it."
        )


def _chosen(model, maps, filter):
    """The linear maps to factorize; warns of those that cannot be."""
    wanted = [
        each
        for each in maps
        if not each.is_factorized and (each.is_default if filter is None else filter(each))
    ]
    chosen = [each for each in wanted if each.reason is None]
    if not chosen and any(each.is_factorized for each in maps):
        raise ValueError(
            f"Model `{model.name}` is factorized already: there is nothing left to factorize. "
            "Call `collapse` on it first, to do it in another way."
        )
    kept = [each for each in wanted if each.reason is not None]
    if kept:
        names = "; ".join(f"{each.path} ({each.reason})" for each in kept)
        warnings.warn(f"Kernels that cannot be factorized stay as they are: {names}", stacklevel=3)
    if not chosen:
        raise ValueError(
            f"There is nothing to factorize in model `{model.name}`: of its {len(maps)} linear "
            "maps there is none that can be factorized and that `filter` accepts. "
            "`linear_maps(model)` lists them."
        )
    return chosen


def _check_kernel(linear_map, hidden_units):
    check_finite(f"`{linear_map.path}`", linear_map.kernel)
    *_, rows, columns = linear_map.view.matrices_shape
    widths = hidden_widths(hidden_units, 2, rows, columns)
    if min(widths) < min(rows, columns):
        raise ValueError(
            f"`hidden_units` must be at least {min(rows, columns)} for `{linear_map.path}` to "
            f"compute the same function. Received: hidden_units={hidden_units!r}. With `filter` "
            "it can be left out."
        )


def _warn_of_zeros(maps):
    names = [
        each.path
        for each in maps
        if keras.ops.convert_to_numpy(are_zero(each.view.to_matrices(each.kernel))).any()
    ]
    if names:
        warnings.warn(
            "Balanced factors of zeros are zeros, which no step moves: all but one are identities "
            f"for {', '.join(names)}",
            stacklevel=3,
        )


@contextlib.contextmanager
def _undone_on_failure(models, layers):
    """Brings models, layers and optimizers back to what they are if an error is within."""
    optimizers = [
        each
        for _, _, optimizer in compilation.optimizers_of(models)
        for each in keras_private.with_inner(optimizer)
    ]
    loops = recurrent.recurrent_layers(models)
    snapshots = [keras_private.Snapshot(each) for each in (*models, *layers, *loops, *optimizers)]
    try:
        yield
    except BaseException:
        for snapshot in snapshots:
            snapshot.restore()
        for model in models:
            keras_private.renew_torch_parameters(model)
        raise


def _seeds(by_layer, seed):
    """Dict from layers to integer seeds, the same for layers whose kernels begin alike.

    So copies have the same factors, which training may then average: factors of other rotations
    cannot be averaged, though they have the same product.
    """
    indices: dict[tuple, int] = {}
    seeds = {}
    for index, (layer, maps) in enumerate(by_layer.items()):
        starts = [keras.ops.convert_to_numpy(each.kernel).ravel()[:64].tobytes() for each in maps]
        same = indices.setdefault((*(each.view for each in maps), *starts), index)
        seeds[layer] = derive_seed(seed, same + 1)
    return seeds


def _check_products(maps, kernels):
    """Factors must multiply to what there was, up to rounding."""
    for each, kernel in zip(maps, kernels, strict=True):
        factors = each.layer.factorized_kernels[each.variable]
        limit = 8 * len(each.factors) * _rounding(kernel.dtype)
        # The rounding of float32 within the limit, and half the time; else it is to be exact.
        if factors.distance_from(kernel, "float32") <= limit:
            continue
        gap = factors.distance_from(kernel)
        if not gap <= limit:
            raise RuntimeError(
                f"The factors of `{each.path}` do not multiply to the kernel: they are off by "
                f"{gap:.1e} of it. The model is as it was; please report this."
            )


def _rounding(dtype):
    dtype = keras.backend.standardize_dtype(dtype)
    if dtype == "float64" and keras.backend.backend() == "torch":
        dtype = "float32"  # in which Keras multiplies matrices of float64 there
    return 2.0**-8 if dtype == "bfloat16" else float(np.finfo(dtype).eps)


def _report(maps):
    """In one line: how many linear maps are factorized, and what the others are."""
    factorized = [each for each in maps if each.is_factorized]
    share = sum(each.parameters for each in factorized) / sum(each.parameters for each in maps)
    left = collections.Counter(type(each.layer).__name__ for each in maps if not each.is_factorized)
    whose, s = ("its", "") if len(maps) == 1 else ("their", "s")
    line = (
        f"factorized {len(factorized)} of {len(maps)} linear map{s}, {100 * share:.1f} % of "
        f"{whose} parameters"
    )
    others = ", ".join(f"{count} {name}" for name, count in left.items())
    return f"{line}; left: {others}" if others else line
