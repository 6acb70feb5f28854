"""The loop and the methods: against NumPy, against the plain network, and where runs end."""

import keras
import numpy as np
import pytest

from reproduce import workloads
from reproduce.workloads import methods, planning, training
from reproduce.workloads.training import start, train
from tfoverparam import linear_maps

MLP = workloads.get("mlp")


def weights_after(settings, dataset, workload=MLP):
    """Kernels (products, where there are factors) and biases after the steps of a run."""
    examples, _ = workload.split(dataset, settings["validation_size"])
    network, run_steps, _ = start(workload, examples, settings)
    losses = run_steps(0, settings["steps"]).numpy()
    kernels = [np.array(each.kernel) for each in linear_maps(network)]
    return kernels, losses


def test_the_first_step_of_the_mlp_is_that_of_numpy(settings, few_digits, cross_entropy):
    asked = settings()
    examples, held_out = MLP.split(few_digits, 20)
    network, run_steps, _ = start(MLP, examples, asked)
    layers = [layer for layer in network.layers if layer.weights]
    kernels = [np.array(layer.kernel, "float64") for layer in layers]
    biases = [np.array(layer.bias, "float64") for layer in layers]
    rows = np.random.default_rng(3).permutation(100)[:8]
    images = few_digits.train_images[20:][rows].reshape(8, 784)
    activations = [(images - 127.5) / 255]
    for kernel, bias in zip(kernels, biases):
        outputs = activations[-1] @ kernel + bias
        activations.append(np.maximum(outputs, 0))
    loss, slope = cross_entropy(outputs, few_digits.train_labels[20:][rows])
    found = run_steps(0, 1).numpy()
    np.testing.assert_allclose(found, [[loss, 0]], rtol=1e-5)
    for n in (2, 1, 0):
        kernel, bias = kernels[n], biases[n]
        expected = kernel - 0.1 * activations[n].T @ slope
        np.testing.assert_allclose(np.array(layers[n].kernel), expected, atol=2e-7)
        np.testing.assert_allclose(
            np.array(layers[n].bias), bias - 0.1 * slope.sum(axis=0), atol=2e-7
        )
        slope = (slope @ kernel.T) * (activations[n] > 0)


METHODS = "factors", "rule", "grafted_rule"


@pytest.mark.parametrize(
    "optimizer, methods, of_depth_2",
    [
        ("sgd", METHODS[:2], METHODS[:1]),
        pytest.param("sgd", METHODS[2:], METHODS[1:], marks=pytest.mark.slow),
        pytest.param("adamw", METHODS, METHODS, marks=pytest.mark.slow),
    ],
)
def test_at_depth_1_every_method_is_the_plain_network_and_at_depth_2_none(
    optimizer, methods, of_depth_2, settings, few_digits
):
    shared = {"optimizer": optimizer, "steps": 3, "momentum": 0.9, "learning_rate": 1e-3}
    plain, losses = weights_after(settings(**shared), few_digits)
    for method in methods:
        found, others = weights_after(settings(method=method, depth=1, **shared), few_digits)
        np.testing.assert_allclose(others, losses, rtol=1e-6)
        for ours, theirs in zip(found, plain):
            np.testing.assert_allclose(ours, theirs, atol=1e-7)
    for method in of_depth_2:
        found, others = weights_after(settings(method=method, depth=2, **shared), few_digits)
        # The same function, on the same batch.
        np.testing.assert_allclose(others[0], losses[0], rtol=1e-5)
        assert all(np.abs(ours - theirs).max() > 1e-5 for ours, theirs in zip(found, plain))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in workloads.MODULES if name != "mlp"])
def test_at_depth_1_every_method_is_the_plain_network_on_every_workload(name, settings, few_digits):
    workload = workloads.get(name)
    is_image = name.endswith(("convnet", "no_l2"))
    dataset = few_digits if is_image else workload.load(None)
    shared = {"workload": name, "optimizer": "adamw", "steps": 3, "learning_rate": 1e-3}
    if name == "ethanol":
        shared |= {"validation_size": 0, "batch_size": 2565}
    plain, losses = weights_after(settings(**shared), dataset, workload)
    for method in METHODS:
        changed = settings(method=method, depth=1, **shared)
        found, others = weights_after(changed, dataset, workload)
        np.testing.assert_allclose(others, losses, rtol=1e-6)
        for ours, theirs in zip(found, plain, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_rate_rises_and_falls(settings):
    schedule = methods.rate_schedule(settings(learning_rate=0.4, warmup=0.1, steps=100))
    step = np.arange(101)
    rising = 0.04 + (0.4 - 0.04) * step / 10
    falling = 0.2 * (1 + np.cos(np.pi * (step - 10) / 90))
    expected = np.where(step < 10, rising, falling)
    np.testing.assert_allclose([float(schedule(t)) for t in step], expected, atol=1e-6)


def test_a_run_is_a_function_of_its_seed(settings, few_digits):
    shared = {"steps": 2, "points": 2}
    one, again = (train(MLP, few_digits, settings(seed=1, **shared)) for _ in range(2))
    assert one == again
    examples, _ = MLP.split(few_digits, 20)
    networks = [start(MLP, examples, settings(seed=seed, **shared))[0] for seed in (1, 2)]
    for ours, theirs in zip(*(linear_maps(network) for network in networks)):
        assert np.mean(np.array(ours.kernel) == np.array(theirs.kernel)) < 0.01
    curves, results = one
    assert [step for step, _ in curves["validation_loss"]] == [0, 1, 2]
    assert [step for step, _ in curves["training_loss"]] == [1, 2]
    assert curves["validation_loss"][-1][1] == results["validation_loss"]
    assert 0 <= results["test_error"] <= 100 and results["diverged_at"] is None


def test_a_run_that_diverges_ends_at_once(settings, few_digits, monkeypatch):
    monkeypatch.setattr(training, "SEGMENT", 2)
    seen = []
    asked = settings(steps=300, points=4, learning_rate=1e8, optimizer="sgd", batch_size=4)
    curves, results = train(MLP, few_digits, asked, lambda step, _: seen.append(step))
    assert 1 <= results["diverged_at"] < 20 and seen == [0]
    assert "training_loss" not in curves and "test_error" not in results


@pytest.mark.parametrize(
    "name, count",
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each[0] == "gpt" else [])
        for each in planning.MOVED_BY_MUON.items()
    ],
)
def test_muon_moves_the_same_kernels_with_factors(name, count, settings):
    moved = []
    for method in ("plain", "factors"):
        network = workloads.get(name).network()
        optimizer = methods.prepare(network, settings(optimizer="muon", method=method))
        optimizer.build(network.trainable_variables)
        kernels = linear_maps(network)
        moved.append(
            [
                number
                for number, each in enumerate(kernels)
                for variable in each.factors or [each.kernel]
                if not optimizer._should_use_adamw(variable)
            ]
        )
    assert len(moved[0]) == count and moved[1] == [n for n in moved[0] for _ in range(2)]


def test_muon_without_matrices_is_adam(settings):
    ends = []
    for name in ("adamw", "muon"):
        kernel = keras.Variable(np.ones((3, 3, 2, 4), "float32"), name="kernel")
        network = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(4, 3)])
        optimizer = methods.prepare(network, settings(optimizer=name, steps=10))
        for step in range(3):
            gradient = np.random.default_rng(step).normal(size=kernel.shape)
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [kernel])
        ends.append(kernel.numpy())
    assert np.abs(ends[0] - 1).min() > 0.001
    np.testing.assert_allclose(*ends, rtol=1e-6)


def test_the_penalty_acts_on_the_product(settings):
    for method in ("plain", "factors"):
        keras.utils.set_random_seed(0)
        network = workloads.get("tutorial_convnet").network()
        methods.prepare(network, settings(method=method))
        dense = [each for each in linear_maps(network) if len(each.shape) == 2]
        penalized = [*(each.kernel for each in dense), *(each.layer.bias for each in dense)]
        squares = sum(np.sum(np.array(each, "float64") ** 2) for each in penalized)
        assert float(sum(network.losses)) == pytest.approx(5e-4 / 2 * squares, rel=1e-5)
    assert not workloads.get("tutorial_convnet_no_l2").network().losses
