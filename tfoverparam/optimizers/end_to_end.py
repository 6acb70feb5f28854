"""The end-to-end rule in front of any Keras optimizer."""

import math
import re
import warnings

import keras
from keras import ops

from tfoverparam.arguments import check_depth, check_shape, is_number
from tfoverparam.matrix_functions import end_to_end_direction

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
# Every replica computes the same: one of them is stored.
_ONE_REPLICA = {"aggregation": "only_first_replica"}


@keras.saving.register_keras_serializable(package="tfoverparam")
class EndToEnd(keras.optimizers.Optimizer):
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

    It applies to matrices, and to convolution kernels as matrices of shape (receptive field x
    input channels, output channels). All other variables get the inner optimizer untouched.

    A kernel of zeros cannot move (for N > 1): `build` warns of it. Start from a random kernel.

    Cost of a step, for a kernel of shape (d, k), d >= k: four products of d k^2 multiplications
    and the eigendecomposition of a k x k matrix; memory for two matrices of the kernel's size. A
    float32 kernel with d <= 2k takes, at depth 2, some 22 products in place of both.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer`, its name or its configuration. Clipping,
            moving averages, accumulation, loss scaling and the learning rate are its arguments;
            a `LossScaleOptimizer` goes around this one instead. Defaults to `"sgd"`.
        depth: Real number N >= 1. Defaults to `2`.
        weight_decay: The paper's lambda: each kernel that the rule applies to, and no other
            variable, is multiplied by `1 - learning_rate * weight_decay * depth` in each step.
            The inner optimizer's own `weight_decay` is instead on all variables and not
            multiplied by the depth; only one of them can be given. Defaults to `None`.
        apply_to: What the rule applies to: parts of variables' paths, predicates of a variable,
            variables, or a list of these. Defaults to `None`: every variable of rank 2 or more
            that is called a kernel, except those of depthwise convolutions, which are told by a
            path that contains `depthwise`, and except the factors of factorised layers.
        refresh_every: Steps between two eigendecompositions. In between, the direction is taken
            in the last one's basis, with its singular values. Defaults to `1`, the exact rule.
        name: Name of the optimizer.

    Raises:
        ValueError: If an argument is not of the kind described, or belongs to the inner
            optimizer; in `build`, if a part of `apply_to` names no matrix.

    Example:

    >>> import keras
    >>> from tfoverparam import EndToEnd
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    >>> model.compile(EndToEnd(keras.optimizers.SGD(0.01), depth=3), "mse")
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
        inner_optimizer="sgd",
        depth=2,
        weight_decay=None,
        apply_to=None,
        refresh_every=1,
        name=None,
        **kwargs,
    ):
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
                "`weight_decay` must be None or a number >= 0. "
                f"Received: weight_decay={weight_decay!r}"
            )
        if type(refresh_every) is not int or refresh_every < 1:
            raise ValueError(
                "`refresh_every` must be a positive integer. "
                f"Received: refresh_every={refresh_every!r}"
            )
        for part in () if apply_to is None else _as_list(apply_to) or [apply_to]:
            if not isinstance(part, (str, keras.Variable)) and not callable(part):
                raise ValueError(
                    "`apply_to` must be None, or parts of paths, predicates, variables, or a list "
                    f"of these. Received: apply_to={apply_to!r}"
                )
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
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.depth = depth
        self.weight_decay = weight_decay
        # Behind a function, and the others as positions: what variables an optimizer holds in its
        # attributes Keras counts among its state.
        self._get_apply_to = lambda: apply_to
        self.refresh_every = refresh_every
        self._positions = []

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        eligible = {id(variable) for variable in _eligible(variables, self.apply_to)}
        self._positions = [
            position for position, each in enumerate(variables) if id(each) in eligible
        ]
        if self.weight_decay is not None:
            self.inner_optimizer.weight_decay = self.depth * self.weight_decay
            self.inner_optimizer.exclude_from_weight_decay(
                [variable for variable in variables if id(variable) not in eligible]
            )
        self.inner_optimizer.build(variables)
        if self.refresh_every > 1:
            self._add_bases()
        if self.depth > 1:
            for variable in self._preconditioned:
                _warn_if_zero(variable)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        trainable_variables = list(trainable_variables)
        grads = list(grads)
        if len(grads) != len(trainable_variables):
            raise ValueError(
                "`grads` must be one gradient for each of `trainable_variables`. "
                f"Received: {len(grads)} for {len(trainable_variables)} variables"
            )
        if not self.built:
            self.build(trainable_variables)
        # All directions first: the inner optimizer decays and moves the variables.
        indices = {id(variable): index for index, variable in enumerate(self._preconditioned)}
        directions = [
            gradient
            if gradient is None or self.depth == 1 or id(variable) not in indices
            else self._direction(gradient, variable, indices[id(variable)])
            for gradient, variable in zip(grads, trainable_variables)
        ]
        if self.refresh_every > 1:
            self.assign_add(self._step, 1)
        self.inner_optimizer.apply(directions, trainable_variables)

    def _direction(self, gradient, variable, index):
        gradient = ops.convert_to_tensor(gradient)
        check_shape(f"gradient of `{variable.path}`", gradient, variable.shape)
        shape, dtype = variable.shape, gradient.dtype
        kernel, gradient = (
            ops.cast(ops.reshape(each, (-1, shape[-1])), _working_dtype(variable))
            for each in (variable, gradient)
        )
        basis = self._current_basis(kernel, index) if self.refresh_every > 1 else None
        direction = end_to_end_direction(kernel, gradient, self.depth, basis)
        return ops.cast(ops.reshape(direction, shape), dtype)

    def _add_bases(self):
        """The bases in use and the number of steps are state: a resumed training is the same."""
        self._step = self.add_variable((), dtype="int", name="step", **_ONE_REPLICA)
        self._bases = []
        for variable in self._preconditioned:
            size = min(math.prod(variable.shape[:-1]), variable.shape[-1])
            dtype, name = _working_dtype(variable), variable.path.replace("/", "_")
            self._bases.append(
                (
                    self.add_variable(
                        (size, size), dtype=dtype, name=f"{name}_eigenvectors", **_ONE_REPLICA
                    ),
                    self.add_variable(
                        (size,), dtype=dtype, name=f"{name}_eigenvalues", **_ONE_REPLICA
                    ),
                )
            )

    def _current_basis(self, kernel, index):
        stored = self._bases[index]
        # Computed under the condition, assigned outside: on some backends a branch of a
        # condition cannot assign.
        basis = ops.cond(
            self._step % self.refresh_every == 0,
            lambda: gram_basis(kernel),
            lambda: tuple(ops.convert_to_tensor(each) for each in stored),
        )
        for variable, value in zip(stored, basis):
            self.assign(variable, value)
        return basis

    @property
    def apply_to(self):
        return self._get_apply_to()

    @property
    def _preconditioned(self):
        return [self._trainable_variables[position] for position in self._positions]

    @property
    def variables(self):
        return self._variables + self.inner_optimizer.variables

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def loss_scale_factor(self):
        return self.inner_optimizer.loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, loss_scale_factor):
        # A LossScaleOptimizer around this one sets it to None. So does the constructor of Keras's
        # class, before there is an inner optimizer.
        if hasattr(self, "inner_optimizer"):
            self.inner_optimizer.loss_scale_factor = loss_scale_factor

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        if self.weight_decay is not None:
            inner["config"]["weight_decay"] = None  # `build` sets it anew.
        return {
            "inner_optimizer": inner,
            "depth": self.depth,
            "weight_decay": self.weight_decay,
            "apply_to": _serialize_apply_to(self.apply_to),
            "refresh_every": self.refresh_every,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = config.copy()
        for key in ("inner_optimizer", "apply_to"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        return cls(**config)


def _working_dtype(variable):
    # In half precision the spectrum of a Gram matrix has no room.
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return "float64" if dtype == "float64" else "float32"


def _as_list(apply_to):
    return list(apply_to) if isinstance(apply_to, (list, tuple)) else [apply_to]


def _serialize_apply_to(apply_to):
    """Variables are kept by their paths, all else as it is."""
    if apply_to is None:
        return None
    return [
        keras.saving.serialize_keras_object(
            each.path if isinstance(each, keras.Variable) else each
        )
        for each in _as_list(apply_to)
    ]


def _eligible(variables, apply_to):
    """The variables that the rule applies to; see `apply_to`."""
    matrices = [
        variable
        for variable in variables
        if len(variable.shape) >= 2 and not variable.overwrite_with_gradient
    ]
    if apply_to is None:
        return [variable for variable in matrices if _is_kernel(variable.path)]
    chosen = []
    for each in _as_list(apply_to):
        found = [variable for variable in matrices if _matches(each, variable)]
        if not found:
            raise ValueError(
                "Each part of `apply_to` must name a variable of rank 2 or more. "
                f"Received: {each!r}, of {[variable.path for variable in matrices]}"
            )
        chosen += found
    return list({id(variable): variable for variable in chosen}.values())


def _is_kernel(path):
    return re.search(r"(^|[/_])kernel$", path) is not None and "depthwise" not in path


def _matches(part, variable):
    if isinstance(part, str):
        return part in variable.path
    return part is variable if isinstance(part, keras.Variable) else bool(part(variable))


def _warn_if_zero(variable):
    try:
        values = ops.convert_to_numpy(variable.value)
    except Exception:  # While a function is traced there are no values, on no backend.
        return
    if not values.any():
        warnings.warn(
            f"`{variable.path}` is zero, where the end-to-end rule cannot move it. Initialise it "
            "at random, or leave it out of `apply_to`."
        )
