"""TensorFlow's MNIST tutorial ConvNet, as it was and overparameterized."""

from reproduce.mnist_convnet.training import (
    TUTORIAL_SEED,
    ClassicMomentum,
    Trained,
    Training,
    build_network,
    descend,
    normalized,
    train,
    training_loop,
)

__all__ = [
    "TUTORIAL_SEED",
    "ClassicMomentum",
    "Trained",
    "Training",
    "build_network",
    "descend",
    "normalized",
    "train",
    "training_loop",
]
