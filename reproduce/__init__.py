"""The paper's experiments, rebuilt; `python -m reproduce` lists them."""

import os

# Keras puts it above its own configuration file.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
