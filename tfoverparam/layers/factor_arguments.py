"""The constructor's part of the layers that a user makes: arguments and configuration."""

import random
from typing import Any

import keras
from keras import constraints, initializers, regularizers

from tfoverparam.annotations import Constraint, Initializer, Regularizer, Widths
from tfoverparam.arguments import check_positive_integer, check_seed, checked_hidden_widths
from tfoverparam.initializers import own_seed, repeatable, with_seed
from tfoverparam.layers.factorization import Factorization
from tfoverparam.layers.factorized_layer import FactorizedLayer

# Arguments of built-in layers that have no meaning for factors, and what to do.
_REFUSED = {
    "kernel_constraint": "It acts on one variable; `factor_constraint` is on each factor",
    "quantization_config": "Call `collapse()` first, then quantize the built-in layer",
    "lora_rank": "Call `collapse()` first, then `enable_lora` of the built-in layer",
    "lora_alpha": "Call `collapse()` first, then `enable_lora` of the built-in layer",
}


class FactorArguments(FactorizedLayer):
    """A factorized layer with a constructor.

    Arguments, which have no defaults here, are those of `FactorizedDense`; others are passed on.
    """

    # What the class calls the argument with the widths of hidden layers.
    hidden_argument = "hidden_units"
    kernel_initializer: keras.Initializer

    def __init__(
        self,
        depth: int,
        hidden: Widths,
        kernel_initializer: Initializer,
        factor_initializer: Initializer,
        bias_initializer: Initializer,
        factor_regularizer: Regularizer,
        factor_constraint: Constraint,
        seed: int | None,
        **arguments: Any,
    ) -> None:
        for name, advice in _REFUSED.items():
            value = arguments.pop(name, None)
            if value is not None:
                raise ValueError(
                    f"`{name}` must be None in a factorized layer. {advice}. "
                    f"Received: {name}={value!r}"
                )
        check_positive_integer("depth", depth)
        check_seed(seed)
        widths = checked_hidden_widths(self.hidden_argument, hidden, depth)
        # In this order: strings draw their seeds as they are resolved.
        kernel_initializer = initializers.get(kernel_initializer)
        factor_initializer = initializers.get(factor_initializer)
        bias_initializer = initializers.get(bias_initializer)
        super().__init__(
            kernel_initializer=kernel_initializer, bias_initializer=bias_initializer, **arguments
        )
        if not keras.backend.is_float_dtype(self.variable_dtype):
            raise ValueError(
                f"`dtype` must be of floating point numbers. Received: dtype={self.variable_dtype}"
            )
        if self.quantization_mode is not None:
            raise ValueError(
                "A factorized layer cannot be quantized: call `collapse()` first. "
                f"Received: dtype={self.dtype_policy.name}"
            )
        # Python's generator, as Keras does for its own layers: `keras.utils.set_random_seed`
        # sets it. At depth 1 nothing is drawn from it that the built-in layer does not draw.
        start_seed = random.randint(1, 10**9) if seed is None and depth > 1 else seed
        # Every factor redraws the kernel, so a generator is asked once, and here: `build` may
        # run while a function is traced, where its state has no value.
        start_initializer = kernel_initializer
        if depth > 1 and factor_initializer is None:
            start_initializer = repeatable(kernel_initializer)
        self.become_factorized(
            Factorization(
                variables=("kernel",),
                depth=depth,
                hidden=widths,
                start_seed=start_seed,
                start_initializer=start_initializer,
                kernel_seed=seed,
                factor_initializer=factor_initializer,
                factor_regularizer=regularizers.get(factor_regularizer),
                factor_constraint=constraints.get(factor_constraint),
            )
        )

    def _start_of(self, kernel_initializer):
        given, factorization = self.kernel_initializer, self._factorization
        if kernel_initializer is given:
            kernel_initializer = factorization.start_initializer
        if own_seed(given) is None and self.seed is not None:
            return with_seed(kernel_initializer, self.seed)
        return kernel_initializer

    def collapse(self) -> keras.Layer:
        if self.built and self._factorization.converted_from is None:
            if type(self.kernel_initializer).__module__.startswith("tfoverparam"):
                # It has done its work, and a file that names it needs this package to be read.
                self.kernel_initializer = initializers.GlorotUniform()
        return super().collapse()

    @property
    def depth(self) -> int:
        """Number of factors."""
        return self._factorization.depth

    @property
    def factor_initializer(self) -> "keras.Initializer | None":
        """Initializer of each factor; `None`: a balanced start."""
        return self._factorization.factor_initializer

    @property
    def factor_regularizer(self) -> "keras.Regularizer | None":
        """Regularizer of each factor."""
        return self._factorization.factor_regularizer

    @property
    def factor_constraint(self) -> "keras.constraints.Constraint | None":
        """Constraint on each factor."""
        return self._factorization.factor_constraint

    @property
    def seed(self) -> int | None:
        """The seed that the layer was given."""
        return self._factorization.kernel_seed

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._factorization.converted_from is not None:
            return config
        for name in _REFUSED:
            config.pop(name, None)
        return {
            **config,
            "depth": self.depth,
            self.hidden_argument: self._factorization.hidden,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "factor_initializer": initializers.serialize(self.factor_initializer),
            "factor_regularizer": regularizers.serialize(self.factor_regularizer),
            "factor_constraint": constraints.serialize(self.factor_constraint),
            "seed": self.seed,
        }
