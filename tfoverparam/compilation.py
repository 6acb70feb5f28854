"""What a compiled model needs when its variables are others."""

import keras

from tfoverparam import keras_private
from tfoverparam.layer_tree import walk
from tfoverparam.optimizers.apply_to import resolve
from tfoverparam.optimizers.end_to_end import EndToEnd


def optimizers_of(models):
    """The optimizers in the attributes of models: a list of `(model, attribute, optimizer)`."""
    return [
        (model, name, value)
        for model in models
        for name, value in vars(model).items()
        if isinstance(value, keras.optimizers.Optimizer)
    ]


def fresh_optimizers(models):
    """Optimizers to put in the place of those that were built for variables of before.

    Args:
        models: The models to look at the attributes of.

    Returns:
        A list of `(model, attribute, optimizer, twin)`, the twin of the same configuration and
        without steps. An optimizer without steps is its own twin.

    Raises:
        ValueError: If an optimizer cannot be made anew by its configuration.
    """
    found = []
    twins: dict = {}  # An optimizer may be in several attributes, and of several models.
    for model, name, optimizer in optimizers_of(models):
        if optimizer.built and id(optimizer) not in twins:
            try:
                twins[id(optimizer)] = type(optimizer).from_config(optimizer.get_config())
            except Exception as error:
                raise ValueError(
                    f"The optimizer in `{name}` of model `{model.name}` has made steps, and "
                    "cannot be made anew by its configuration. Compile the model with a new "
                    f"one first. {type(optimizer).__name__} says: {error}"
                ) from error
        found.append((model, name, optimizer, twins.get(id(optimizer), optimizer)))
    return found


def _check_rule(model, optimizer):
    """The end-to-end rule must find the kernels that it was told to apply to."""
    for each in keras_private.with_inner(optimizer):
        if isinstance(each, EndToEnd) and each.apply_to is not None:
            try:
                resolve(each.apply_to, model.trainable_variables)
            except ValueError as error:
                raise ValueError(
                    f"Model `{model.name}` is compiled with `EndToEnd`, whose rule is of kernels "
                    "that would be no more: compile it with another optimizer, or factorize "
                    f"others. {error}"
                ) from error


def renew(models, optimizers, replacements):
    """Has models train and predict with other variables.

    Args:
        models: The models that hold, or whose layers hold, the variables.
        optimizers: What `fresh_optimizers` returned.
        replacements: Pairs of a variable and the list of those in its place.
    """
    for model, name, optimizer, twin in optimizers:
        keras_private.copy_weight_decay_exclusions(optimizer, twin, replacements)
        setattr(model, name, twin)
        keras_private.renew_compile_config(model, optimizer, twin)
        if model.built:
            _check_rule(model, twin)
    for model in models:
        keras_private.renew_compiled_functions(model)
        keras_private.renew_torch_parameters(model)
        for layer in walk(model):
            keras_private.renew_traced_methods(layer)
