"""The end-to-end rule in front of any Keras optimizer."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from tfoverparam.annotations import Tensor
from tfoverparam.arguments import check_depth, check_positive_integer, check_shape, is_number
from tfoverparam.keras_private import WrappingOptimizer
from tfoverparam.matrix_functions.end_to_end import with_length_of
from tfoverparam.optimizers import apply_to as targets_of
from tfoverparam.optimizers.stacks import stacks_of

_INNER_ARGUMENTS = (
    "learning_rate",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


@keras.saving.register_keras_serializable(package="tfoverparam")
class EndToEnd(WrappingOptimizer):
    """Moves each kernel as if it were trained as a product of `depth` matrices.

    The rule of Arora et al., 2018 (Theorem 1, Equation 10), without the extra parameters: the
    gradient G of a kernel W is replaced by the direction in which descent on N balanced factors
    of W moves their product,

    ```
    direction = sum over j = 1 ... N of  [W W']^((j-1)/N)  G  [W' W]^((N-j)/N)
    ```

    and handed to `inner_optimizer`. With SGD inside, this is the paper's rule. (Keras's kernel
    is the transpose of the paper's W_e; the sum is the same either way round.) With `depth=1`
    this is the inner optimizer, bit for bit.

    The matrix of a kernel is its layer's, or the stack of matrices that it is: for this the
    optimizer is given the model, `apply_to=model`. Otherwise it goes by rank and name, and takes
    all axes but the last as one, which is right for `Dense`, convolutions without groups and
    recurrent layers, and wrong for attention. All other variables get the inner optimizer
    untouched; so do the factors of factorized layers.

    A kernel of zeros cannot move (for N > 1): `build` warns of it. Start from a random kernel.

    Cost of a step, in products of the size of a square kernel: 8 at depth 2, 10 at depths 3 and
    4, 12 at depth 8, and every few steps 6 more to follow singular bases, which are state of twice
    the size of the kernel (Muon: 15). Kernels of one shape move together. Depths that are no
    integer take a singular value decomposition in each step.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, its name or its configuration. Clipping,
            moving averages, accumulation, loss scaling and the learning rate are its arguments;
            a `LossScaleOptimizer` goes around this one instead. Defaults to `"sgd"`.
        depth: Real number N >= 1. Defaults to `2`.
        weight_decay: The paper's lambda: each kernel that the rule applies to, and no other
            variable, is multiplied by `1 - learning_rate * weight_decay * depth` in each step.
            The inner optimizer's own `weight_decay` is instead on all variables and not
            multiplied by the depth; only one of them can be given. Defaults to `None`.
        apply_to: The kernels that the rule applies to. A built model: every trainable kernel that
            is not factorized, but embeddings; or a list of layers, for theirs. Or linear maps of a
            model, whole paths of variables, predicates of a variable, or a list of these. Defaults
            to `None`: every variable of rank 2 or more that is called a kernel, except those whose
            path contains `depthwise`.
        refresh_every: Steps between two in which the singular bases are followed. In between,
            the direction is taken in them as they stand: 4 products, 2 at depth 2. They are made
            anew in between where they turn out to be another kernel's, as after weights have been
            loaded. Defaults to `1`.
        grafting: Whether each direction is scaled to the length (Frobenius norm) of its
            gradient, kernel by kernel, so that a learning rate that was tuned without the rule
            keeps its meaning. Defaults to `False`, the paper's rule.
        name: Name of the optimizer.

    Raises:
        ValueError: If an argument is not of the kind described, or belongs to the inner
            optimizer; in `build`, if a part of `apply_to` finds no variable.

    Example:

    >>> import keras
    >>> from tfoverparam import EndToEnd
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    >>> optimizer = EndToEnd(keras.optimizers.SGD(0.01), depth=3, apply_to=model)
    >>> model.compile(optimizer, "mse")
    >>> inputs = keras.random.normal((64, 8), seed=0)
    >>> targets = keras.ops.sum(inputs, axis=1, keepdims=True)
    >>> losses = model.fit(inputs, targets, epochs=20, verbose=0).history["loss"]
    >>> losses[-1] < losses[0]
    True

    References:
        [Arora et al., 2018](https://arxiv.org/abs/1802.06509)
    """

    def __init__(
        self,
        inner_optimizer: str | dict[str, Any] | keras.optimizers.Optimizer = "sgd",
        depth: float = 2,
        weight_decay: float | None = None,
        apply_to: Any = None,
        refresh_every: int = 1,
        grafting: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for argument in kwargs:
            if argument in _INNER_ARGUMENTS:
                raise ValueError(
                    f"`{argument}` is an argument of the inner optimizer: set it there, for "
                    f"instance EndToEnd(keras.optimizers.SGD({argument}=...)). "
                    f"Received: {argument}={kwargs[argument]!r}"
                )
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        check_depth(depth)
        if weight_decay is not None and not (is_number(weight_decay) and weight_decay >= 0):
            raise ValueError(
                f"`weight_decay` must be None or a number >= 0. Received: {weight_decay=!r}"
            )
        check_positive_integer("refresh_every", refresh_every)
        if not isinstance(grafting, bool):
            raise ValueError(f"`grafting` must be True or False. Received: grafting={grafting!r}")
        apply_to = targets_of.parse(apply_to)
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        if inner_optimizer is None or isinstance(inner_optimizer, EndToEnd):
            raise ValueError(
                "`inner_optimizer` must be an optimizer other than EndToEnd. "
                f"Received: inner_optimizer={inner_optimizer!r}"
            )
        if isinstance(inner_optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "A LossScaleOptimizer goes around EndToEnd, not into it: "
                "LossScaleOptimizer(EndToEnd(...)). Under the policy `mixed_float16`, `compile` "
                f"puts one around any optimizer. Received: inner_optimizer={inner_optimizer!r}"
            )
        if weight_decay is not None and inner_optimizer.weight_decay is not None:
            raise ValueError(
                "Both `weight_decay` and the inner optimizer's own are given; set one of them to "
                f"None. Received: weight_decay={weight_decay!r} and "
                f"{type(inner_optimizer).__name__}(weight_decay={inner_optimizer.weight_decay!r})"
            )
        if weight_decay is not None and not hasattr(inner_optimizer, "learning_rate"):
            raise ValueError(
                "`weight_decay` is multiplied by the inner optimizer's learning rate, of which "
                f"{type(inner_optimizer).__name__} has several: put an EndToEnd around each of its "
                f"optimizers instead. Received: weight_decay={weight_decay!r}"
            )
        super().__init__(inner_optimizer, name=name)
        self.depth = depth
        self.weight_decay: Any = weight_decay
        self.apply_to = apply_to
        self.refresh_every = refresh_every
        self.grafting = grafting
        self._positions: list[Any] = []
        self._stacks: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        if len(variables) == 0:  # As for a model that is frozen, or loaded from an `.h5` file.
            return
        targets = targets_of.resolve(self.apply_to, variables)
        self._positions = [target.position for target in targets]
        if self.apply_to is not None:
            self.apply_to = targets
        if self.depth > 1:
            for position in self._positions:
                _warn_if_zero(variables[position])
            self._stacks = stacks_of(targets, variables)
            for stack in self._stacks:
                stack.add_basis(self.add_variable, self.depth, self.refresh_every, variables)

    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        if len(grads) == 0:  # As with Keras's.
            return
        self.inner_optimizer.apply(*self._directions(grads, trainable_variables))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Tensor, Any]]) -> Any:
        grads, variables = zip(*grads_and_vars)
        return self.inner_optimizer.apply_gradients(zip(*self._directions(grads, variables)))

    def _directions(self, grads, trainable_variables):
        """The inner optimizer's arguments; then the paper's weight decay, and one step on."""
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "Without variables beside `grads` the optimizer must have been built: call "
                    "build(variables) first."
                )
            trainable_variables = self.known_variables
        trainable_variables = list(trainable_variables)
        directions = list(grads)
        if len(directions) != len(trainable_variables):
            raise ValueError(
                "`grads` must be one gradient for each of `trainable_variables`. "
                f"Received: {len(directions)} for {len(trainable_variables)} variables"
            )
        if not self.built:
            self.build(trainable_variables)
        given = {self.position_of(v): n for n, v in enumerate(trainable_variables)}
        for stack in self._stacks:
            places = [given.get(position) for position in stack.positions]
            gradients = [None if n is None else directions[n] for n in places]
            if any(gradient is not None for gradient in gradients):
                for n, direction in zip(places, self._directions_of(stack, gradients)):
                    if n is not None and directions[n] is not None:
                        directions[n] = direction
        if self.weight_decay is not None:
            indices = [given[position] for position in self._positions if position in given]
            moved = [trainable_variables[n] for n in indices if directions[n] is not None]
            self.decay(moved, self.depth)
        self.own_iterations.assign_add(1)
        return directions, trainable_variables

    def _directions_of(self, stack, gradients):
        """The direction of each kernel of a stack; a gradient that is None counts as zero."""
        variables = [self.known_variables[n] for n in stack.positions]
        kernels = [ops.stop_gradient(variable) for variable in variables]
        gradients = [
            ops.zeros_like(kernel) if gradient is None else ops.convert_to_tensor(gradient)
            for kernel, gradient in zip(kernels, gradients)
        ]
        for variable, gradient in zip(variables, gradients):
            check_shape(f"gradient of `{variable.path}`", gradient, variable.shape)
        is_refreshed = self.refresh_every == 1 or self.own_iterations % self.refresh_every == 0
        found = stack.direction(kernels, gradients, self.depth, is_refreshed, self.assign)
        if self.grafting:  # In the dtype of the stack: in float16 a sum of squares has no room.
            found = [
                with_length_of(ops.cast(gradient, direction.dtype), direction)
                for gradient, direction in zip(gradients, found)
            ]
        return [ops.cast(each, gradient.dtype) for each, gradient in zip(found, gradients)]

    def get_config(self) -> dict[str, Any]:
        return {
            "inner_optimizer": keras.saving.serialize_keras_object(self.inner_optimizer),
            "depth": self.depth,
            "weight_decay": self.weight_decay,
            "apply_to": targets_of.serialize(self.apply_to),
            "refresh_every": self.refresh_every,
            "grafting": self.grafting,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "EndToEnd":
        config = config.copy()
        inner = config.pop("inner_optimizer", "sgd")
        inner = keras.saving.deserialize_keras_object(inner, custom_objects)
        apply_to = targets_of.deserialize(config.pop("apply_to", None), custom_objects)
        return cls(inner, apply_to=apply_to, **config)


def _warn_if_zero(variable):
    try:
        values = ops.convert_to_numpy(variable.value)
    except Exception:  # While a function is traced there are no values, on no backend.
        return
    if not values.any():
        warnings.warn(
            f"`{variable.path}` is zero, where the end-to-end rule cannot move it. Initialize it "
            "at random, or leave it out of `apply_to`."
        )
