"""Types of public arguments that Keras, which is not typed, has no names for."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras

# A tensor, variable or array of whichever backend.
Tensor: TypeAlias = Any
# One width for all hidden layers, or one for each; None: the smallest that lose nothing.
Widths: TypeAlias = int | list[int] | tuple[int, ...] | None
# A name, a configuration or an object, as `keras.<kind>.get` takes them.
Activation: TypeAlias = str | Callable[..., Tensor] | None
Initializer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
Regularizer: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
Constraint: TypeAlias = str | dict[str, Any] | Callable[..., Tensor] | None
# A size for each axis of space, or one for all.
Sizes: TypeAlias = int | Sequence[int]
# The seed of one initializer.
InitializerSeed: TypeAlias = "int | keras.random.SeedGenerator | None"
