"""A user's file that names everything public; `mypy --strict` accepts it."""

import keras

import tfoverparam
from tfoverparam import (
    BalanceMonitor,
    EndToEnd,
    FactorizedConv1D,
    FactorizedConv2D,
    FactorizedConv3D,
    FactorizedDense,
    FactorizedEinsumDense,
    LinearMap,
    initializers,
    matrix_functions,
)
from tfoverparam.matrix_view import MatrixView


def is_wide(linear_map: LinearMap) -> bool:
    return linear_map.parameters > 100 and linear_map.layer.name != "logits"


def view(layer: keras.Layer) -> MatrixView:
    return MatrixView((3, 3), rows=(0,), columns=(1,))


def train(model: keras.Model) -> keras.Model:
    tfoverparam.register_linear_map(keras.Layer, "form", view=view)
    twin = tfoverparam.overparameterize(
        model, depth=2, hidden_units=[8], filter=is_wide, balanced=True, seed=1, verbose=0
    )
    optimizer = EndToEnd(
        keras.optimizers.SGD(0.1), depth=2.5, apply_to=model, refresh_every=4, grafting=True
    )
    twin.compile(optimizer, "mse")
    monitor = BalanceMonitor(every=10, log_dir="runs", budget=100, logs="all")
    largest: list[float] = monitor.history["imbalance"]
    tfoverparam.summary(twin, print_fn=print)
    paths: list[str] = [each.path for each in tfoverparam.linear_maps(twin) if each.is_factorized]
    print(largest, paths)
    return tfoverparam.collapse(twin)


layers = [
    FactorizedDense(10, depth=3, hidden_units=4, activation="relu", kernel_regularizer="l2"),
    FactorizedEinsumDense("abc,cd->abd", (None, 8), bias_axes="d"),
    FactorizedConv1D(4, 3, padding="causal"),
    FactorizedConv2D(4, (3, 3), strides=2, factor_initializer=initializers.NearZero(0.01)),
    FactorizedConv3D(4, [3, 3, 3], factor_initializer=initializers.NearIdentity(seed=1)),
]
for layer in layers:
    print(layer.imbalance(), layer.singular_values(), len(layer.factors), layer.depth)
    layer.assign_kernel(layer.kernel, balanced=False)
    print(layer.collapse())

kernel = keras.ops.ones((3, 2))
factors = matrix_functions.balanced_factors(kernel, depth=2, hidden_units=2, seed=0)
print(
    matrix_functions.chain_product(factors),
    matrix_functions.end_to_end_kernel(factors),
    matrix_functions.factor_direction(factors, kernel),
    matrix_functions.squared_norm_of_product(factors),
    matrix_functions.imbalance(factors),
    matrix_functions.end_to_end_direction(kernel, kernel, depth=2.5),
    matrix_functions.preconditioner_eigenvalues(keras.ops.ones((2,)), depth=2),
)
