"""The Ethanol regression task: concentrations from UCI's gas sensor data, standardised.

The paper does not say how it prepares the data. Its curves do: features and targets are shifted
and scaled to mean 0 and (population) variance 1, there is no intercept, and all rows are one
batch.
"""

import dataclasses
import hashlib
from pathlib import Path
import sys

import numpy as np

from reproduce.data.store import (
    Prepared,
    check_sha256,
    download,
    find_root,
    read_file,
    writable_root,
)
from reproduce.harness.errors import DataError
from reproduce.harness.messages import one_line

PREPARED = Prepared(
    "Ethanol (UCI's gas sensor data)",
    builder="gas_sensor_drift/ethanol:1.0.0",
    folder="gas_sensor_drift/ethanol/1.0.0",
    megabytes=50,
)
# SHA-256 of the 2565 rows of 128 features and the concentration, sorted, as float64.
_ROWS_SHA256 = "3edb53d9de044cac457dfe4a73d4f47a7883dfbc17c9264e80d2e8e4e26836f4"


@dataclasses.dataclass(frozen=True, eq=False)
class RegressionData:
    """A regression task, standardised.

    Attributes:
        features: float64 array of shape `(m, d)`: every column of mean 0 and variance 1.
        targets: float64 array of shape `(m,)`, of mean 0 and variance 1.
        raw_targets: The targets as they were measured, shape `(m,)`.
        source: `"real"` or `"stand-in"`.
        description: One line for the console and a figure's title.
        fingerprint: SHA-256, in hexadecimal, of the bytes of features and targets.
        location: Where the data was read from: a folder, or the name of a package.
    """

    features: np.ndarray
    targets: np.ndarray
    raw_targets: np.ndarray
    source: str
    description: str
    fingerprint: str
    location: str


def load_ethanol(data_dir: str | Path | None = None, source: str = "auto") -> RegressionData:
    """Loads the Ethanol task, or its stand-in where the data is not to be had.

    Looked for, in this order: a copy prepared by TFDS in `data_dir`; UCI's archive, its ten
    `batch*.dat` files or one `ethanol.dat` in `data_dir` or in `data_dir/downloads/manual`, from
    which TFDS then prepares its copy; the network.

    Args:
        data_dir: An existing folder. `None` means TFDS's default: `$TFDS_DATA_DIR`, or else
            `~/tensorflow_datasets`.
        source: `"real"` for the Ethanol task or an error, `"stand-in"` for scikit-learn's breast
            cancer data, `"auto"` for the first or, only where it cannot be had, the second.

    Returns:
        A `RegressionData`. The order of the rows does not depend on where they came from.

    Raises:
        DataError: If `data_dir` is not a folder, if data is there but damaged or incomplete (for
            `"auto"` too), if nothing can be written, or if `source="real"` finds no data.
        ValueError: If `source` is none of the three.
    """
    root = find_root(data_dir, source)
    if source == "stand-in":
        return _stand_in()
    if PREPARED.path(root).is_dir():
        return _read_prepared(root)
    # Importing the module makes the builder's name known to TFDS.
    from tfoverparam.datasets.gas_sensor_drift.gas_sensor_drift_dataset_builder import URL

    paths = _found_files(root)
    if paths:
        target, origin = writable_root(root, paths[0].parent), str(paths[0].parent)
        files = {path.name: read_file(path) for path in paths}
    else:
        target, origin = root, URL
        try:
            files = {"uci.zip": download(URL)}
        except ConnectionError as error:
            problem = (
                f"The gas sensor data is not in {root} and cannot be downloaded ({error}). Put "
                "UCI's archive (a .zip), its ten batch*.dat files or an ethanol.dat into "
                f"{root / 'downloads' / 'manual'}, or name the folder that holds them."
            )
            if source == "real":
                raise DataError(problem) from error
            print(f"{problem} Going on with a stand-in.", file=sys.stderr)
            return _stand_in()
    if not PREPARED.path(target).is_dir():
        remedy = "Replace it by what UCI publishes."
        where = f"{origin} ({', '.join(files)})"
        try:
            PREPARED.prepare(target, files, check=lambda folder: _rows(folder, where, remedy))
        except ValueError as error:
            raise DataError(f"{where}: {error} {remedy}") from error
    return _read_prepared(target)


def standardized(values: np.ndarray) -> np.ndarray:
    """Every column shifted and scaled to mean 0 and population standard deviation 1."""
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _found_files(root: Path) -> list[Path]:
    """The files that hold the data: ten batches, a single file of ethanol, or an archive."""
    for folder in (root, root / "downloads" / "manual"):
        batches = sorted(folder.glob("batch*.dat"))
        single = folder / "ethanol.dat"
        archives = sorted(folder.glob("*gas*sensor*.zip"))
        if len(batches) == 10:
            return batches
        if single.exists():
            return [single]
        if archives:
            return archives[:1]
        if batches:
            raise DataError(f"{folder} holds {len(batches)} of the ten batch*.dat. Add the others.")
    return []


def _read_prepared(root: Path) -> RegressionData:
    folder = PREPARED.path(root)
    rows = _rows(folder, str(folder), "Delete the folder; the next start prepares it anew.")
    return _regression_data(
        rows[:, :-1],
        rows[:, -1],
        source="real",
        description=f"Ethanol, UCI's gas sensor data ({len(rows)} rows, 128 features)",
        location=str(folder),
    )


def _rows(folder: Path, subject: str, remedy: str) -> np.ndarray:
    """Features and concentration, one row a measurement, sorted; checked to the last bit."""
    import tensorflow_datasets as tfds

    try:
        examples = tfds.builder_from_directory(folder).as_dataset(split="train", batch_size=-1)
        rows = np.column_stack([examples["sensors"].numpy(), examples["concentration"].numpy()])
    except Exception as error:  # TFDS raises as many types as there are kinds of damage.
        raise DataError(f"{subject} cannot be read: {one_line(error)}. {remedy}") from error
    rows = rows[np.lexsort(rows.T[::-1])]
    check_sha256(rows.tobytes(), _ROWS_SHA256, subject, remedy)
    return rows


def _stand_in() -> RegressionData:
    from sklearn import datasets

    found = datasets.load_breast_cancer()
    target = list(found.feature_names).index("area error")
    features = np.delete(found.data, target, axis=1)
    return _regression_data(
        features,
        found.data[:, target],
        source="stand-in",
        description=(
            "STAND-IN, not Ethanol: scikit-learn's breast cancer data, `area error` from the other "
            f"features ({features.shape[0]} rows, {features.shape[1]} features)"
        ),
        location="scikit-learn",
    )


def _regression_data(features, raw_targets, **fields) -> RegressionData:
    features, targets = standardized(features), standardized(raw_targets)
    fingerprint = hashlib.sha256(features.tobytes() + targets.tobytes()).hexdigest()
    return RegressionData(features, targets, raw_targets, fingerprint=fingerprint, **fields)
