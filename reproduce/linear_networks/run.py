"""One linear network and how it is trained; its start and its loss, without TensorFlow."""

import dataclasses
import functools

import numpy as np

OPTIMIZERS = ("sgd", "adagrad", "adadelta", "adadelta_1e-8", "adam")
LARGEST_P = 10  # of larger powers float64 does not find the optimum
LARGEST = 1e8  # number of weights of a run, roughly
STARTS = ("near_zero", "identity")


@dataclasses.dataclass(frozen=True)
class Run:
    """One linear network, and how it is trained: on all examples, on the loss mean |y - t|^p.

    Attributes:
        p: Even integer.
        depth: Number of layers N >= 1.
        width: Units in each hidden layer.
        optimizer: Name of a Keras optimizer, of `OPTIMIZERS`; defaults but for its rate.
        learning_rate: In units of that loss, which has no factor 1/p.
        seed: The start is a function of it, of the depth and of the width.
        start: "near_zero", every weight from N(0, stddev^2); or "identity", the same with 1 added
            to the diagonal of every layer, also of those that are not square.
        stddev: Standard deviation of the start.
        rule: Train a single layer instead, by the rule that `depth` layers imply (Claim 2). It
            starts from its own N(0, stddev^2) ("own"), or from the product of the layers that
            the same run without a rule would start from ("product"). None: no rule.
    """

    p: int
    depth: int
    learning_rate: float
    seed: int
    width: int = 1
    optimizer: str = "sgd"
    start: str = "near_zero"
    stddev: float = 0.01
    rule: str | None = None

    def __post_init__(self):
        for name, choices in (
            ("optimizer", OPTIMIZERS),
            ("start", STARTS),
            ("rule", (None, "own", "product")),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"`{name}` must be one of {list(choices)}. Received: {value!r}")
        if self.p not in range(2, LARGEST_P + 1, 2):
            raise ValueError(
                f"`p` must be an even integer from 2 to {LARGEST_P}. Received: {self.p!r}"
            )
        for name in ("depth", "width", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive. Received: {getattr(self, name)!r}")
        if self.seed < 0:
            raise ValueError(f"`seed` must be an integer >= 0. Received: {self.seed!r}")
        if self.depth * self.width**2 > LARGEST:
            raise ValueError(
                f"`depth` times `width` squared must be at most {LARGEST:.0e}, for the memory. "
                f"Received: depth={self.depth} and width={self.width}"
            )


def initial_factors(run, input_dim):
    """The layers of a run at its start: float64 arrays of shape (rows, columns).

    They depend on the run's own settings alone.
    """
    random = np.random.default_rng(run.seed)
    if run.rule == "own":
        random = np.random.default_rng((run.seed, 1))
        return [random.normal(0, run.stddev, (input_dim, 1))]
    dims = [input_dim] + [run.width] * (run.depth - 1) + [1]
    factors = [random.normal(0, run.stddev, shape) for shape in zip(dims[:-1], dims[1:])]
    if run.start == "identity":
        factors = [factor + np.eye(*factor.shape) for factor in factors]
    return [functools.reduce(np.matmul, factors)] if run.rule == "product" else factors


def losses(kernels, features, targets, p):
    """The loss of each column of `kernels` (d, runs), in float64: an array of shape (runs,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.mean((features @ kernels - targets[:, None]) ** p, axis=0)
