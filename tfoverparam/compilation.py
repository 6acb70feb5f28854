"""What a compiled model needs when its variables are others."""

import keras

from tfoverparam import keras_private


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
    for model, name, optimizer in optimizers_of(models):
        twin = optimizer
        if optimizer.built:
            try:
                twin = type(optimizer).from_config(optimizer.get_config())
            except Exception as error:
                raise ValueError(
                    f"The optimizer in `{name}` of model `{model.name}` has made steps, and "
                    "cannot be made anew by its configuration. Compile the model with a new "
                    f"one first. {type(optimizer).__name__} says: {error}"
                ) from error
        found.append((model, name, optimizer, twin))
    return found


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
    for model in models:
        keras_private.renew_compiled_functions(model)
