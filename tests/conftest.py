"""Shared by all tests."""

import os
import pathlib

import pytest

# Before anything imports TensorFlow: its start-up messages would drown the tests' output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Under KERAS_BACKEND=jax: the references are in float64.
os.environ.setdefault("JAX_ENABLE_X64", "1")

FILES = pathlib.Path(__file__).parents[1] / "reproduce" / "data" / "files"


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder with MNIST's four original files."""
    return FILES / "mnist"


@pytest.fixture(scope="session")
def gas_sensor_dir():
    """The folder with `ethanol.dat.gz`."""
    return FILES / "gas_sensor"
