"""Variants of a regression task: other rows, another target, other condition numbers."""

import dataclasses
import hashlib

import numpy as np

from reproduce.data.regression import RegressionData, standardized

HIGH_LEVERAGE = 3  # rows of Ethanol with norms far above all others


def without_high_leverage(dataset: RegressionData) -> RegressionData:
    """Without the three rows of the largest norms, standardized anew."""
    keep = np.argsort(np.linalg.norm(dataset.features, axis=1))[:-HIGH_LEVERAGE]
    keep = np.sort(keep)
    return _variant(
        dataset,
        standardized(dataset.features[keep]),
        dataset.raw_targets[keep],
        f"without {HIGH_LEVERAGE} high-leverage rows",
    )


def logarithmic(dataset: RegressionData) -> RegressionData:
    """With the logarithm of the target for a target."""
    return _variant(
        dataset, dataset.features, np.log(dataset.raw_targets), "logarithm of the target"
    )


def with_condition_number(dataset: RegressionData, condition: float) -> RegressionData:
    """With the features' singular values brought together, or apart, to a condition number.

    Each is raised to the same power, and all are scaled so that their squares keep their sum.
    `condition` is that of `X'X`, the ratio of its largest to its smallest eigenvalue.
    """
    u, values, v = np.linalg.svd(dataset.features, full_matrices=False)
    relative = values / values[0]
    power = np.log(condition) / (-2 * np.log(relative[-1]))
    changed = relative**power
    changed *= np.sqrt(np.sum(values**2) / np.sum(changed**2))
    return _variant(
        dataset, (u * changed) @ v, dataset.raw_targets, f"condition number {condition:g}"
    )


def _variant(dataset, features, raw_targets, what):
    targets = standardized(raw_targets)
    # Of what it is made, not of its last bits, which a machine's linear algebra decides.
    fingerprint = hashlib.sha256(f"{dataset.fingerprint}; {what}".encode()).hexdigest()
    return dataclasses.replace(
        dataset,
        features=features,
        targets=targets,
        raw_targets=raw_targets,
        fingerprint=fingerprint,
        description=f"{dataset.description}; {what}",
    )
