"""For scripts of this folder: the checkout that they are part of can be imported."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
# Before anything imports TensorFlow: its start-up messages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
