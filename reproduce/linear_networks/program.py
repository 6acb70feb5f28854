"""Linear networks as the columns of one program: how they start, and their steps, compiled.

A linear network with one output is, to its data, a vector: its end-to-end kernel. The kernels of
all runs are stacked as columns, so that a single matrix product with the features serves them all,
and one with their transpose gives all gradients; what differs from run to run (depth, width,
learning rate, optimizer) costs next to nothing. The loop over the iterations is compiled.
"""

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    # The epsilon that was TensorFlow 1's default. AdaDelta's first steps are its square root.
    "adadelta_1e-8": functools.partial(keras.optimizers.Adadelta, epsilon=1e-8),
    "adam": keras.optimizers.Adam,
}
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


class _Block:
    """The runs of a program that differ in learning rate and start only.

    `factors[j]` has the shape (rows, columns, runs). The learning rate is a vector along the last
    axis.
    """

    def __init__(self, runs, dtype, factors, optimizer_state=None):
        first = runs[0]
        self.rule_depth = first.depth if first.rule else None
        rates = tf.constant([run.learning_rate for run in runs], dtype)
        self.factors = [
            keras.Variable(factor, dtype=dtype, name=f"kernel_{index}")
            for index, factor in enumerate(factors)
        ]
        self.optimizer = OPTIMIZERS[first.optimizer](learning_rate=lambda: rates)
        self.optimizer.build(self.factors)
        for variable, value in zip(self.optimizer.variables, optimizer_state or []):
            variable.assign(value)

    def state(self, keep=slice(None)):
        """Factors and optimizer state of some of the runs, as NumPy arrays."""
        of_factors, of_optimizer = (
            [np.asarray(variable) for variable in variables]
            for variables in (self.factors, self.optimizer.variables)
        )
        return [
            [array[..., keep] if array.ndim else array for array in arrays]
            for arrays in (of_factors, of_optimizer)
        ]

    def kernels(self):
        """The end-to-end kernels, (d, runs)."""
        return self._products_after()[0]

    def _products_after(self):
        """For each factor, the product of itself and those after it: (rows, runs) each."""
        products = [self.factors[-1].value[:, 0]]
        for factor in self.factors[-2::-1]:
            products.insert(0, tf.reduce_sum(factor.value * products[0], axis=1))
        return products

    def step(self, gradients):
        """One step against the gradients of the end-to-end kernels, (d, runs)."""
        if self.rule_depth:
            kernel = self.factors[0].value[:, 0]
            directions = [_claim_2(kernel, gradients, self.rule_depth)[:, None]]
        else:
            directions = self._factor_gradients(gradients)
        self.optimizer.apply(directions, self.factors)

    def _factor_gradients(self, gradients):
        after = [*self._products_after()[1:], tf.ones_like(gradients[:1])]
        result, upstream = [], gradients
        for factor, product in zip(self.factors, after):
            result.append(upstream[:, None] * product)
            upstream = tf.reduce_sum(factor.value * upstream[:, None], axis=0)
        return result


def _claim_2(kernel, gradient, depth):
    """|w|^(2-2/N) (g + (N-1) Pr_w g) for each column; zero where w is."""
    squared_norm = tf.reduce_sum(kernel**2, axis=0)
    projection = tf.math.divide_no_nan(tf.reduce_sum(kernel * gradient, axis=0), squared_norm)
    return squared_norm ** (1 - 1 / depth) * (gradient + (depth - 1) * projection * kernel)


class Program:
    """Runs that share a loss, compiled together.

    Args:
        runs: Sequence of `Run` of the same p.
        gradients: The function from their kernels to the gradients: of `gradients_of`.
        input_dim: Rows d of a kernel.
        states: What `states` of such a program returned, to go on from. Defaults to `None`, the
            runs' own starts.
    """

    def __init__(self, runs, gradients, input_dim, states=None):
        self._gradients, self._input_dim = gradients, input_dim
        groups: dict[tuple, list[int]] = {}
        for index, run in enumerate(runs):
            key = (run.depth, run.width, run.optimizer, run.rule or "")
            groups.setdefault(key, []).append(index)
        self.groups = dict(sorted(groups.items()))
        self._blocks = []
        for position, members in enumerate(self.groups.values()):
            members = [runs[index] for index in members]
            if states is None:
                starts = [initial_factors(run, input_dim) for run in members]
                state = [[np.stack(factors, axis=-1) for factors in zip(*starts)]]
            else:
                state = states[position]
            self._blocks.append(_Block(members, gradients.dtype, *state))
        self._sizes = [len(members) for members in self.groups.values()]

    def kernels(self):
        """The end-to-end kernels in the order of the runs: float64, (d, runs)."""
        result = np.empty((self._input_dim, sum(self._sizes)))
        for members, block in zip(self.groups.values(), self._blocks):
            factors = [np.asarray(factor, "float64") for factor in block.factors]
            product = factors[-1][:, 0]
            with np.errstate(over="ignore", invalid="ignore"):
                for factor in factors[-2::-1]:
                    product = np.sum(factor * product, axis=1)
            result[:, members] = product
        return result

    def states(self, keep=None):
        """Per block, the state of all runs, or of those for which the array `keep` is true."""
        return [
            block.state(slice(None) if keep is None else keep[members])
            for members, block in zip(self.groups.values(), self._blocks)
            if keep is None or keep[members].any()
        ]

    def advance(self, first, count):
        """Train for `count` iterations, the first of which is number `first`.

        Returns:
            For each run, the first of these iterations whose gradient is not finite, or -1: an
            array of integers.
        """
        found = self._advance(tf.constant(first), tf.constant(count)).numpy()
        order = np.concatenate(list(self.groups.values()))
        result = np.empty_like(found)
        result[order] = found
        return result

    @tf.function(jit_compile=True)
    def _advance(self, first, count):
        def one(iteration, diverged_at):
            kernels = tf.concat([block.kernels() for block in self._blocks], axis=1)
            gradients = self._gradients(kernels)
            finite = tf.reduce_all(tf.math.is_finite(gradients), axis=0)
            now = ~finite & (diverged_at < 0)
            for block, part in zip(self._blocks, tf.split(gradients, self._sizes, axis=1)):
                block.step(part)
            return iteration + 1, tf.where(now, iteration, diverged_at)

        _, diverged_at = tf.while_loop(
            lambda iteration, _: iteration < first + count,
            one,
            (first, -tf.ones(sum(self._sizes), first.dtype)),
        )
        return diverged_at
