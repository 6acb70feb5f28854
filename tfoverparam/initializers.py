"""Starting points for factors: the paper's two modes, and the parts of a balanced start."""

import functools
import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import initializers, ops

from tfoverparam.annotations import InitializerSeed, Tensor
from tfoverparam.arguments import is_number
from tfoverparam.matrix_functions import balanced_factors
from tfoverparam.matrix_functions.balance import is_traced, leaving_zero


@keras.saving.register_keras_serializable(package="tfoverparam")
class NearZero(initializers.RandomNormal):
    """Gaussian entries of mean zero: the paper's "near zero" start (Section 8).

    Args:
        stddev: Standard deviation. Defaults to `0.01`, the paper's.
        seed: Integer, `keras.random.SeedGenerator` or `None`, as for every Keras initializer.

    Raises:
        ValueError: If `stddev` is not a number >= 0.

    Example:

    >>> from tfoverparam.initializers import NearZero
    >>> tuple(NearZero(seed=1)((3, 2)).shape)
    (3, 2)
    """

    def __init__(self, stddev: float = 0.01, seed: InitializerSeed = None) -> None:
        if not is_number(stddev) or stddev < 0:
            raise ValueError(f"`stddev` must be a number >= 0. Received: stddev={stddev!r}")
        super().__init__(mean=0.0, stddev=stddev, seed=seed)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["mean"]
        return config


@keras.saving.register_keras_serializable(package="tfoverparam")
class NearIdentity(NearZero):
    """`NearZero` plus ones on the diagonal, of non-square factors too.

    The paper's "near identity" start, which saves deep products from vanishing gradients
    (Section 8, Figure 5-left).

    Args:
        stddev: Standard deviation. Defaults to `0.01`, the paper's.
        seed: Integer, `keras.random.SeedGenerator` or `None`, as for every Keras initializer.

    Raises:
        ValueError: If `stddev` is not a number >= 0; when called, if the shape is not a matrix's.

    Example:

    >>> from tfoverparam.initializers import NearIdentity
    >>> float(NearIdentity(stddev=0.0)((2, 3))[1, 1])
    1.0
    """

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if len(shape) != 2:
            raise ValueError(f"`NearIdentity` starts matrices. Received: shape={tuple(shape)}")
        noise = super().__call__(shape, dtype=dtype)
        return noise + ops.eye(shape[0], shape[1], dtype=noise.dtype)


class BalancedStart:
    """The balanced start of a layer: draws the whole kernel and splits it into the factors.

    Of a kernel of zeros they would be zeros, and never move: all but one are identities then.

    Args:
        kernel_initializer: The initializer of the product. It must return the same values each
            time that it is called, as Keras's own do unless seeded with a `SeedGenerator`.
        kernel_shape: Shape of the matrix, `(d, k)`, or of the stack of matrices, `(g, d, k)`.
        depth: Number of factors.
        hidden_units: One width per hidden layer.
        seed: Integer seed of the rotations between the factors.
    """

    def __init__(self, kernel_initializer, kernel_shape, depth, hidden_units, seed):
        self.kernel_initializer = kernel_initializer
        self.kernel_shape = kernel_shape
        self.depth = depth
        self.hidden_units = hidden_units
        self.seed = seed
        self._waiting = {}

    def initializers(self):
        """One initializer per factor."""
        return [functools.partial(self._factor, index) for index in range(self.depth)]

    def _factor(self, index, shape, dtype=None):
        """The factor of this index.

        One decomposition is for all factors where Keras creates them eagerly. While a function
        is traced each of them redraws and splits the same kernel: so the values are right
        wherever Keras creates a variable, within a `tf.function` or once per replica.
        """
        if index not in self._waiting:
            kernel = self.kernel_initializer(self.kernel_shape, dtype=dtype)
            kernel = ops.convert_to_tensor(kernel, dtype=dtype)
            factors = balanced_factors(kernel, self.depth, self.hidden_units, self.seed)
            factors = leaving_zero(kernel, factors)
            if is_traced(kernel):
                return factors[index]
            self._waiting = dict(enumerate(factors))
        return self._waiting.pop(index)


def derive_seed(seed, index):
    """The `index`-th integer seed of a family grown from `seed`; number 0 is `seed` itself."""
    return seed if index == 0 else random.Random(f"{seed}/{index}").randrange(1, 2**31)


def with_seed(initializer, seed):
    """A copy of `initializer` that draws from the integer `seed`, if it takes a seed."""
    if "seed" not in _config(initializer):
        return initializer
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})


def own_seed(initializer):
    """The seed that the user gave `initializer`: an integer, a `SeedGenerator` or `None`."""
    return None if _config(initializer).get("seed") is None else initializer.seed


def repeatable(initializer):
    """`initializer`, or where a `SeedGenerator` feeds it, a copy that repeats its next draw."""
    seed = own_seed(initializer)
    if not isinstance(seed, keras.random.SeedGenerator):
        return initializer
    start, draws = ops.convert_to_numpy(seed.next())
    # The first draw is then the generator's own. Later ones count downwards from it, away from
    # the seeds of the rotations and factors of a layer that was given the same seed.
    return with_seed(initializer, derive_seed(int(start), -int(draws)))


def _config(initializer):
    return initializer.get_config() if isinstance(initializer, initializers.Initializer) else {}
