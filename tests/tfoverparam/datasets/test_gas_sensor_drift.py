"""The gas sensor data: the text format line by line, and the builder on what people have."""

import gzip
from pathlib import Path
import zipfile

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")

import tensorflow_datasets as tfds  # noqa: E402

from tfoverparam.datasets.gas_sensor_drift import (  # noqa: E402
    gas_sensor_drift_dataset_builder as module,
)
from tfoverparam.datasets.gas_sensor_drift.text_format import (  # noqa: E402
    MalformedLineError,
    parse,
)

DATA = Path(__file__).parents[2] / "data"


def line(gas=1, concentration="10.000000", change=None):
    fields = [f"{index}:{gas}.{index:03}" for index in range(1, 129)]
    for index, field in (change or {}).items():
        fields[index - 1] = field
    return " ".join([f"{gas};{concentration}", *filter(None, fields)])


def test_a_line_is_read_to_the_last_digit():
    text = line() + " \r\n\n" + line(gas=6, concentration="2.5", change={128: "128:-1e-3"}) + "\n"
    first, second = parse(text, "example.dat")
    assert first[:2] == ("ethanol", 10.0) and second[:2] == ("toluene", 2.5)
    assert first[2] == [float(f"1.{index:03}") for index in range(1, 129)]
    assert second[2][-1] == -0.001


@pytest.mark.parametrize(
    "bad, reason",
    [
        ("x", "it should start with gas;concentration, not 'x'"),
        (line(gas=7), "the gas should be 1 to 6, not '7'"),
        (line(gas="1.0"), "the gas should be 1 to 6, not '1.0'"),
        (line(concentration="ten"), "the concentration should be a finite number, not 'ten'"),
        (line(concentration="nan"), "the concentration should be a finite number, not 'nan'"),
        (line(concentration="-5"), "the concentration should be positive, not '-5'"),
        (line(change={128: None}), "there should be 128 features, not 127"),
        (line() + " 129:1", "there should be 128 features, not 129"),
        (line(change={5: "4:1"}), "feature 5 should be 5:value, not '4:1'"),
        (line(change={5: "5"}), "feature 5 should be a finite number, not ''"),
        (line(change={5: "5:"}), "feature 5 should be a finite number, not ''"),
        (line(change={5: "5:inf"}), "feature 5 should be a finite number, not 'inf'"),
        (line(change={5: "5:1,5"}), "feature 5 should be a finite number, not '1,5'"),
        (line()[:40], "there should be 128 features, not"),
    ],
)
def test_a_malformed_line_is_refused_with_its_place(bad, reason):
    with pytest.raises(MalformedLineError) as caught:
        list(parse(f"{line()}\n{bad}\n", "batch3.dat"))
    assert str(caught.value).startswith(f"batch3.dat, line 2: {reason}")


@pytest.fixture
def few(monkeypatch):
    """Two measurements of ethanol and one of acetone are all there is."""
    counts = dict.fromkeys(module.GASES, 0) | {"ethanol": 2, "acetone": 1}
    monkeypatch.setattr(module, "COUNTS", counts)
    return {"batch1.dat": line() + "\n" + line(gas=5) + "\n", "batch10.dat": line() + "\n"}


def load(tmp_path, config, files):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name, content in files.items():
        (manual / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    builder = tfds.builder(f"gas_sensor_drift/{config}", data_dir=tmp_path)
    builder.download_and_prepare()
    return tfds.as_numpy(builder.as_dataset(split="train", batch_size=-1))


def archive(tmp_path, files):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(f"Dataset/{name}", content)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["files", "archive"])
def test_batches_and_the_archive_give_the_same(kind, few, tmp_path):
    found = load(tmp_path, "all", few if kind == "files" else {"uci.zip": archive(tmp_path, few)})
    assert found["sensors"].shape == (3, 128) and found["sensors"].dtype == np.float64
    assert sorted(zip(found["batch"], found["gas"])) == [(1, 0), (1, 4), (10, 0)]
    assert found["concentration"].tolist() == [10.0] * 3


def test_a_single_file_of_one_gas_is_enough_for_it(few, tmp_path):
    last = "100000.123456"  # needs more digits than float32 has
    text = f"{line()}\n{line(concentration=last, change={128: f'128:{last}'})}\n"
    found = load(tmp_path, "ethanol", {"ethanol.dat": text})
    assert sorted(found["concentration"]) == [10.0, float(last)]
    assert sorted(found["sensors"][:, -1]) == [1.128, float(last)]
    assert found["gas"].tolist() == [0, 0] and found["batch"].tolist() == [0, 0]


@pytest.mark.parametrize("config", ["ethanol", "all"])
def test_missing_measurements_are_an_error(config, few, tmp_path):
    del few["batch10.dat"]
    with pytest.raises(ValueError, match="should hold 2 measurements of ethanol, not 1"):
        load(tmp_path, config, few)


def test_a_malformed_file_is_an_error(few, tmp_path):
    few["batch10.dat"] = line()[:-20]
    with pytest.raises(MalformedLineError, match="batch10.dat, line 1"):
        load(tmp_path, "ethanol", few)


def test_a_damaged_archive_is_an_error(few, tmp_path):
    damaged = archive(tmp_path, few)[:-30]
    with pytest.raises(ValueError, match="uci.zip is no archive, or is damaged"):
        load(tmp_path, "ethanol", {"uci.zip": damaged})


def test_a_folder_without_data_is_an_error(few, tmp_path):
    with pytest.raises(FileNotFoundError, match="No .zip and no .dat file"):
        load(tmp_path, "ethanol", {"notes.txt": "nothing"})


def test_real_batches_are_read_whole():
    for name, rows, ethanol in (("batch4.dat", 161, 64), ("batch5.dat", 197, 28)):
        with gzip.open(f"{DATA / name}.gz", "rt") as file:
            gases = [gas for gas, *_ in parse(file.read(), name)]
        assert len(gases) == rows and gases.count("ethanol") == ethanol
