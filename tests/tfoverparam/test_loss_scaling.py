"""Mixed precision in float16: small gradients, and products of factors that are too large."""

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers
from tfoverparam import BalanceMonitor, EndToEnd, FactorizedDense

UNIT_ROUNDOFF = 2.0**-11
STEPS = 4
INPUTS = np.random.default_rng(0).uniform(-1, 1, (8, 6)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)
# Gradients of the outputs below the smallest number of float16, 6e-8, unless they are scaled.
TINY = 1e-9


def tiny_loss(targets, outputs):
    return TINY * ops.mean(ops.square(targets - outputs), axis=-1)


def network(policy, layer_class=FactorizedDense, **arguments):
    kernel = keras.initializers.GlorotUniform(seed=1)
    layer = layer_class(
        1, kernel_initializer=kernel, use_bias=False, name="f", dtype=policy, **arguments
    )
    model = keras.Sequential([keras.Input((6,)), layer])
    model.dtype_policy = keras.DTypePolicy(policy)
    return model


def train(model, optimizer, scale=1.0, **arguments):
    model.compile(optimizer, tiny_loss, jit_compile=False, **arguments)
    start = kernel_of(model)
    model.fit(scale * INPUTS, TARGETS, batch_size=8, epochs=STEPS, verbose=0)
    return kernel_of(model) - start


def kernel_of(model):
    return ops.convert_to_numpy(model.layers[0].kernel).astype("float64")


FACTORS = {"layer_class": FactorizedDense, "depth": 3, "seed": 1}
CASES = {
    "factors": (FACTORS, lambda: optimizers.SGD(0.1 / TINY)),
    "the rule": ({"layer_class": layers.Dense}, lambda: EndToEnd(optimizers.SGD(0.1 / TINY), 3)),
    "the rule, old basis": (
        {"layer_class": layers.Dense},
        lambda: EndToEnd(optimizers.SGD(0.1 / TINY), 3, refresh_every=3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_that_underflow_train_as_in_float32(name):
    arguments, optimizer = CASES[name]
    expected = train(network("float32", **arguments), optimizer(), run_eagerly=True)
    model = network("mixed_float16", **arguments)
    found = train(model, optimizer())
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)
    # In a step: inputs, factors, outputs and their gradient are rounded, and products with sums
    # over up to 8, 6 and two of 1 terms, forwards and backwards. The steps go the same way.
    roundings = 6 + 2 * (8 + 6 + 2)
    bound = STEPS * roundings * UNIT_ROUNDOFF * np.linalg.norm(expected)
    assert np.linalg.norm(found - expected) <= bound < np.linalg.norm(expected)
    # Without scaling there is nothing left of them.
    model = network("mixed_float16", **arguments)
    unscaled = train(model, optimizer(), auto_scale_loss=False, run_eagerly=True)
    np.testing.assert_array_equal(unscaled, 0)


def test_the_scale_of_keras_is_the_one_that_is_put_around_the_rule_by_hand():
    by_keras = train(network("mixed_float16", layers.Dense), EndToEnd(optimizers.SGD(0.1 / TINY)))
    around = optimizers.LossScaleOptimizer(EndToEnd(optimizers.SGD(0.1 / TINY)))
    np.testing.assert_array_equal(train(network("mixed_float16", layers.Dense), around), by_keras)


def test_a_fixed_scale_of_the_inner_optimizer_gives_way_to_the_dynamic_one():
    sgd, fixed = optimizers.SGD(0.1 / TINY), optimizers.SGD(0.1 / TINY, loss_scale_factor=8.0)
    expected = train(network("mixed_float16", layers.Dense), EndToEnd(sgd))
    found = train(network("mixed_float16", layers.Dense), EndToEnd(fixed))
    np.testing.assert_array_equal(found, expected)


def test_a_dynamic_scale_inside_is_refused():
    # It would see gradients that are scaled twice, and with JAX not even those.
    with pytest.raises(ValueError, match="goes around EndToEnd, not into it"):
        EndToEnd(optimizers.LossScaleOptimizer(optimizers.SGD(0.1)))


@pytest.mark.parametrize("name", CASES)
def test_a_product_that_overflows_is_skipped_and_does_no_harm(name):
    arguments, optimizer = CASES[name]
    model = network("mixed_float16", **arguments)
    # The products of these inputs are beyond 65504.
    np.testing.assert_array_equal(train(model, optimizer(), scale=6e4 * 6), 0)
    assert float(model.optimizer.dynamic_scale) == 2.0 ** (15 - STEPS)
    assert int(model.optimizer.iterations) == 0
    # From there on it trains as if nothing had been.
    model.fit(INPUTS, TARGETS, batch_size=8, epochs=STEPS, verbose=0)
    other = network("mixed_float16", **arguments)
    train(other, optimizers.LossScaleOptimizer(optimizer(), initial_scale=2.0 ** (15 - STEPS)))
    for one, another in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(one, another)


def test_who_overflows_is_told():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            FactorizedDense(6, name="small", seed=1),
            FactorizedDense(1, name="large", seed=1),
        ]
    )
    for layer in model.layers:
        layer.dtype_policy = keras.DTypePolicy("mixed_float16")
    model.dtype_policy = keras.DTypePolicy("mixed_float16")
    model.layers[1].assign_kernel(1e6 * np.ones((6, 1)))
    model.compile(optimizers.SGD(0.1), "mse", jit_compile=False)
    gain = r"`large` amplifies most.* 2\.4e\+06 times longer"  # 1e6 times the root of 6
    with pytest.warns(UserWarning, match=f"come down to 5.0e-01.*{gain}") as caught:
        model.fit(INPUTS, TARGETS, batch_size=1, epochs=3, callbacks=[BalanceMonitor()], verbose=0)
    assert len([each for each in caught if "overflows" in str(each.message)]) == 1


def test_nobody_is_told_of_steps_that_were_skipped_and_made_up_for():
    model = network("mixed_float16")
    model.compile(optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(INPUTS * 6e4, TARGETS, batch_size=8, epochs=3, verbose=0)
    model.fit(INPUTS, TARGETS, batch_size=8, callbacks=[BalanceMonitor()], verbose=0)
    assert float(model.optimizer.dynamic_scale) < 2.0**15
