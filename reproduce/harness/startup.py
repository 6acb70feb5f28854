"""TensorFlow, imported quietly (stub until the config branch lands)."""
import os


def import_tensorflow():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # noqa: F401
