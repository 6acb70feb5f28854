"""The configuration of Figure 5 (right), and the runs that it asks for."""

import dataclasses

from reproduce.harness import config
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run

# The graph and op seeds of the tutorial's log; each op's stream is a function of the pair.
TUTORIAL_GRAPH_SEED = 87654321
TUTORIAL_SEED = 66478
NETWORKS = ("original", "overparameterized")
TAGS = ("train/loss", "train/cross_entropy", "train/l2_term")  # in TensorBoard


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
    l2_on: str  # "kernel" (of a factorized layer: the product), "first_factor", "every_factor"


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
                raise ConfigError(f"`{name}` must lie in [0, 1). Received: {getattr(self, name)}")
        for name, value in (("half_window", self.half_window), ("l2", self.l2)):
            if value < 0:
                raise ConfigError(f"`{name}` must not be negative. Received: {value}")


def plan(settings, arms, seeds, tutorial_seeds=False):
    """The runs of `arms`: a list of `harness.records.Run`."""
    runs = []
    names = {field.name for field in dataclasses.fields(Training)}
    shared = {name: value for name, value in vars(settings).items() if name in names}
    shared |= {"network": "tutorial", "l2_on": "kernel", "tutorial_seeds": tutorial_seeds}
    shared |= {"factor_stddev": settings.stddev}

    def add(arm, series, depth, **changes):
        for seed in seeds:
            training = Training(**{**shared, "depth": depth, "seed": seed, **changes})
            runs.append(Run(series, seed, {**dataclasses.asdict(training), "arm": arm}))

    depths = dict(zip(NETWORKS, (1, settings.depth)))
    alternative, second = settings.alternative, settings.second_network
    shorter = {"steps": min(alternative.steps, settings.steps)}
    for arm in arms:
        if arm in depths:
            add(arm, arm + " tutorial-seeds" * tutorial_seeds, depths[arm])
        elif arm in ("l2_on_first_factor", "l2_on_every_factor"):
            add(arm, arm, settings.depth, l2_on=arm.removeprefix("l2_on_"))
        elif arm == "alternative_stddevs":
            for stddev in alternative.factor_stddevs:
                series = f"overparameterized factor-std={stddev:g}"
                add(arm, series, settings.depth, factor_stddev=stddev, **shorter)
        for network, depth in depths.items():
            if arm == "no_l2":
                add(arm, f"no_l2 {network}", depth, l2=0.0)
            elif arm == "second_network":
                steps = min(second.steps, settings.steps)
                changes = {"network": "batch_normalized", "steps": steps, "l2": second.l2}
                add(arm, f"second_network {network}", depth, **changes)
            elif arm == "alternative_rates":
                for rate in alternative.learning_rates:
                    for stddev in alternative.stddevs:
                        changes = {"stddev": stddev, "factor_stddev": stddev, **shorter}
                        series = f"{network} lr={rate:g} std={stddev:g}"
                        add(arm, series, depth, learning_rate=rate, **changes)
    return runs
