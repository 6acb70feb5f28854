"""Shared by the tests of the experiments."""

import urllib.error

import pytest

from reproduce.data import store


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """No test sees, or writes to, the data of whoever runs it; and none has a network."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)

    def urlopen(url, timeout):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(store.urllib.request, "urlopen", urlopen)


@pytest.fixture
def folder(tmp_path):
    """An empty folder for data."""
    path = tmp_path / "data"
    path.mkdir()
    return path
