"""The families of `keras.applications`, without pretrained weights, for small images."""

import functools

import keras
import numpy as np

from tests.tfoverparam.zoo.registry import entry

# Name, size of the images, arguments of the constructor, and the entry's own.
FAMILIES = [
    ("ConvNeXtTiny", 32, {}, {}),
    ("DenseNet121", 32, {}, {}),
    ("EfficientNetB0", 32, {}, {}),
    ("EfficientNetV2B0", 32, {}, {}),
    ("InceptionV3", 75, {}, {}),
    ("MobileNet", 32, {}, {}),
    ("MobileNetV2", 32, {"alpha": 0.35}, {"share_of_all": 94.0}),
    ("MobileNetV3Small", 32, {}, {}),
    ("NASNetLarge", 32, {}, {"is_converted": False}),
    ("NASNetMobile", 32, {}, {"share_of_all": 93.2}),
    ("ResNet50V2", 32, {}, {}),
    ("VGG16", 32, {"include_top": False, "pooling": "avg"}, {}),
    ("Xception", 71, {}, {}),
]


def application(name, size, arguments):
    keras.utils.set_random_seed(0)
    if arguments.get("include_top", True):
        arguments = {"classes": 5, "classifier_activation": None, **arguments}
    model = getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, **arguments
    )
    return model, np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")


for _name, _size, _arguments, _more in FAMILIES:
    entry(_name, "keras.applications", 1.0, **_more)(
        functools.partial(application, _name, _size, _arguments)
    )
