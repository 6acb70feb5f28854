"""Shared by all tests."""

import gc
import os
import pathlib
import signal

import pytest

# Before anything imports TensorFlow: its start-up messages would drown the tests' output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Under KERAS_BACKEND=jax: the references are in float64.
os.environ.setdefault("JAX_ENABLE_X64", "1")
# Tracing makes many objects that stay: to look through them so often takes a tenth of the time.
gc.set_threshold(200_000)
# On a GPU: float32 is multiplied in float32, not in TF32.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")

FILES = pathlib.Path(__file__).parents[1] / "reproduce" / "data" / "files"


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with MNIST's four original files."""
    return FILES / "mnist"


@pytest.fixture(scope="session")
def gas_sensor_dir():
    """The folder with `ethanol.dat.gz`."""
    return FILES / "gas_sensor"


@pytest.fixture
def refuses(tmp_path, monkeypatch):
    """A function of a call and parts of a message: checks that the call is refused with them.

    An error of one of the types `raises` must come within a minute. The current folder is an empty
    one; code within an input that makes a file `ran` there would be found out.
    """
    monkeypatch.chdir(tmp_path)

    def refuses(call, *says, raises=(ValueError, TypeError)):
        def hang(number, frame):
            pytest.fail("no answer within a minute")

        before = signal.signal(signal.SIGALRM, hang)
        signal.alarm(60)
        try:
            with pytest.raises(raises) as error:
                call()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        assert [part for part in says if part not in str(error.value)] == [], str(error.value)
        assert not (tmp_path / "ran").exists()
        return error.value

    return refuses
