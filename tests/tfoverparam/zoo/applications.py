"""The families of `keras.applications`, without pretrained weights, for small images."""

import functools

import keras
import numpy as np

from tests.tfoverparam.zoo.registry import entry

# Name, size of the images, share of the parameters of kernels, and of the constructor's arguments.
FAMILIES = [
    ("ConvNeXtTiny", 32, 0.98, {}),
    ("DenseNet121", 32, 1.0, {}),
    ("EfficientNetB0", 32, 0.95, {}),
    ("EfficientNetV2B0", 32, 0.95, {}),
    ("InceptionV3", 75, 1.0, {}),
    ("MobileNet", 32, 0.95, {}),
    ("MobileNetV2", 32, 0.93, {"alpha": 0.35}),
    ("MobileNetV3Small", 32, 0.95, {}),
    ("NASNetMobile", 32, 0.93, {}),
    ("ResNet50V2", 32, 1.0, {}),
    ("VGG16", 32, 1.0, {"include_top": False, "pooling": "avg"}),
    ("Xception", 71, 0.95, {}),
]


def application(name, size, arguments):
    keras.utils.set_random_seed(0)
    if arguments.get("include_top", True):
        arguments = {**arguments, "classes": 5, "classifier_activation": None}
    model = getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, **arguments
    )
    return model, np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")


for _name, _size, _share, _arguments in FAMILIES:
    entry(_name, "keras.applications", _share, is_quick=_name == "MobileNetV2")(
        functools.partial(application, _name, _size, _arguments)
    )
