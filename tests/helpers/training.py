"""A training run of the tutorial's network, for tests to vary."""

from reproduce.mnist_convnet import Training

TRAINING = Training(
    network="tutorial",
    depth=1,
    seed=0,
    tutorial_seeds=False,
    steps=3,
    batch_size=64,
    validation_size=5000,
    learning_rate=0.01,
    decay_rate=0.95,
    decay_examples=55000,
    momentum=0.9,
    stddev=0.1,
    factor_stddev=0.1,
    dropout=0.5,
    l2=5e-4,
    l2_on="kernel",
)
