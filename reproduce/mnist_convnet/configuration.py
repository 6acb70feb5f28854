"""Everything that the numbers of one training run depend on, the data apart."""

import dataclasses

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
