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


def check_rules(models, kernels):
    """Kernels that the end-to-end rule was told to apply to cannot be made products.

    Raises:
        ValueError: If an optimizer of `models` has one of `kernels` among its targets.
    """
    ids = {id(kernel) for kernel in kernels}
    for model, name, optimizer in optimizers_of(models):
        for each in keras_private.with_inner(optimizer):
            if isinstance(each, EndToEnd) and each.apply_to is not None:
                variables = each.known_variables if each.built else model.variables
                paths = [path for path, kernel in _targets(each, variables) if id(kernel) in ids]
                if paths:
                    raise ValueError(
                        f"The optimizer in `{name}` of model `{model.name}` is `EndToEnd`, which "
                        f"was told to apply to {', '.join(paths)}: compile the model with another "
                        "one first, or factorize others by `filter`."
                    )


def _targets(optimizer, variables):
    """Paths and variables; none where they are those of another model."""
    try:
        found = resolve(optimizer.apply_to, variables)
    except ValueError:
        return []
    return [(target.path, variables[target.position]) for target in found]


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
    for model in models:
        keras_private.renew_compiled_functions(model)
        keras_private.renew_torch_parameters(model)
        for layer in walk(model):
            keras_private.renew_traced_methods(layer)
