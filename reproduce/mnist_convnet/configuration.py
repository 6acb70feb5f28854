"""The configuration of the figure, and all that the numbers of one of its runs depend on."""

import dataclasses

from reproduce.harness import config
from reproduce.harness.errors import ConfigError

# The graph and op seeds of the tutorial's log; each op's stream is a function of the pair.
TUTORIAL_GRAPH_SEED = 87654321
TUTORIAL_SEED = 66478


@dataclasses.dataclass(frozen=True)
class Training:
    """Everything that the numbers of one training run depend on, the data apart."""

    network: str  # "tutorial" or "batch_normalized"
    depth: int  # factors per dense layer; 1 = the original network
    seed: int
    tutorial_seeds: bool  # initial values and dropout masks of the tutorial's published log
    steps: int
    batch_size: int
    validation_size: int
    learning_rate: float
    decay_rate: float  # factor per epoch of `decay_examples`
    decay_examples: int
    momentum: float
    stddev: float  # of the truncated normal that every kernel is drawn from
    factor_stddev: float  # the same for the factors of the dense layers
    dropout: float
    l2: float  # penalty l2 * sum(w**2) / 2
    l2_on: str  # "kernel" (of a factorised layer: the product), "first_factor", "every_factor"


@dataclasses.dataclass(frozen=True)
class Alternative:
    steps: int
    learning_rates: list[float]
    stddevs: list[float]
    factor_stddevs: list[float]


@dataclasses.dataclass(frozen=True)
class SecondNetwork:
    steps: int
    l2: float


@dataclasses.dataclass(frozen=True)
class Config:
    """The knobs of this figure; configs/figure5_right.yaml explains each."""

    depth: int
    steps: int
    batch_size: int
    validation_size: int
    learning_rate: float
    decay_rate: float
    decay_examples: int
    momentum: float
    stddev: float
    dropout: float
    l2: float
    half_window: int
    alternative: Alternative
    second_network: SecondNetwork
    smoke_steps: int

    def __post_init__(self):
        sizes = ("depth", "steps", "batch_size", "validation_size", "decay_examples", "smoke_steps")
        config.check_positive(self, (*sizes, "learning_rate", "decay_rate", "stddev"))
        config.check_positive(self.alternative, ("steps", "learning_rates", "stddevs"))
        config.check_positive(self.second_network, ("steps",))
        config.check_positive(self.alternative, ("factor_stddevs",))
        for name in ("dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"`{name}` must lie in [0, 1). Received: {getattr(self, name)}"
                )
        for name, value in (("half_window", self.half_window), ("l2", self.l2)):
            if value < 0:
                raise ConfigError(f"`{name}` must not be negative. Received: {value}")
