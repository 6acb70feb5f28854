"""A residual ConvNet with batch normalization on Fashion-MNIST."""

import keras
from keras import layers

from reproduce import data
from reproduce.workloads.workload import Workload

BLOCKS = ((32, 1), (64, 2), (64, 1), (64, 1))  # filters and stride


def network():
    """From (batch, 28, 28, 1) to 10 logits: 0.22 million parameters."""
    inputs = keras.Input((28, 28, 1))
    outputs = layers.ReLU()(convolution(32, 3)(inputs))
    outputs = layers.MaxPooling2D(2)(outputs)
    for filters, stride in BLOCKS:
        outputs = block(outputs, filters, stride)
    outputs = layers.GlobalAveragePooling2D()(outputs)
    return keras.Model(inputs, layers.Dense(10)(outputs))


def block(inputs, filters, stride):
    """Two convolutions beside a shortcut, which where shapes differ is a 1 x 1 convolution."""
    outputs = layers.ReLU()(convolution(filters, 3, stride)(inputs))
    outputs = convolution(filters, 3)(outputs)
    if inputs.shape != outputs.shape:
        inputs = convolution(filters, 1, stride)(inputs)
    return layers.ReLU()(layers.Add()([inputs, outputs]))


def convolution(filters, size, stride=1):
    """A convolution and its batch normalization, whose averages follow within tens of steps."""
    kernel = layers.Conv2D(
        filters, size, stride, "same", use_bias=False, kernel_initializer="he_normal"
    )
    normalization = layers.BatchNormalization(momentum=0.9)
    return lambda inputs: normalization(kernel(inputs))


RESIDUAL_CONVNET = Workload(lambda data_dir: data.load_fashion_mnist(data_dir), network)
