"""Linear networks by the hundred, trained as the columns of one compiled program."""

from reproduce.linear_networks.population import Trajectory, train
from reproduce.linear_networks.program import OPTIMIZERS, Run, initial_factors, losses

__all__ = ["OPTIMIZERS", "Run", "Trajectory", "initial_factors", "losses", "train"]
