"""The configuration, and which runs come next, given those that have ended.

The rates of a method are selected with one seed: five, then their neighbor for as long as the best
is at an edge, then, where the workload has it so, some between the best and one that diverges. The
best is then trained with other seeds.
"""

import dataclasses
import math

from reproduce.harness import config
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run
from reproduce.workloads import MODULES

SELECTION, MEASUREMENT, NOISE = "selection", "measurement", "noise"
OPTIMIZERS = ("sgd", "adamw", "muon")
PLAIN = "plain"
BASIC = (PLAIN, "factors", "rule", "grafted_rule")
METHODS = (*BASIC, "factors_3", "rule_3", "identity_factors")
OF_MUON = (PLAIN, "factors")
MOVED_BY_MUON = {  # kernels; Adam moves the others
    "ethanol": 1,
    "mlp": 2,
    "tutorial_convnet": 1,
    "tutorial_convnet_no_l2": 1,
    "gpt": 16,
    "residual_convnet": 0,
}
RATES = [float(f"{digit}e{power}") for power in range(-7, 3) for digit in (1, 2, 5)]


@dataclasses.dataclass(frozen=True)
class Scale:
    """A workload's size, and how its rates are selected.

    Attributes:
        halvings: How often the interval between the best rate and one that diverges is halved.
        sgd, adamw, muon: The middle one of the first rates.
    """

    name: str
    steps: int
    batch_size: int
    validation_size: int
    halvings: int
    sgd: float
    adamw: float
    muon: float

    def __post_init__(self):
        config.check_positive(self, ("steps", "batch_size", *OPTIMIZERS))
        if self.halvings < 0:
            raise ConfigError(f"`halvings` must be >= 0. Received: {self.halvings}")
        if self.name not in MODULES:
            raise ConfigError(
                f"A workload's `name` must be of {', '.join(MODULES)}. Received: {self.name}"
            )
        for optimizer in OPTIMIZERS:
            if getattr(self, optimizer) not in RATES:
                raise ConfigError(
                    f"`{optimizer}` must be 1, 2 or 5 times a power of 10 from 1e-7 to 100. "
                    f"Received: {getattr(self, optimizer)}"
                )


@dataclasses.dataclass(frozen=True)
class Config:
    """See configs/networks.yaml."""

    steps: int
    depth: int
    deeper: int
    momentum: float
    warmup: float
    points: int
    rates: int
    selection_seed: int
    noise_seeds: list[int]
    workloads: list[Scale]
    smoke_steps: int

    def __post_init__(self):
        config.check_positive(self, ("steps", "depth", "deeper", "points", "rates", "smoke_steps"))
        config.check_distinct("workloads", [scale.name for scale in self.workloads])
        config.check_distinct("noise_seeds", self.noise_seeds)
        for name in ("momentum", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must lie in [0, 1). Received: {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class Group:
    """A method with an optimizer on a workload: what is tuned.

    Attributes:
        scale: The `Scale` of the workload.
        config: The `Config`.
        seeds: With which the best rate is measured.
    """

    scale: Scale
    optimizer: str
    method: str
    config: Config = dataclasses.field(repr=False)
    seeds: tuple[int, ...] = ()

    def run(self, rate, seed):
        """A `Run`; the role of its seed is a part of its settings."""
        config, scale = self.config, self.scale
        phase = MEASUREMENT
        if seed == config.selection_seed:
            phase = SELECTION
        elif seed in config.noise_seeds:
            phase = NOISE
        depth = config.deeper if self.method.endswith("_3") else config.depth
        settings = {
            "workload": scale.name,
            "optimizer": self.optimizer,
            "method": self.method,
            "depth": 1 if self.method == PLAIN else depth,
            "learning_rate": rate,
            "phase": phase,
            "seed": seed,
            "steps": min(scale.steps, config.steps),
            "batch_size": scale.batch_size,
            "validation_size": scale.validation_size,
            "momentum": config.momentum,
            "warmup": config.warmup,
            "points": config.points,
        }
        return Run(f"{self.optimizer} {self.method} lr={rate:g}", seed, settings, scale.name)

    def later_seeds(self):
        """The seeds with which the best rate is trained: measured, and for plain runs the noise."""
        seeds = [seed for seed in self.seeds if seed != self.config.selection_seed]
        noise = self.config.noise_seeds if self.method == PLAIN else []
        return list(dict.fromkeys([*seeds, *noise]))

    def first_rates(self):
        """So many as are configured, about the middle one."""
        middle = RATES.index(getattr(self.scale, self.optimizer))
        first = max(0, middle - self.config.rates // 2)
        return RATES[first : first + self.config.rates]

    def known(self, ends):
        """The runs that are known to be needed.

        Args:
            ends: From the names of the runs that have ended to what the rate is selected by.
        """
        rates, halvings = self.first_rates(), self.scale.halvings
        while True:
            selection = {rate: self.run(rate, self.config.selection_seed) for rate in rates}
            runs = list(selection.values())
            if any(run.name not in ends for run in runs):
                return runs
            losses = [ends[run.name] for run in runs]
            at = losses.index(min(losses))
            best, beyond = rates[at], neighbor(rates, rates[at])
            if beyond is not None:
                rates = sorted([*rates, beyond])
            elif halvings and losses[at] < math.inf and math.inf in losses[at + 1 : at + 2]:
                halvings -= 1
                rates = sorted({*rates, *between(rates[at : at + 2])})
            else:
                return runs + [self.run(best, seed) for seed in self.later_seeds()]

    def expected(self):
        """As many runs as `known` comes to where no best rate is at an edge, and none diverges."""
        rates = self.first_rates()
        middle = rates[len(rates) // 2]
        selection = [self.run(rate, self.config.selection_seed) for rate in rates]
        return selection + [self.run(middle, seed) for seed in self.later_seeds()]

    def possible(self):
        """Every run that `known` can come to."""
        seeds = [self.config.selection_seed, *self.later_seeds()]
        rates = RATES
        for _ in range(self.scale.halvings):
            rates = sorted({*rates, *between(rates)})
        return [self.run(rate, seed) for rate in rates for seed in seeds]


def neighbor(rates, best):
    """The next rate to try, beyond the edge that the best is at; None if it is at none.

    A single rate has no edges.
    """
    if len(rates) == 1:
        return None
    for edge, step in ((rates[0], -1), (rates[-1], 1)):
        beyond = RATES.index(edge) + step
        if best == edge and 0 <= beyond < len(RATES) and RATES[beyond] not in rates:
            return RATES[beyond]
    return None


def between(rates):
    """Halfway between each rate and the next, on a scale of logarithms, in two digits."""
    return [float(f"{math.sqrt(low * high):.1e}") for low, high in zip(rates, rates[1:])]


def groups(config, workloads, optimizers, methods, seeds):
    """What is asked for, in the order in which it is done: one workload after the other."""
    return [
        Group(scale, optimizer, method, config, tuple(seeds))
        for scale in config.workloads
        if scale.name in workloads
        for optimizer in optimizers
        for method in methods
        if optimizer != "muon" or method in OF_MUON
    ]


def ends(records):
    """From name to the loss by which rates are compared: infinite where a run diverged.

    It is the validation loss after the last step, or where nothing is held out the training loss.
    """
    return {record.name: end(record) for record in records}


def end(record):
    """See `ends`."""
    if record.results["diverged_at"] is not None:
        return math.inf
    return record.curves[selected_by(record)][-1][1]


def selected_by(record):
    """The name of the curve by whose end the rate is selected."""
    return "validation_loss" if record.settings["validation_size"] else "training_loss"
