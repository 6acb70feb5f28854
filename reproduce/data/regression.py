"""Regression tasks, standardized: every column of mean 0 and (population) variance 1."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from reproduce.data.store import find_original, read_original

# Of each task: the SHA-256 of its text, and what it is called; more in files/README.md. The last
# two, whose terms are not known, are not in the repository.
_TABLE = """\
airfoil   2862a364c396273028e7d421ae3cbf619ed0fe23d9a9cb2716e7a84ef81b4067 Airfoil self-noise
autompg   366fcd4d0defea716b4d0ba64ddc53b3c7f9162945e2260bbea3c46ecc8d9bff Auto MPG
concrete  f7210967a49a2adbf6d19ac3dd853f820941ff37351562cd1a48e8521af3d80b Concrete strength
energy    2f7b51540e7300945f03a8fdcc2683ec941b21b1952bc08e8f9b37ebe833c6db Energy efficiency
forest    5e93f58feeeee7d1c8a093383de7fbd7763a2529e783d169d2dbd568a93ecb38 Forest fires
machine   9b8a1ff9269f024fa7d04b8d2ca04507152d49da3b8a0d33e718b2fdbaad2e3d Computer hardware
solar     2257aa48f6fdb8266b8d7f1b70b7bf38860873f5acd38ac63be5f7fb0f01543d Solar flare
wine      573b29b56f82ee37960b87e0125cdc4da684611eb98536f8228ba12ed16fddf4 Red wine
yacht     dc2871f60f28086c6b12738fc053647f13b29d770013baaf6d3f5806e219b3cb Yacht hydrodynamics
elevators f9c478c8660cc92453acbf652310740975afed544ca8c0e81145cec18dbc3ea9 Elevators
pol       1f4370e9c9448dc537601710d8744d3ea8f5532b93512288c27abb50120f367c Pole telecommunications
"""
TASKS = {
    name: (title, sha256)
    for name, sha256, title in (row.split(maxsplit=2) for row in _TABLE.splitlines())
}


@dataclasses.dataclass(frozen=True, eq=False)
class RegressionData:
    """A regression task, standardized.

    Attributes:
        features: float64 array of shape `(m, d)`: every column of mean 0 and variance 1.
        targets: float64 array of shape `(m,)`, of mean 0 and variance 1.
        raw_targets: The targets before they were standardized, shape `(m,)`.
        description: One line for the console and a figure's title.
        fingerprint: SHA-256, in hexadecimal, of the bytes of features and targets.
        location: Where the data was read from: a file or folder, or the name of a package.
    """

    features: np.ndarray
    targets: np.ndarray
    raw_targets: np.ndarray
    description: str
    fingerprint: str
    location: str


def standardized(values: np.ndarray) -> np.ndarray:
    """Every column shifted and scaled to mean 0 and population standard deviation 1.

    >>> import numpy as np
    >>> standardized(np.array([[1.0, 10.0], [3.0, 30.0]]))
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    return (values - values.mean(axis=0)) / values.std(axis=0)


def regression_data(features, raw_targets, name: str, location: str) -> RegressionData:
    """The task of measured features, shape `(m, d)`, and targets, shape `(m,)`."""
    features, targets = standardized(features), standardized(raw_targets)
    return RegressionData(
        features,
        targets,
        raw_targets,
        description=f"{name} ({features.shape[0]} rows, {features.shape[1]} features)",
        fingerprint=hashlib.sha256(features.tobytes() + targets.tobytes()).hexdigest(),
        location=location,
    )


def load_regression(name: str, data_dir: str | Path | None = None) -> RegressionData:
    """Loads one of the UCI regression tasks in the repository, or of two that are not in it.

    The rows are in the order of the file. Columns that are constant, of which the solar flares have
    one, are left out. Some columns depend on each other: `energy` has rank 7.

    Args:
        name: One of `TASKS`.
        data_dir: An existing folder that has, or has in `regression`, `<name>.csv.gz` or
            `<name>.csv`; "elevators" and "pol" are nowhere else. `None` means TFDS's own.

    Raises:
        DataError: If `data_dir` is not a folder, or the file is damaged or is not there.
        ValueError: If there is no task of this name.

    Example:

    >>> load_regression("yacht").description
    'Yacht hydrodynamics (308 rows, 6 features)'
    """
    if name not in TASKS:
        raise ValueError(f"`name` must be one of {', '.join(TASKS)}. Received: name={name!r}")
    title, sha256 = TASKS[name]
    content, path = read_original(data_dir, "regression", f"{name}.csv", sha256)
    rows = np.genfromtxt(content.decode().splitlines(), delimiter=",")
    features = rows[:, :-1]
    features = features[:, np.ptp(features, axis=0) > 0]
    return regression_data(features, rows[:, -1], title, str(path))


def has_regression(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether `load_regression` would find the file of a task.

    >>> has_regression("yacht"), has_regression("elevators", ".")
    (True, False)
    """
    return find_original(data_dir, "regression", f"{name}.csv") is not None


def load_breast_cancer() -> RegressionData:
    """Loads scikit-learn's breast cancer data as a regression task.

    The target is `area error`, of large kurtosis; the features are the 29 other columns.

    >>> load_breast_cancer().description
    'Breast cancer, `area error` (569 rows, 29 features)'
    """
    from sklearn import datasets

    found = datasets.load_breast_cancer()
    target = list(found.feature_names).index("area error")
    return regression_data(
        np.delete(found.data, target, axis=1),
        found.data[:, target],
        "Breast cancer, `area error`",
        "scikit-learn",
    )
