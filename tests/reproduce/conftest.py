"""Shared by the tests of the experiments."""

import importlib
import re
import urllib.error

import pytest

from reproduce.data import store

ERROR_LINE = re.compile(r"(python -m [\w.]+: )?error: ")


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
