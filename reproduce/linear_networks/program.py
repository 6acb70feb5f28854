"""Linear networks as the columns of one program: how they start, and their steps, compiled.

A linear network with one output is, to its data, a vector: its end-to-end kernel. The kernels of
all runs are stacked as columns, so that the same few matrix products give the gradients of all of
them (`gradients`); what differs from run to run (depth, width, learning rate, optimizer) costs next
to nothing. The loop over the iterations is compiled.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from reproduce.linear_networks.run import initial_factors

_OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    # The epsilon that was TensorFlow 1's default. AdaDelta's first steps are its square root.
    "adadelta_1e-8": functools.partial(keras.optimizers.Adadelta, epsilon=1e-8),
    "adam": keras.optimizers.Adam,
}


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
        self.optimizer = _OPTIMIZERS[first.optimizer](learning_rate=lambda: rates)
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
