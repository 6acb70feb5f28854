"""Small data and settings for the workloads."""

import numpy as np
import pytest


@pytest.fixture
def settings():
    """Those of a run of one step of plain gradient descent; a function of what is to differ."""

    def with_changes(**changes):
        return {
            "workload": "mlp",
            "optimizer": "sgd",
            "method": "plain",
            "depth": 2,
            "learning_rate": 0.1,
            "seed": 3,
            "steps": 1,
            "batch_size": 8,
            "validation_size": 20,
            "momentum": 0.0,
            "warmup": 0.0,
            "points": 1,
            **changes,
        }

    return with_changes


@pytest.fixture
def few_digits(some_digits):
    """A fifth of `some_digits`, enough for a few steps."""
    import dataclasses

    return dataclasses.replace(
        some_digits,
        train_images=some_digits.train_images[:120],
        train_labels=some_digits.train_labels[:120],
        test_images=some_digits.test_images[:30],
        test_labels=some_digits.test_labels[:30],
    )


@pytest.fixture
def cross_entropy():
    """Mean cross-entropy of logits, and its gradient, in NumPy's float64."""

    def both(logits, labels):
        logits = np.asarray(logits, "float64")
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
        right = np.eye(logits.shape[-1])[labels]
        loss = -np.mean(np.log(np.sum(probabilities * right, axis=-1)))
        return loss, (probabilities - right) / right[..., 0].size

    return both
