"""The rule moves each kernel as factors move that are trained by hand, in its layer's own matrix.

The oracle knows nothing of the library: it takes each kernel apart by the equation that its layer
computes, makes balanced factors of each matrix, trains them with SGD in NumPy on the gradients of
the kernel that the layer itself gives, and multiplies them.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from tfoverparam import EndToEnd, linear_maps

RATE, STEPS = 1e-3, 100
pytestmark = pytest.mark.float64


def balanced(matrix, depth):
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    root = s ** (1 / depth)
    return [u * root] + [np.diag(root)] * (depth - 2) + [root[:, None] * vt]


def product(factors):
    return np.linalg.multi_dot(factors)


def descend(factors, gradient):
    moved = []
    for j, factor in enumerate(factors):
        before = [np.eye(len(factors[0])), *factors[:j]]
        after = [*factors[j + 1 :], np.eye(factors[-1].shape[1])]
        left, right = (product([*each, np.eye(each[-1].shape[1])]) for each in (before, after))
        moved.append(factor - RATE * left.T @ gradient @ right.T)
    return moved


# How a kernel is split into matrices of inputs by outputs, and put together again. Written down
# from what the layers compute.
def heads_out(kernel):
    """(inputs, heads, size): the equation `btd,dnh->btnh`."""
    return [kernel.reshape(len(kernel), -1)], lambda found: found[0].reshape(kernel.shape)


def heads_in(kernel):
    """(heads, size, outputs): `btnh,nhd->btd`."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return [matrix], lambda found: found[0].reshape(kernel.shape)


def in_groups(groups):
    """(*size, channels of a group, filters): filters of one group see its channels alone."""

    def split(kernel):
        parts = np.split(kernel, groups, axis=-1)
        return [part.reshape(-1, part.shape[-1]) for part in parts], lambda found: np.concatenate(
            [each.reshape(part.shape) for each, part in zip(found, parts)], axis=-1
        )

    return split


def experts(kernel):
    """(experts, inputs, outputs): `ebd,edf->ebf`."""
    return list(kernel), np.stack


def attention(layer):
    inputs = keras.Input((5, 6), dtype="float64")
    return keras.Model(inputs, layer(inputs, inputs))


def sequential(shape, layer):
    return keras.Sequential([keras.Input(shape, dtype="float64"), layer])


def keras_hub_attention():
    keras_hub = pytest.importorskip("keras_hub")
    layer = keras_hub.layers.CachedMultiHeadAttention(2, 4, dtype="float64")
    inputs = keras.Input((5, 6), dtype="float64")
    return keras.Model(inputs, layer(inputs, inputs))


OF_ATTENTION = {"query": heads_out, "key": heads_out, "value": heads_out, "output": heads_in}
F64 = {"dtype": "float64"}
VALUES = 4 if keras.backend.backend() == "jax" else 3  # whose attention has one size for all
CASES = {
    "attention": (
        lambda: attention(layers.MultiHeadAttention(2, 4, value_dim=VALUES, **F64)),
        OF_ATTENTION,
    ),
    "grouped queries": (
        lambda: attention(layers.GroupQueryAttention(4, 4, 2, **F64)),
        OF_ATTENTION,
    ),
    "KerasHub": (keras_hub_attention, OF_ATTENTION),
    "Conv1D": (lambda: sequential((7, 4), layers.Conv1D(5, 3, **F64)), {"kernel": in_groups(1)}),
    "in groups": (
        lambda: sequential((6, 6, 4), layers.Conv2D(6, 2, groups=2, **F64)),
        {"kernel": in_groups(2)},
    ),
    "depthwise": (
        lambda: sequential((6, 6, 3), layers.DepthwiseConv2D(2, depth_multiplier=2, **F64)),
        {
            "kernel": lambda kernel: (
                [kernel[:, :, n].reshape(4, 2) for n in range(3)],
                lambda found: np.stack([each.reshape(2, 2, 2) for each in found], axis=2),
            )
        },
    ),
    "LSTM": (
        lambda: sequential((4, 5), layers.LSTM(3, **F64)),
        {"recurrent_kernel": in_groups(1), "kernel": in_groups(1)},
    ),
    "mixture of experts": (
        lambda: sequential((3, 5, 4), layers.EinsumDense("zebd,edf->zebf", (3, 5, 6), **F64)),
        {"kernel": experts},
    ),
}


def gradient_function(model, inputs, targets):
    """Of the kernels to the loss's gradients by them."""
    variables = model.trainable_variables

    def loss():
        return ops.mean(ops.square(model(inputs) - targets))

    if keras.backend.backend() == "jax":
        import jax

        def of_values(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values))):
                return loss()

        derivative = jax.jit(jax.grad(of_values))
        return lambda: derivative([each.value for each in variables])
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, [each.value for each in variables])

    return gradients


@pytest.mark.parametrize("depth", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "grouped queries" else n for n in CASES],
)
def test_the_kernels_move_as_factors_do(name, depth):
    make, splits = CASES[name]
    keras.utils.set_random_seed(1)
    model, random = make(), np.random.default_rng(0)
    maps = linear_maps(model)
    split_of = {
        each.path: next(
            split for part, split in splits.items() if part in each.path.partition("/")[2]
        )
        for each in maps
    }
    assert len(maps) == len(splits)
    inputs = ops.convert_to_tensor(random.normal(size=(8, *model.input_shape[1:])))
    targets = ops.convert_to_tensor(3 * random.normal(size=model(inputs).shape))
    variables = model.trainable_variables
    gradients = gradient_function(model, inputs, targets)
    start = [ops.convert_to_numpy(each) for each in variables]

    # By hand: kernels as products of factors, all else by plain descent.
    factors = {
        each.path: [balanced(part, depth) for part in split_of[each.path](value)[0]]
        for each, value in zip(variables, start)
        if each.path in split_of
    }
    for _ in range(STEPS):
        for variable, gradient in zip(variables, map(ops.convert_to_numpy, gradients())):
            if variable.path not in split_of:
                variable.assign(ops.convert_to_numpy(variable) - RATE * gradient)
                continue
            parts, together = split_of[variable.path](gradient)
            moved = [descend(*each) for each in zip(factors[variable.path], parts)]
            factors[variable.path] = moved
            variable.assign(together([product(each) for each in moved]))
    expected = [ops.convert_to_numpy(each) for each in variables]

    for variable, value in zip(variables, start):
        variable.assign(value)
    optimizer = EndToEnd(optimizers.SGD(RATE), depth=depth, apply_to=model)
    optimizer.build(variables)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(lambda: optimizer.apply(gradients()), autograph=False)
    else:

        def step():
            optimizer.apply(gradients())

    for _ in range(STEPS):
        step()
    for variable, begin, end in zip(variables, start, expected):
        if variable.path in split_of:
            difference = np.linalg.norm(ops.convert_to_numpy(variable) - end)
            assert difference <= 2e-3 * np.linalg.norm(end - begin)
