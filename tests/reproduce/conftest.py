"""Shared by the tests of the experiments."""

import importlib
import re
import urllib.error
import urllib.request

import pytest

ERROR_LINE = re.compile(r"(python -m [\w.]+: )?error: ")


@pytest.fixture
def command_refuses(refuses, tmp_path, monkeypatch, capsys):
    """A function of a module, its command's arguments and parts of a message.

    Checks that the command ends with status 2 and one line of stderr with these parts, in an empty
    folder, with no other data on the machine, and without a network.
    """

    def no_network(*arguments, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFDS_DATA_DIR", "")

    def command_refuses(module, arguments, *says):
        def call():
            raise SystemExit(importlib.import_module(module).main([str(a) for a in arguments]))

        error = refuses(call, raises=SystemExit)
        printed = capsys.readouterr().err
        line = printed.strip().split("\n")[-1]
        assert error.code == 2 and ERROR_LINE.match(line) and "Traceback" not in printed, printed
        assert [part for part in says if part not in line] == [], line

    return command_refuses
