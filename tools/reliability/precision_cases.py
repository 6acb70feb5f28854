"""Random cases of each of the library's computations, against float64, with the error to expect.

Every bound is that of the standard model of rounding: u being half the distance from 1 to the next
number of a format, a result that went through n roundings, one after the other, is off by at most
`n u / (1 - n u)` of the sum of the sizes of its terms. A dot product of d terms counts d, and one
more where it is kept in a wider format until it is rounded; a conversion to the format counts one.
Data are of the order of one, so that nothing overflows or underflows.
"""

import functools
import math

import keras
import numpy as np
from keras import layers, ops

from tfoverparam import EndToEnd, FactorizedDense, collapse, overparameterize

POLICIES = ("float64", "float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
# The widths (inputs, hidden layers, outputs) of the layers that are tried.
WIDTHS = ((3, 3, 5), (6, 2, 4), (2, 4, 3, 4), (5, 5, 5, 5))
# Kernels, and a depth.
KERNELS = (((6, 4), 2), ((4, 6), 3), ((7, 1), 3), ((40, 32), 2))
_BATCH = 4
_SPAN = 10.0  # of the singular values of these kernels


def unit_roundoff(dtype):
    """The largest relative error of one rounding, in what Keras multiplies in for this dtype."""
    if dtype == "float64" and keras.backend.backend() == "torch":
        dtype = "float32"  # Keras's own: `keras.ops.matmul` of two float64 matrices is float32.
    return 2.0 ** -_BITS[dtype]


def gamma(roundings, dtype):
    """The largest relative error after so many roundings, one after the other."""
    product = roundings * unit_roundoff(dtype)
    assert product < 1, "the format is too coarse for this many roundings"
    return product / (1 - product)


def as_array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def product(matrices):
    return functools.reduce(np.matmul, matrices)


class Recorder(keras.optimizers.Optimizer):
    """Puts what it gets for a gradient in the place of the variable."""

    def __init__(self):
        super().__init__(learning_rate=1.0)

    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, ops.cast(gradient, variable.dtype))


class InnerProduct(keras.losses.Loss):
    """The inner product of the outputs and the targets, whose gradient by the outputs they are."""

    def __init__(self):
        super().__init__(reduction="sum")

    def call(self, y_true, y_pred):
        return ops.sum(y_true * y_pred, axis=-1)


def _layer(policy, widths, seed):
    random = np.random.default_rng(seed)
    layer = FactorizedDense(
        widths[-1], depth=len(widths) - 1, hidden_units=list(widths[1:-1]), dtype=policy
    )
    layer.build((None, widths[0]))
    layer.set_weights([random.uniform(-1, 1, each.shape) for each in layer.weights])
    inputs = random.uniform(-1, 1, (_BATCH, widths[0])).astype("float32")
    # Eighths, which every format has.
    cotangent = random.integers(-8, 9, (_BATCH, widths[-1])).astype("float32") / 8
    return layer, inputs, cotangent


def _relative(found, expected, size):
    """The largest error relative to the sum of the sizes of the terms."""
    return float(np.max(np.abs(found - expected) / np.where(size > 0, size, np.inf)))


def forward(policy, widths, seed):
    """Outputs of `FactorizedDense`."""
    layer, inputs, _ = _layer(policy, widths, seed)
    *factors, bias = map(as_array, layer.weights)
    rows = inputs.astype("float64")
    expected = product([rows, *factors]) + bias
    size = product(np.abs(each) for each in [rows, *factors]) + np.abs(bias)
    # Inputs, factors and bias to the format; one product a factor; the bias.
    roundings = 1 + layer.depth + 1 + sum(width + 1 for width in widths[:-1]) + 1
    return _relative(as_array(layer(inputs)), expected, size), gamma(roundings, layer.compute_dtype)


def gradient(policy, widths, seed):
    """Gradients of the variables of `FactorizedDense`, by Keras's own training step."""
    layer, inputs, cotangent = _layer(policy, widths, seed)
    *factors, _ = map(as_array, layer.weights)
    rows, cotangent_rows = inputs.astype("float64"), cotangent.astype("float64")
    model = keras.Sequential([keras.Input((widths[0],)), layer])
    model.compile(Recorder(), InnerProduct(), run_eagerly=True, auto_scale_loss=False)
    model.train_on_batch(inputs, cotangent)
    *found, found_bias = map(as_array, layer.weights)

    def by_chain_rule(rows, factors, cotangent):
        for j in range(len(factors)):
            before = product([rows, *factors[:j]])
            yield before.T @ product([cotangent, *(each.T for each in factors[:j:-1])])
        yield cotangent.sum(axis=0)

    expected = by_chain_rule(rows, factors, cotangent_rows)
    size = by_chain_rule(np.abs(rows), [np.abs(each) for each in factors], np.abs(cotangent_rows))
    # Inputs, factors and the result to a format; each width and the batch are summed over once.
    roundings = 1 + layer.depth + 1 + sum(width + 1 for width in widths) + _BATCH + 1
    errors = map(_relative, [*found, found_bias], expected, size)
    return max(errors), gamma(roundings, layer.compute_dtype)


def kernel(policy, widths, seed):
    """The product of the factors, `FactorizedDense.kernel`."""
    layer, _, _ = _layer(policy, widths, seed)
    factors = [as_array(each) for each in layer.factors]
    size = product(np.abs(each) for each in factors)
    # Outside of a call there is no conversion: the format is that of the variables.
    roundings = sum(width + 1 for width in widths[1:-1])
    error = _relative(as_array(layer.kernel), product(factors), size)
    return error, gamma(roundings, layer.variable_dtype)


def folded(policy, widths, seed):
    """The kernel of the layer that `collapse` makes of a factorized one."""
    layer, _, _ = _layer(policy, widths, seed)
    factors = [as_array(each) for each in layer.factors]
    model = collapse(keras.Sequential([keras.Input((widths[0],)), layer]))
    size = product(np.abs(each) for each in factors)
    roundings = sum(width + 1 for width in widths[1:-1])
    error = _relative(as_array(model.layers[0].kernel), product(factors), size)
    return error, gamma(roundings, layer.variable_dtype)


def split(policy, widths, seed):
    """The product of the factors that `overparameterize` makes of a kernel, in Frobenius norms."""
    random = np.random.default_rng(seed)
    dense = layers.Dense(widths[-1], dtype=policy)
    model = keras.Sequential([keras.Input((widths[0],)), dense])
    model.set_weights([random.uniform(-1, 1, each.shape) for each in model.weights])
    depth = len(widths) - 1
    kernel = as_array(dense.kernel)
    overparameterize(model, depth=depth, verbose=0)
    factors = [as_array(each) for each in dense.factors]
    # A kernel of low rank would be divided by little; the norms of balanced factors multiply to
    # no less than that of the kernel.
    size = math.prod(map(np.linalg.norm, factors))
    error = np.linalg.norm(product(factors) - kernel) / size
    # Each decomposition (singular values, one Q R a hidden layer) and each product, along a side
    # of at most n, is off by n roundings; then each factor is rounded to the variables' format.
    longest = max(widths[0], widths[-1])
    working = "float64" if policy == "float64" or keras.backend.backend() != "jax" else "float32"
    bound = gamma(2 * depth * (longest + 1), working) + gamma(depth, dense.variable_dtype)
    return float(error), bound


def direction(policy, case, seed):
    """What `EndToEnd` hands to the inner optimizer, relative to the most that it can be."""
    (shape, depth), random = case, np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.normal(size=(n, min(shape))))[0] for n in shape)
    values = np.geomspace(1.0, 1 / _SPAN, min(shape))
    dtype = keras.DTypePolicy(policy).variable_dtype
    variable = keras.Variable((left * values) @ right.T, dtype=dtype, name="kernel")
    gradient = ops.convert_to_tensor(random.uniform(-1, 1, shape), dtype=dtype)
    matrix, slope = as_array(variable), as_array(gradient)
    optimizer = EndToEnd(Recorder(), depth=depth)
    optimizer.build([variable])
    optimizer.apply([gradient])

    u, s, vt = np.linalg.svd(matrix, full_matrices=True)
    left, right = (np.zeros(n) for n in shape)
    left[: len(s)] = right[: len(s)] = s
    eigenvalues = sum(
        np.outer(left ** (2 * (j - 1) / depth), right ** (2 * (depth - j) / depth))
        for j in range(1, depth + 1)
    )
    expected = u @ (eigenvalues * (u.T @ slope @ vt.T)) @ vt
    size = depth * s[0] ** (2 - 2 / depth) * np.linalg.norm(slope)
    error = np.linalg.norm(as_array(variable) - expected) / size
    # A decomposition, counted as two products, and at most 20 products more. A relative error of
    # the Gram matrix is at most so many times larger in a power of it between 1/N and 1 - 1/N.
    working = "float64" if dtype == "float64" else "float32"
    amplified = (s[0] / s[-1]) ** (2 - 2 / depth)
    bound = gamma(22 * (max(shape) + 1), working) * amplified + unit_roundoff(dtype)
    return float(error), bound


# From what is computed to the function that does it once, and the shapes that it is done for.
QUANTITIES = {
    "layer forward": (forward, WIDTHS),
    "layer gradient": (gradient, WIDTHS),
    "kernel product": (kernel, WIDTHS),
    "EndToEnd direction": (direction, KERNELS),
    "overparameterize": (split, WIDTHS),
    "collapse": (folded, WIDTHS),
}


def measure(quantity, policy, seeds):
    """Pairs of a relative error and its bound, one for each shape and seed."""
    function, shapes = QUANTITIES[quantity]
    return [function(policy, shape, seed) for shape in shapes for seed in seeds]
