"""A Keras model with factorised layers in place of its own, and back.

Both functions make a new model and leave the one that they are given as it is. Layers, weights,
names, trainable flags, dtype policies and regularizers are carried over one by one; then both
models are called on the same random batch, and unless they agree there is an error.
"""

import json
import warnings

import keras
from keras import ops

from tfoverparam.arguments import check_positive_integer, checked_hidden_widths
from tfoverparam.layer_tree import is_graph, matching_sublayers, replace_sublayers, walk
from tfoverparam.layers import FactorizedConv2D, FactorizedDense
from tfoverparam.layers.factorized_layer import FactorizedLayer

_FACTORIZED = {each.stock_class: each for each in (FactorizedDense, FactorizedConv2D)}
# Largest gap between the outputs on the random batch, relative to the largest output. Rounding
# comes nowhere near it, a layer that is wired or padded otherwise far beyond.
_TOLERANCE = {"half": 0.1, "single": 1e-3}
_UNKNOWN_SIZE = 32


def overparameterize(model, depth=2, hidden_units=None, filter=None, balanced=True):
    """A new model that computes the same function with factorised layers.

    Every `Dense` becomes a `FactorizedDense` and every `Conv2D` a `FactorizedConv2D`, also within
    nested models, wrappers and custom layers, shared ones once. Their factors multiply to the
    kernels as they are now, trained or not, and their regularizers act on the product.

    Layers with a `kernel_constraint` (which acts on one variable, so has no factorised twin), and
    those with LoRA enabled or quantized, stay as they are; a warning names them.

    If the model is compiled the new one is too, with the same configuration and an optimizer
    that has not made a step. Where Keras cannot rebuild that configuration (a loss that is a
    lambda, say) a warning says so, and `compile` is left to you.

    A custom layer or subclassed model is copied by its `get_config`, and must create the layers
    to be replaced in `__init__`. Loading a file calls its `__init__` again, which knows nothing
    of factors: save its weights, or `collapse` it first.

    Args:
        model: A built `keras.Model`.
        depth: Number of factors of each kernel, a positive integer. Defaults to `2`.
        hidden_units: Width of the hidden layers, an integer or a list of `depth - 1` integers,
            for all layers. None of them may be narrower than the kernels it goes into. Defaults
            to `None`: for each layer the smallest that loses no expressiveness.
        filter: Function of a `Dense` or `Conv2D` layer that says whether to replace it. Defaults
            to `None`: all of them.
        balanced: Whether the factors satisfy Equation 7, on which the theory rests. If not, one
            factor is the kernel itself and the others are identities. Defaults to `True`.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If an argument is not of the kind described, the model is not built, there is
            no layer to replace, a layer cannot be copied, or a kernel holds NaN or infinity.
        RuntimeError: If the new model does not compute what `model` does.

    Example:

    >>> import keras
    >>> from tfoverparam import overparameterize
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="linear")])
    >>> twin = overparameterize(model, depth=3)
    >>> [weight.name for weight in twin.weights]
    ['kernel_0', 'kernel_1', 'kernel_2', 'bias']

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """
    check_positive_integer("depth", depth)
    checked_hidden_widths("hidden_units", hidden_units, depth)
    if filter is not None and not callable(filter):
        raise ValueError(f"`filter` must be None or a function. Received: filter={filter!r}")
    _check_model(model)
    kept, replacements = [], {}
    for layer in walk(model):
        if type(layer) not in _FACTORIZED or (filter is not None and not filter(layer)):
            continue
        if layer.kernel_constraint or layer.lora_enabled or _is_quantized(layer):
            kept.append(layer.name)
        else:
            replacements[id(layer)] = _factorized(layer, depth, hidden_units)
    if kept:
        warnings.warn(
            "Layers with a `kernel_constraint`, with LoRA enabled or quantized have no factorised "
            f"twin and stay as they are: {', '.join(kept)}",
            stacklevel=2,
        )
    if not replacements:
        raise ValueError(
            f"There is no layer to overparameterize in model `{model.name}`: no Dense or Conv2D "
            "without `kernel_constraint` that `filter` accepts."
        )

    def carry_weights(layer, factorized):
        factorized.factor_initializer = None
        if layer.built:
            factorized.assign_kernel(layer.kernel, balanced)
            if layer.use_bias:
                factorized.bias.assign(layer.bias)

    twin = _rebuilt(model, replacements, carry_weights)
    _carry_compilation(model, twin)
    return twin


def collapse(model):
    """A new model that computes the same function with stock layers in place of factorised ones.

    The opposite of `overparameterize`, for any model with factorised layers. It can be saved,
    loaded and exported where this package is not installed. If the model is compiled so is the
    new one, as `overparameterize` does it, unless it is compiled with parts of this package: then
    a warning says so and `compile` is left to you.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If the model is not built, or a layer cannot be copied.
        RuntimeError: If the new model does not compute what `model` does.

    Example:

    >>> import keras
    >>> from tfoverparam import FactorizedDense, collapse
    >>> model = keras.Sequential([keras.Input((4,)), FactorizedDense(3, depth=2, name="linear")])
    >>> [weight.name for weight in collapse(model).weights]
    ['kernel', 'bias']
    """
    _check_model(model)
    replacements = {
        id(layer): layer.collapse() for layer in walk(model) if isinstance(layer, FactorizedLayer)
    }
    # They hold their weights already.
    twin = _rebuilt(model, replacements, carry_weights=lambda layer, stock: None)
    _carry_compilation(model, twin, stock=True)
    return twin


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a `keras.Model`. Received: model={model!r}")
    if not model.built:
        raise ValueError(
            f"Model `{model.name}` is not built, so there is no function to keep. Call it on data "
            "first, or `build` it."
        )


def _is_quantized(layer):
    return getattr(layer, "quantization_mode", None) is not None


def _factorized(layer, depth, hidden_units):
    """The factorised twin of `layer`, not built, its factors zero when it is."""
    config = layer.get_config()
    for name in ("kernel_constraint", "lora_rank", "lora_alpha", "quantization_config"):
        config.pop(name, None)
    width_name = "hidden_units" if type(layer) is keras.layers.Dense else "hidden_filters"
    # The values come later: there is no point in decomposing an initial kernel.
    twin = _FACTORIZED[type(layer)].from_config(
        {**config, "depth": depth, width_name: hidden_units, "factor_initializer": "zeros"}
    )
    if layer.built and hidden_units is not None and depth > 1:
        rank = min(ops.size(layer.kernel) // layer.kernel.shape[-1], layer.kernel.shape[-1])
        if min(keras.tree.flatten(hidden_units)) < rank:
            raise ValueError(
                f"`hidden_units` must be at least {rank} for layer `{layer.name}` to compute the "
                f"same function. Received: hidden_units={hidden_units!r}. With `filter` the layer "
                "can be left out."
            )
    return twin


def _rebuilt(model, replacements, carry_weights):
    """A copy of `model` with other layers in the place of some, checked to be the same function.

    Args:
        model: A built model.
        replacements: Dict from the id of a layer to the one in its place.
        carry_weights: Function of a layer and its replacement, which is built by then.
    """
    twins = {}  # from the id of a layer to it and its twin; a layer comes after those it holds

    def twin_of(layer):
        if id(layer) not in twins:
            twins[id(layer)] = layer, _make_twin(layer)
        return twins[id(layer)][1]

    def _make_twin(layer):
        if id(layer) in replacements:
            return replacements[id(layer)]
        if is_graph(layer):
            return _rewired(layer, twin_of)
        copy = _copy(layer)
        below = walk(layer) if isinstance(layer, keras.Layer) else ()
        if any(id(each) in replacements for each in below):
            pairs = list(matching_sublayers(layer, copy))
            replace_sublayers(copy, {id(theirs): twin_of(ours) for ours, theirs in pairs})
        return copy

    twin = twin_of(model)
    missing = [each.name for each in walk(model) if id(each) in replacements.keys() - twins.keys()]
    if missing:
        raise ValueError(
            f"The layers {', '.join(missing)} are not where a copy of the layer that holds them "
            "has them. Create them in its `__init__`, not in `build`."
        )
    batch = _random_batch(model)
    outputs = _outputs(model, batch)
    if not twin.built:
        twin(batch)
    for layer, other in twins.values():
        if id(layer) in replacements:
            carry_weights(layer, other)
        elif isinstance(layer, keras.Layer):
            _carry_variables(layer, other, twins)
    for layer, other in zip(walk(model), walk(twin)):
        # Not among the variables of a layer, though its outputs depend on them.
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            for state, value in zip(other.states, layer.states):
                state.assign(value)
    # From the outside to the inside: setting a flag sets those of all layers within.
    for layer, other in reversed(twins.values()):
        if isinstance(layer, keras.Layer):
            other.trainable = layer.trainable
    _check_same(model, outputs, _outputs(twin, batch))
    return twin


def _rewired(model, twin_of):
    """A copy of a Sequential or Functional model, made of the twins of its layers."""
    # Keras would compile it as well, where it can; that comes at the end.
    compiled, model.compiled = model.compiled, False
    inputs = None
    if not isinstance(model, keras.Sequential):
        # Keras would give new names to inputs that had none.
        inputs = {
            id(layer.output): _copy(layer).output
            for layer in model.layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        inputs = keras.tree.map_structure(lambda each: inputs[id(each)], model.input)
    try:
        twin = keras.models.clone_model(model, input_tensors=inputs, clone_function=twin_of)
    finally:
        model.compiled = compiled
    if twin.dtype_policy != model.dtype_policy:
        twin.dtype_policy = model.dtype_policy
    return twin


def _copy(layer):
    """A layer or operation made from the configuration of `layer`."""
    try:
        copy = type(layer).from_config(layer.get_config())
    except Exception as error:
        raise ValueError(
            f"`{layer.name}` of class {type(layer).__name__} cannot be copied by its "
            "configuration: give it `get_config` and `from_config`, or build its factorised "
            f"version by hand with FactorizedDense and FactorizedConv2D. Keras says: {error}"
        ) from error
    copy.name = layer.name
    return copy


def _carry_variables(layer, twin, twins):
    """Assigns the variables that a layer holds itself, not by way of others that have twins."""
    below = [twins[id(each)] for each in walk(layer) if each is not layer and id(each) in twins]
    ours = _less(layer.variables, [each.variables for each, _ in below])
    theirs = _less(twin.variables, [each.variables for _, each in below])
    if [variable.shape for variable in ours] != [variable.shape for variable in theirs]:
        raise ValueError(
            f"A copy of layer `{layer.name}` does not have the same variables: "
            f"{[variable.path for variable in theirs]} for {[variable.path for variable in ours]}"
        )
    for variable, value in zip(theirs, ours):
        variable.assign(value)


def _less(variables, others):
    others = {id(variable) for each in others for variable in each}
    return [variable for variable in variables if id(variable) not in others]


def _random_batch(model):
    """What the model takes for inputs, filled with numbers of [0, 2), integers 0 or 1."""

    def random(shape, dtype="float32"):
        sizes = [_UNKNOWN_SIZE if size is None else size for size in shape[1:]]
        batch_size = 2 if shape[0] is None else shape[0]
        return ops.cast(keras.random.uniform((batch_size, *sizes), 0.0, 2.0, seed=0), dtype)

    if is_graph(model) and hasattr(model, "inputs"):
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return keras.tree.map_structure(lambda each: random(each.shape, each.dtype), inputs)
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        raise ValueError(
            f"Model `{model.name}` does not know the shapes of its inputs. Call it on data first, "
            "with all inputs in the first argument."
        )
    return keras.tree.map_shape_structure(random, _plain(shapes))


def _plain(structure):
    """Without Keras's own dicts and lists, in which JAX finds no arrays."""
    if isinstance(structure, dict):
        return {key: _plain(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_plain(value) for value in structure]
    return structure


def _outputs(model, batch):
    """The outputs of `model`, whose state, statistics and seeds included, stays as it is."""
    state = model.trainable_variables, model.non_trainable_variables
    try:
        outputs, _ = model.stateless_call(*state, batch)
    except Exception as error:
        raise ValueError(
            f"Model `{model.name}` cannot be called on a random batch, which has numbers where it "
            "has inputs, and all of them in the first argument. Take the part of the model of "
            f"which this is true. Calling it says: {error}"
        ) from error
    return keras.tree.flatten(outputs)


def _check_same(model, outputs, others):
    half = any(layer.compute_dtype in ("float16", "bfloat16") for layer in walk(model))
    tolerance = _TOLERANCE["half" if half else "single"]
    for output, other in zip(outputs, others, strict=True):
        gap = _relative_gap(output, other)
        if not gap <= tolerance:
            raise RuntimeError(
                f"The copy of model `{model.name}` does not compute the same: on a random batch "
                f"its outputs differ by {gap:.1e} of the largest. A custom layer may read a "
                "kernel, or hold a layer, in a way that is not seen from outside: leave out what "
                "it uses by `filter`."
            )


def _relative_gap(output, other):
    output, other = (
        ops.convert_to_numpy(each).astype("float64") for each in (output, other)
    )
    if output.shape != other.shape:
        return float("inf")
    # Where the model itself gives NaN or infinity, so must the copy.
    finite = abs(output) < float("inf")
    if ((abs(other) < float("inf")) != finite).any():
        return float("inf")
    gap = abs(other - output)[finite].max(initial=0.0)
    return float(gap / (abs(output)[finite].max(initial=0.0) or 1.0))


def _carry_compilation(model, twin, stock=False):
    """Compiles `twin` as `model` is, or warns that it does not."""
    if not model.compiled:
        return
    config = model.get_compile_config()
    reason = "it is compiled with parts of tfoverparam"
    if not (stock and "tfoverparam" in json.dumps(config, default=str)):
        try:
            twin.compile_from_config(config)
            return
        except Exception as error:
            reason = f"Keras cannot rebuild what it is compiled with: {error}"
    warnings.warn(
        f"The copy of model `{model.name}` is not compiled: {reason}. Call `compile` on it.",
        stacklevel=3,
    )
