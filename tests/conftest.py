"""Shared by all tests."""

import os
import pathlib
import signal

import pytest

# Before anything imports TensorFlow: its start-up messages would drown the tests' output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Under KERAS_BACKEND=jax: the references are in float64.
os.environ.setdefault("JAX_ENABLE_X64", "1")


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with MNIST's four original files that $MNIST_DATA_DIR names."""
    folder = os.environ.get("MNIST_DATA_DIR")
    if not folder or not pathlib.Path(folder, "train-images-idx3-ubyte.gz").exists():
        pytest.skip("needs the real MNIST: set MNIST_DATA_DIR to the folder of its four files")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def gas_sensor_dir():
    """The folder with UCI's gas sensor files that $GAS_SENSOR_DATA_DIR names."""
    folder = os.environ.get("GAS_SENSOR_DATA_DIR")
    if not folder or not pathlib.Path(folder, "ethanol.dat").exists():
        pytest.skip("needs the real data: set GAS_SENSOR_DATA_DIR to the folder of ethanol.dat")
    return pathlib.Path(folder)


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
