"""The configuration of `reproduce.robustness`, and the runs that it asks for."""

import dataclasses

from reproduce import linear_networks
from reproduce.harness import config
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run
from reproduce.speedups import problems


@dataclasses.dataclass(frozen=True)
class Config:
    """See configs/robustness.yaml."""

    steps: int
    stddev: float
    rates: list[float]
    selection_seeds: list[int]
    depths: list[int]
    deeper: int
    powers: list[int]
    problems: list[str]
    condition_numbers: list[float]
    conditioned_power: int
    tasks: list[str]
    refinement: int
    level: float
    tasks_seeds: int
    smoke_steps: int

    def __post_init__(self):
        names = ("steps", "stddev", "rates", "depths", "deeper", "condition_numbers")
        more = ("refinement", "level", "tasks_seeds", "smoke_steps")
        config.check_positive(self, (*names, *more))
        for name in ("depths", "problems", "powers", "rates", "selection_seeds", "tasks"):
            config.check_distinct(name, getattr(self, name))
        for p in (*self.powers, self.conditioned_power):
            for depth in (*self.depths, self.deeper):  # `Run` refuses what is no run.
                linear_networks.Run(p, depth, 1.0, min(self.selection_seeds))
        if not {1, 2, 3} <= set(self.depths):
            raise ConfigError(
                f"`depths` must have 1, 2 and 3, which are compared. Received: {self.depths}"
            )
        for name, known in (("problems", problems.VARIANTS), ("tasks", problems.TASKS)):
            unknown = set(getattr(self, name)) - set(known)
            if unknown:
                raise ConfigError(
                    f"`{name}` must be of {', '.join(known)}. Received: {', '.join(unknown)}"
                )


def plan(settings, arms, seeds, data_dir):
    """The runs of the arms, a list: a run for each loss on each problem.

    Args:
        settings: A `Config`. `arms`: of "variants" and "tasks".
        seeds: That measure. `data_dir`: the user's folder of data, or None.
    """
    makers = {
        "variants": lambda: _of_variants(settings, seeds),
        "tasks": lambda: _of_tasks(settings, seeds, data_dir),
    }
    return [run for arm, of in makers.items() if arm in arms for run in of()]


def _of_variants(settings, seeds):
    """A run for each loss on each variant of the full data."""
    for problem in settings.problems:
        for p in settings.powers:
            deeper = [settings.deeper] if problem == "full" else []
            depths = [*settings.depths, *deeper]
            yield _run(settings, f"{problem} l{p}", seeds, problem=problem, p=p, depths=depths)
    for condition in settings.condition_numbers:
        p = settings.conditioned_power
        yield _run(
            settings,
            f"condition_{condition:.0e} l{p}",
            seeds,
            problem=problems.CONDITIONED,
            condition_number=condition,
            p=p,
            depths=list(settings.depths),
        )


def _of_tasks(settings, seeds, data_dir):
    """A run for each loss on each task that is to be had, the rates refined."""
    for task in settings.tasks:
        if not problems.is_there(task, data_dir):
            continue
        for p in settings.powers:
            yield _run(
                settings,
                f"task {task} l{p}",
                seeds[: settings.tasks_seeds],
                problem=task,
                p=p,
                depths=list(settings.depths),
                refinement=settings.refinement,
                level=settings.level,
            )


def _run(settings, name, seeds, condition_number=None, **more):
    """Of all seeds and depths: the choice of the rates, and the measurement at them."""
    shared = ("steps", "stddev", "rates", "selection_seeds")
    values = {each: getattr(settings, each) for each in shared}
    values |= {"seeds": list(seeds), "condition_number": condition_number, **more}
    return Run("all", 0, values, name)
