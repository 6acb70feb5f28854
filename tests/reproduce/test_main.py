"""The list of commands."""

import importlib.util
import os
import subprocess
import sys

from reproduce import __main__
from tests.helpers.commands import answers

EXPERIMENTS = [
    each for each in __main__.COMMANDS if each not in ("reproduce.data", "reproduce.report")
]


def test_every_command_is_listed_with_what_it_does(capsys):
    __main__.main()
    out = capsys.readouterr().out
    for module in __main__.COMMANDS:
        assert importlib.util.find_spec(module)
        assert f"python -m {module} " in out
    assert "Figure 5 (right)" in out


def test_on_another_backend_an_experiment_ends_with_one_line():
    line = (
        "error: the experiments need TensorFlow (tfoverparam itself does not); "
        "unset KERAS_BACKEND, which is 'jax'\n"
    )
    found = answers([[module] for module in EXPERIMENTS], KERAS_BACKEND="jax")
    for module, answer in zip(EXPERIMENTS, found, strict=True):
        assert answer[:3] == (2, "", line), module


def test_the_backend_is_tensorflow_whatever_keras_configuration_file_says(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    environment.pop("KERAS_BACKEND", None)
    program = "import os, reproduce; print(os.environ['KERAS_BACKEND'])"
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert result.stdout == "tensorflow\n"
