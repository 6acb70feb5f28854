"""Every name of Keras's own that is not public, in one place.

Keras's `enable_lora` and `quantize` change layers that are built by these same names; there is no
public way. `tests/tfoverparam/test_keras_private.py` has a canary for each: if one goes in a new
version of Keras, that test says which. (`FactorizedLayer._check_quantize_args` is the one name
that is overridden rather than used.)
"""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# The cell of ConvLSTM1D, 2D and 3D has no public name.
CONV_LSTM_CELL = sys.modules[keras.layers.ConvLSTM1D.__base__.__module__].ConvLSTMCell

# Attributes of a layer in which Keras lists the variables that it holds itself.
_OWN_VARIABLES = ("_trainable_variables", "_non_trainable_variables")


def sublayers(layer):
    """The layers that `layer` holds itself, in the order in which Keras counts their weights."""
    if isinstance(layer, keras.Model):
        return layer.layers
    return list(layer._layers)


def functional_of(model):
    """The functional model of the same layers that a `Sequential` has for itself, or `None`."""
    return vars(model).get("_functional")


def stored_name(layer_class, variable):
    """Attribute in which layers of a class keep the variable that they call `variable`.

    `Dense` keeps its kernel in `_kernel` and has a property `kernel` over it, recurrent cells keep
    theirs in `kernel`.
    """
    is_property = isinstance(getattr(layer_class, variable, None), property)
    return f"_{variable}" if is_property else variable


def is_bookkeeping(attribute):
    """Whether Keras or TensorFlow lists what a layer holds in an attribute of this name."""
    return attribute in _OWN_VARIABLES or attribute.startswith("_self_")


def own_variables(layer):
    """The two lists of the variables that `layer` holds itself: trainable ones and others.

    A variable stays in its list when its flag `trainable` changes.
    """
    return tuple(getattr(layer, name) for name in _OWN_VARIABLES)


def variable_like(variable, name, value):
    """A variable of another name and value, and like `variable` in all else, its path included."""
    scope = variable.path.rpartition("/")[0]
    parent, _, own = scope.rpartition("/")
    with keras.name_scope(own, override_parent=parent) if scope else contextlib.nullcontext():
        return keras.Variable(
            value,
            dtype=variable.dtype,
            trainable=variable.trainable,
            autocast=variable._autocast,
            aggregation=variable.aggregation,
            name=name,
        )


def replace_variables(layer, old, new):
    """Has Keras count `new` variables in the place of `old` ones, of a layer that is built.

    Args:
        layer: A `keras.Layer`.
        old: Variables that the layer holds itself, at least one, next to each other.
        new: Variables that no layer holds yet.
    """
    old_ids, new_ids = ({id(each) for each in variables} for variables in (old, new))
    (own,) = (each for each in own_variables(layer) if old_ids & set(map(id, each)))
    position = [id(each) in old_ids for each in own].index(True)
    flags = [variable.trainable for variable in new]
    was_locked = layer._tracker.locked
    layer._tracker.unlock()
    for variable in old:
        layer._untrack_variable(variable)
    for variable in new:
        # Which list a variable is put into depends on its flag then.
        variable.trainable = own is layer._trainable_variables
        layer._track_variable(variable)
    if was_locked:
        layer._tracker.lock()
    rest = [variable for variable in own if id(variable) not in new_ids]
    own[:] = [*rest[:position], *new, *rest[position:]]
    for variable, flag in zip(new, flags):
        variable.trainable = flag


def remove_attribute(layer, name):
    """Deletes an attribute, as `del` does, but of a variable that is no longer counted."""
    del vars(layer)[name]
    if hasattr(layer, "_delete_tracking"):  # of TensorFlow, for its own checkpoints
        layer._delete_tracking(name)


@contextlib.contextmanager
def stand_ins(layer, replacements):
    """Within it, a layer counts other things in the place of some of its variables.

    Args:
        layer: A `keras.Layer`.
        replacements: List of pairs: variables that are next to each other, and the one thing that
            is counted instead.
    """
    before = [list(each) for each in own_variables(layer)]
    by_id = {id(old[0]): (len(old), new) for old, new in replacements}
    try:
        for own in own_variables(layer):
            for position in range(len(own)):
                if position < len(own) and id(own[position]) in by_id:
                    count, new = by_id[id(own[position])]
                    own[position : position + count] = [new]
        yield
    finally:
        for own, variables in zip(own_variables(layer), before):
            own[:] = variables


_FILL: dict[type, Any] = {list: list.extend, dict: dict.update, set: set.update}


class Snapshot:
    """A layer, or an optimizer, as it is now, for `restore` to bring back."""

    def __init__(self, layer):
        self._layer = layer
        self._class = type(layer)
        self._attributes = dict(vars(layer))
        # Lists of what the layer holds, Keras's and TensorFlow's, are changed where they stand.
        self._contents = [
            (kind, value, kind(value))
            for value in self._attributes.values()
            for kind in (list, dict, set)
            if issubclass(type(value), kind)
        ]
        self._stored_ids = {name: ids.copy() for name, ids in layer._tracker.stored_ids.items()}
        self._is_locked = layer._tracker.locked

    def restore(self):
        layer = self._layer
        layer.__class__ = self._class
        vars(layer).clear()
        vars(layer).update(self._attributes)
        for kind, value, contents in self._contents:
            # By the methods of the plain kind: those of Keras's lists would track anew.
            kind.clear(value)
            _FILL[kind](value, contents)
        layer._tracker.stored_ids.update(self._stored_ids)
        layer._tracker.locked = self._is_locked


def renew_torch_parameters(model):
    """On PyTorch, has every module list the variables that its layers have now."""
    if keras.backend.backend() == "torch":
        for module in model.modules():
            if isinstance(module, keras.Layer) and hasattr(module, "_torch_params"):
                module._track_variables()


def renew_compiled_functions(model):
    """Has Keras compile what `fit`, `evaluate` and `predict` run anew."""
    model.train_function = model.test_function = model.predict_function = None


def renew_compile_config(model, optimizer, twin):
    """Has files of a model describe the `twin` where they described `optimizer`."""
    config = getattr(model, "_compile_config", None)
    for one, other in zip(with_inner(optimizer), with_inner(twin)):
        if config is not None and config.config.get("optimizer") is one:
            model._compile_config = type(config)(**{**config.config, "optimizer": other})


def renew_traced_methods(layer):
    """Has TensorFlow trace the methods that are decorated with `tf.function` anew."""
    for cls in type(layer).__mro__:
        for method in vars(cls).values():
            by_instance = getattr(method, "_descriptor_cache", None)
            if by_instance is not None:
                by_instance.pop(layer, None)


def variables_of_operations(model):
    """Pairs of an operation of a functional model and a variable among its arguments."""
    return [
        (operation, each)
        for operation in getattr(model, "operations", ())
        for node in operation._inbound_nodes
        for each in keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
        if isinstance(each, keras.Variable)
    ]


def copy_weight_decay_exclusions(optimizer, twin, replacements):
    """What `exclude_from_weight_decay` told `optimizer`, for variables that others replace.

    Args:
        optimizer: A Keras optimizer.
        twin: One of the same configuration, not built.
        replacements: Pairs of a variable and the list of those in its place.
    """
    for one, other in zip(with_inner(optimizer), with_inner(twin)):
        keys = set(getattr(one, "_exclude_from_weight_decay", ()))
        for variable, others in replacements:
            if one._var_key(variable) in keys:
                keys |= {other._var_key(each) for each in others}
        # The key of a variable that is no more may become that of another one.
        keys -= {one._var_key(variable) for variable, _ in replacements}
        pattern = getattr(one, "_exclude_from_weight_decay_pattern", None)
        if keys or pattern is not None:
            other.exclude_from_weight_decay(var_names=pattern and [pattern.pattern])
            other._exclude_from_weight_decay = keys


def with_inner(optimizer):
    """An optimizer, and those that it wraps, from the outside to the inside."""
    while optimizer is not None:
        yield optimizer
        optimizer = getattr(optimizer, "inner_optimizer", None)


class WrappingOptimizer(keras.optimizers.Optimizer):
    """An optimizer in front of another, which has the learning rate and all that goes with it.

    Its own weight decay, if any, is set by who inherits it, and applied by `decay`.

    Args:
        inner_optimizer: A Keras optimizer.
        name: Name of the optimizer.
    """

    weight_decay: Any

    def __init__(
        self, inner_optimizer: keras.optimizers.Optimizer, name: str | None = None
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        self.inner_optimizer.build(variables)

    @property
    def known_variables(self) -> Sequence[Any]:
        """The variables that the optimizer was built with."""
        return self._trainable_variables

    def position_of(self, variable: Any) -> int:
        """The position of a variable among them; raises a `ValueError` if it is none of them."""
        try:
            return self._get_variable_index(variable)
        except KeyError as error:
            raise ValueError(
                f"Unknown variable: {variable}. This optimizer was built for "
                f"{[each.path for each in self.known_variables]}: make a new one for others."
            ) from error

    @property
    def own_iterations(self) -> Any:
        """The variable that counts this optimizer's own steps."""
        return self._iterations

    def decay(self, variables: Sequence[Any], factor: float) -> None:
        """Weight decay as Keras does it, on all backends and strategies, times a factor."""
        weight_decay, steps = self.weight_decay, self.inner_optimizer.gradient_accumulation_steps
        self.weight_decay = factor * weight_decay
        if steps:
            is_update = ops.equal((self._iterations + 1) % steps, 0)
            self.weight_decay = self.weight_decay * ops.cast(is_update, "float32")
        try:
            self._apply_weight_decay(variables)
        finally:
            self.weight_decay = weight_decay

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        super().exclude_from_weight_decay(var_list, var_names)
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def set_weights(self, weights: Sequence[Any]) -> None:
        super().set_weights(weights[: len(self._variables)])
        self.inner_optimizer.set_weights(weights[len(self._variables) :])

    @property
    def variables(self) -> list[Any]:
        return self._variables + self.inner_optimizer.variables

    @property
    def _model_variables_moving_average(self):  # Where `SwapEMAWeights` looks for it.
        return self.inner_optimizer._model_variables_moving_average

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    def _get_current_learning_rate(self):
        return self.inner_optimizer.learning_rate

    @property
    def loss_scale_factor(self) -> float | None:
        """The inner optimizer's."""
        return self.inner_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, loss_scale_factor: float | None) -> None:
        # A LossScaleOptimizer around this one sets it to None. So does the constructor of Keras's
        # class, before there is an inner optimizer.
        if hasattr(self, "inner_optimizer"):
            self.inner_optimizer.loss_scale_factor = loss_scale_factor

    @property
    def iterations(self) -> Any:
        """The inner optimizer's count of steps."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)
