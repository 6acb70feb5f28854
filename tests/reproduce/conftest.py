"""Shared by the tests of the experiments."""

import importlib
import os
import pathlib
import re
import tempfile
import urllib.error

import numpy as np
import pytest

from reproduce import data
from reproduce.data import store

ERROR_LINE = re.compile(r"(python -m [\w.]+: )?error: ")


@pytest.fixture(scope="session", autouse=True)
def tfds_data_dir(request, tmp_path_factory):
    """Where TFDS keeps its copies: `$TFDS_DATA_DIR`, or else pytest's cache.

    The first test that needs a copy has it prepared, from the files in the repository.
    """
    if "TFDS_DATA_DIR" not in os.environ:
        cache = getattr(request.config, "cache", None)
        folder = cache.mkdir("tfds") if cache else tmp_path_factory.mktemp("tfds")
        os.environ["TFDS_DATA_DIR"] = str(folder)
    return pathlib.Path(os.environ["TFDS_DATA_DIR"])


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """No test sees, or writes to, the data of whoever runs it; and none has a network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def urlopen(url, timeout):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(store.urllib.request, "urlopen", urlopen)


@pytest.fixture(scope="session")
def some_digits():
    """A data set of MNIST's kind, which takes no time."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (700, 28, 28, 1), dtype=np.uint8)
    labels = random.integers(0, 10, 700, dtype=np.int32)
    return data.Dataset(
        train_images=images[:600],
        train_labels=labels[:600],
        test_images=images[600:],
        test_labels=labels[600:],
        description="Some digits",
        fingerprint="some digits",
        location="nowhere",
    )


@pytest.fixture(scope="module")
def small_ethanol():
    """`load_ethanol` gives a smaller task, which takes a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        task = data.load_breast_cancer()
        patch.setattr(data, "load_ethanol", lambda *_: task)
        yield task


@pytest.fixture
def small_mnist(some_digits, monkeypatch):
    """`load_mnist` takes no time: the arguments of a command that go with it."""
    monkeypatch.setattr(data, "load_mnist", lambda *_: some_digits)
    return ["--quiet", "--set", "validation_size=50"]


@pytest.fixture
def no_figure_files(monkeypatch):
    """Figures are drawn, but to no file, which takes longest: for what other tests see to."""
    from matplotlib import pyplot
    from reproduce.paper import plots

    monkeypatch.setattr(plots, "save", lambda figure, *_: pyplot.close(figure))


@pytest.fixture
def no_files(tmp_path, monkeypatch):
    """A checkout without the data."""
    monkeypatch.setattr(store, "FILES", tmp_path / "no files")


@pytest.fixture
def folder(tmp_path):
    """An empty folder for data."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def command_refuses(refuses, own_home, capsys):
    """A function of a module, its command's arguments and parts of a message.

    Checks that the command ends with status 2 and one line of stderr with these parts, in an empty
    folder.
    """

    def command_refuses(module, arguments, *says):
        def call():
            raise SystemExit(importlib.import_module(module).main([str(a) for a in arguments]))

        error = refuses(call, raises=SystemExit)
        printed = capsys.readouterr().err
        line = printed.strip().split("\n")[-1]
        assert error.code == 2 and ERROR_LINE.match(line) and "Traceback" not in printed, printed
        assert [part for part in says if part not in line] == [], line

    return command_refuses
