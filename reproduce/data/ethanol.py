"""The Ethanol regression task: concentrations from UCI's gas sensor data, standardized.

The paper does not say how it prepares the data. Its curves do: features and targets are shifted
and scaled to mean 0 and (population) variance 1, there is no intercept, and all rows are one
batch.
"""

from pathlib import Path

import numpy as np

from reproduce.data import store
from reproduce.data.prepared import ANEW, Prepared, read_copy
from reproduce.data.regression import RegressionData, regression_data
from reproduce.data.store import check_sha256, read_unpacked
from reproduce.harness.errors import DataError

# SHA-256 of the 2565 rows of 128 features and the concentration, sorted, as float64.
_ROWS_SHA256 = "3edb53d9de044cac457dfe4a73d4f47a7883dfbc17c9264e80d2e8e4e26836f4"


class _Ethanol(Prepared):
    """UCI's archive, its ten `batch*.dat` files, or one file `ethanol.dat`, packed or not."""

    def find(self, folder):
        batches = sorted(folder.glob("batch*.dat"))
        archives = sorted(folder.glob("*gas*sensor*.zip"))
        single = [p for p in (folder / "ethanol.dat", folder / "ethanol.dat.gz") if p.exists()]
        if batches and len(batches) != 10 and not single and not archives:
            raise DataError(f"{folder} holds {len(batches)} of the ten batch*.dat. Add the others.")
        paths = batches if len(batches) == 10 else single[:1] or archives[:1]
        return {path.name.removesuffix(".gz"): read_unpacked(path) for path in paths}

    def download(self):
        from tfoverparam.datasets.gas_sensor_drift.gas_sensor_drift_dataset_builder import URL

        return {"uci.zip": store.download(URL)}

    def check_copy(self, folder, subject):
        _rows(folder, subject, self.replacement)


ETHANOL = _Ethanol(
    "Ethanol (UCI's gas sensor data)",
    builder="gas_sensor_drift/ethanol:1.0.0",
    subfolders=("gas_sensor",),
    publisher="UCI",
    originals="UCI's archive (a .zip), its ten batch*.dat files or an ethanol.dat",
    examples=2565,
    seconds=2,
)


def load_ethanol(data_dir: str | Path | None = None, quiet: bool = False) -> RegressionData:
    """Loads the Ethanol task.

    Looked for, in this order: a copy prepared by TFDS in `data_dir`; UCI's archive, its ten
    `batch*.dat` files or one `ethanol.dat` (or `.dat.gz`) in `data_dir`, or in it in `gas_sensor`
    or `downloads/manual`; the file in this repository; the network. TFDS prepares its copy once, in
    its own folder.

    Args:
        data_dir: An existing folder. `None` means TFDS's own: `$TFDS_DATA_DIR`, or else
            `~/tensorflow_datasets`.
        quiet: Whether to say nothing of the preparation.

    Returns:
        A `RegressionData`. The order of the rows does not depend on where they came from.

    Raises:
        DataError: If `data_dir` is not a folder, if data is there but damaged or incomplete, or if
            nothing can be written.
    """
    # Importing the module makes the builder's name known to TFDS.
    import tfoverparam.datasets.gas_sensor_drift.gas_sensor_drift_dataset_builder  # noqa: F401

    folder = ETHANOL.locate(data_dir, quiet)
    rows = _rows(folder, str(folder), ANEW)
    return regression_data(rows[:, :-1], rows[:, -1], "Ethanol, UCI's gas sensor data", str(folder))


def _rows(folder: Path, subject: str, remedy: str) -> np.ndarray:
    """Features and concentration, one row a measurement, sorted; checked to the last bit."""
    columns = read_copy(folder, "train", ("sensors", "concentration"), subject, remedy)
    rows = np.column_stack(columns)
    rows = rows[np.lexsort(rows.T[::-1])]
    check_sha256(rows.tobytes(), _ROWS_SHA256, subject, remedy)
    return rows
