"""The networks and their data: sizes, starts, what a batch is."""

import keras
import numpy as np
import pytest

from reproduce import data, workloads
from reproduce.workloads import gpt

PARAMETERS = {
    "ethanol": 128,
    "mlp": 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10,
    "tutorial_convnet": 1_663_370,  # as the tutorial has it
    "tutorial_convnet_no_l2": 1_663_370,
}


@pytest.fixture(scope="module")
def text_network():
    keras.utils.set_random_seed(0)
    return gpt.network()


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes(name):
    network = workloads.get(name).network()
    assert network.count_params() == PARAMETERS[name]


def test_the_residual_network_has_two_tenths_of_a_million_parameters():
    network = workloads.get("residual_convnet").network()
    assert 0.2e6 <= network.count_params() <= 0.25e6
    assert network(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)


def test_at_its_start_the_gpt_knows_nothing(text_network):
    characters = np.random.default_rng(0).integers(0, 65, (4, 65))
    outputs = text_network(characters[:, :-1])
    loss = float(gpt.GPT.loss(outputs, characters[:, 1:]))
    assert loss == pytest.approx(np.log(65), abs=0.1)


def test_the_gpt_does_not_look_ahead(text_network):
    characters = np.random.default_rng(0).integers(0, 65, (1, 64))
    before = np.array(text_network(characters))
    changed = characters.copy()
    changed[0, 40] = (changed[0, 40] + 1) % 65
    after = np.array(text_network(changed))
    np.testing.assert_array_equal(before[:, :40], after[:, :40])
    assert (np.abs(before - after).max(axis=-1) > 1e-5)[:, 40:].all()


def test_attention_is_that_of_numpy():
    keras.utils.set_random_seed(1)
    layer = gpt.CausalSelfAttention()
    x = np.random.default_rng(0).normal(size=(2, 64, 128)).astype("float32")
    found = np.array(layer(x))
    weights = [np.array(each, "float64") for each in layer.weights]
    mixed = x.astype("float64") @ weights[0] + weights[1]
    query, key, value = (
        part.reshape(2, 64, 4, 32).transpose(0, 2, 1, 3) for part in np.split(mixed, 3, axis=-1)
    )
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(32)
    scores[..., np.triu_indices(64, 1)[0], np.triu_indices(64, 1)[1]] = -np.inf
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    outputs = (scores @ value).transpose(0, 2, 1, 3).reshape(2, 64, 128)
    np.testing.assert_allclose(found, outputs @ weights[2] + weights[3], atol=1e-5)


def test_targets_of_a_text_are_the_next_characters():
    text = data.load_tiny_shakespeare()
    training, held_out = gpt.GPT.split(text, 10)
    rows = gpt.GPT.order(training, 3, 12, np.random.default_rng(0))
    inputs, targets = gpt.GPT.batch(training, np.int32(rows[0]))
    assert inputs.shape == targets.shape == (12, 64)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    characters = sorted(set(text.text))
    read = "".join(characters[n] for n in training.inputs[:200].numpy())
    assert read == text.text[:200] and len(characters) == gpt.VOCABULARY
    first = "".join(characters[n] for n in held_out["validation"].inputs[0].numpy())
    assert text.text.index(first) == int(0.9 * len(text.text))
    assert len(training.inputs) == int(0.9 * len(text.text))
    for part in held_out.values():
        np.testing.assert_array_equal(part.inputs[:, 1:], part.targets[:, :-1])


def test_every_epoch_has_an_order_of_its_own(few_digits):
    mlp = workloads.get("mlp")
    training, held_out = mlp.split(few_digits, 20)
    rows = mlp.order(training, 20, 10, np.random.default_rng(0))
    first, second = rows[:10].ravel(), rows[10:].ravel()
    assert sorted(first) == sorted(second) == list(range(100))
    assert list(first) != list(second)
    np.testing.assert_allclose(
        held_out["validation"].inputs.numpy() * 255 + 127.5, few_digits.train_images[:20], atol=1e-3
    )


def test_ethanol_is_the_papers_loss(small_ethanol):
    ethanol = workloads.get("ethanol")
    training, held_out = ethanol.split(small_ethanol, 0)
    inputs, targets = ethanol.batch(training, None)
    kernel = np.random.default_rng(0).normal(size=(small_ethanol.features.shape[1], 1))
    expected = np.mean((small_ethanol.features @ kernel - small_ethanol.targets[:, None]) ** 4)
    found = ethanol.loss(inputs.numpy() @ kernel.astype("float32"), targets)
    assert float(found) == pytest.approx(expected, rel=1e-4) and not held_out
