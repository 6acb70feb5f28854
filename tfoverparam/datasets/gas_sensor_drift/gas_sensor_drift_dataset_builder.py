"""Gas Sensor Array Drift at Different Concentrations (UCI 270)."""

import collections
import io
import re
import zipfile

import numpy as np
import tensorflow_datasets as tfds

from tfoverparam.datasets.gas_sensor_drift.text_format import GASES, SENSORS, parse

URL = (
    "https://archive.ics.uci.edu/static/public/270/"
    "gas+sensor+array+drift+dataset+at+different+concentrations.zip"
)
# Measurements of each gas in the ten batches, 13910 in all.
# The ten batches have 16 MB; what claims to be several times as much is something else.
LARGEST = 100e6  # bytes
COUNTS = dict(zip(GASES, (2565, 2926, 1641, 1936, 3009, 1833)))


class Builder(tfds.core.GeneratorBasedBuilder):
    """One configuration for each gas, and `all`.

    After `import tfoverparam.datasets.gas_sensor_drift.gas_sensor_drift_dataset_builder`,
    `tfds.load("gas_sensor_drift/ethanol")` reads what UCI publishes, or what is in the manual
    folder in its place.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""
    Optional, where {URL} cannot be downloaded: put here UCI's archive (a .zip), its ten files
    batch1.dat to batch10.dat, or a single .dat file in the same text format that holds all
    measurements of one gas.
    """
    BUILDER_CONFIGS = [
        *(
            tfds.core.BuilderConfig(name=gas, description=f"The measurements of {gas}.")
            for gas in GASES
        ),
        tfds.core.BuilderConfig(name="all", description="The measurements of all six gases."),
    ]

    def _info(self):
        # As bytes: TFRecords have no float64 numbers, and TFDS would round to float32 in silence.
        float64 = {"dtype": np.float64, "encoding": "bytes"}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "sensors": tfds.features.Tensor(shape=(SENSORS,), **float64),
                    "concentration": tfds.features.Tensor(shape=(), **float64),  # ppmv
                    "gas": tfds.features.ClassLabel(names=GASES),
                    "batch": np.int64,  # 1 to 10, in the order of time; 0 where it is not known
                }
            ),
            supervised_keys=("sensors", "concentration"),
            homepage="https://archive.ics.uci.edu/dataset/270",
        )

    def _split_generators(self, dl_manager):
        try:
            folder = dl_manager.manual_dir
        except AssertionError:  # There is none, or nothing in it.
            folder = dl_manager.download_and_extract(URL)
        return {"train": self._generate_examples(folder)}

    def _generate_examples(self, folder):
        wanted = COUNTS if self.builder_config.name == "all" else {self.builder_config.name}
        found: collections.Counter[str] = collections.Counter()
        for name, batch, text in _files(folder):
            for line, (gas, concentration, sensors) in enumerate(parse(text, name)):
                if gas in wanted:
                    found[gas] += 1
                    yield (
                        f"{name}:{line:05}",
                        {
                            "sensors": np.array(sensors),
                            "concentration": concentration,
                            "gas": gas,
                            "batch": batch,
                        },
                    )
        for gas in wanted:
            if found[gas] != COUNTS[gas]:
                raise ValueError(
                    f"{folder} should hold {COUNTS[gas]} measurements of {gas}, not {found[gas]}."
                )


def _files(folder):
    """The data files in a folder or in the archive in it: name, batch and text of each.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the archive is damaged, or has no such file in it.
    """
    archives = sorted(folder.glob("*.zip"))
    if archives:
        contents = _unpacked(archives[0])
    else:
        paths = [*folder.glob("*.dat"), *folder.glob("*/*.dat")]
        contents = {path.name: path.read_bytes() for path in paths}
    # What is no text becomes a malformed line.
    texts = {name: content.decode("utf-8", "replace") for name, content in contents.items()}
    batches = {name: re.fullmatch(r"batch(\d+)\.dat", name) for name in texts}
    if any(batches.values()):  # then whatever else there is would be there twice
        texts = {name: text for name, text in texts.items() if batches[name]}
    if not texts:
        raise FileNotFoundError(f"No .zip and no .dat file in {folder}.")
    for name in sorted(texts):
        batch = batches[name]
        yield name, int(batch[1]) if batch else 0, texts[name]


def _unpacked(path):
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".dat")]
            if sum(info.file_size for info in members) > LARGEST:
                raise ValueError(f"it holds more than {LARGEST / 1e6:.0f} MB")
            if not members:
                raise ValueError("it holds no .dat file")
            # Nothing is written: the names are of no account but for what is after the last slash.
            return {info.filename.rpartition("/")[2]: archive.read(info) for info in members}
    except Exception as error:  # Of zipfile, zlib, lzma; also where it is encrypted.
        raise ValueError(f"{path} is no archive, or is damaged: {error}.") from error
