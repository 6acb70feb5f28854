"""Models turned into factorised twins and back: the same function, and all else kept."""

import os
import pathlib
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tfoverparam import (
    EndToEnd,
    FactorizedConv2D,
    FactorizedDense,
    collapse,
    initializers,
    overparameterize,
)
from tfoverparam.conversion import _random_batch, _relative_gap
from tfoverparam.layer_tree import walk

# With --import-mode=importlib a test finds no module next to it by its name.
ZOO = {}
exec((pathlib.Path(__file__).parent / "zoo.py").read_text(), ZOO)
