"""The configuration of a linear regression figure, and the runs that it asks for.

A figure has panels, one a loss; a panel has series, the curves of a plot; a series is run at each
of its learning rates. The run at the rate `plotted` is the one to be laid over the paper's curve
and bears the series' name alone; the others are called `1-layer lr=0.1`.
"""

import dataclasses

from reproduce import linear_networks, paper
from reproduce.harness import config
from reproduce.harness.errors import ConfigError
from reproduce.harness.records import Run


@dataclasses.dataclass(frozen=True)
class Series:
    """A curve of the plot; see `linear_networks.Run` for what is not explained here.

    Attributes:
        name: As in the paper's plots, where it is one of theirs.
        rates: Learning rates to run; none for a flow.
        plotted: The rate, of these, of the run to be laid over the paper's curve. None: the one
            with the least final loss, as the paper's text says.
        stated: The rate, of these, that the paper's text gives; None: the best of them.
        flow: Lay over the paper's curve, instead of a run, gradient flow at this pace: its time
            is this times the iteration.
    """

    name: str
    depth: int
    rates: list[float]
    plotted: float | None = None
    stated: float | None = None
    flow: float | None = None
    width: int = 1
    optimizer: str = "sgd"
    start: str = "near_zero"
    rule: str | None = None


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot: `p` of the l_p loss, and the series."""

    name: str
    p: int
    series: list[Series]


@dataclasses.dataclass(frozen=True)
class Config:
    """A figure: iterations a run, standard deviation of the start, panels; and under --smoke."""

    steps: int
    stddev: float
    panels: list[Panel]
    smoke_steps: int

    def __post_init__(self):
        config.check_positive(self, ("steps", "stddev", "smoke_steps"))
        config.check_distinct("panels", [panel.name for panel in self.panels])
        for panel in self.panels:
            config.check_distinct(f"{panel.name}: series", [each.name for each in panel.series])
            if not any(len(paper.curve(panel.name, each.name)) for each in panel.series):
                raise ConfigError(
                    f"{panel.name}: one of its series, at least, must be a curve of the paper's "
                    "that reproduce/paper/curves.csv has. "
                    f"Received: {', '.join(each.name for each in panel.series)}"
                )
            for series in panel.series:
                config.check_positive(series, ("depth", "width", "rates"))
                for name in ("plotted", "stated"):
                    rate = getattr(series, name)
                    if rate is not None and rate not in series.rates:
                        raise ConfigError(
                            f"{panel.name}, {series.name}: `{name}` must be one of `rates`. "
                            f"Received: {rate:g}"
                        )
        plan(self, seeds=(0,))  # The engine refuses what is no run.


def plan(settings, seeds, plotted_only=False):
    """The runs of a figure, panel by panel: a list of `harness.records.Run`.

    Their settings are those of a `linear_networks.Run`, and these facts: `steps`; `curve`, the
    name in the paper's plots; `flow`, whether it is a gradient flow, at this pace as its learning
    rate; `plotted`, whether it is known beforehand to be laid over the paper's curve; `stated`,
    whether its rate is the one that the paper's text gives, None where that gives none.

    Args:
        settings: A `Config`. `seeds`: of each run.
        plotted_only: Whether to leave out all that are not `plotted`.
    """
    return [
        Run(name, seed, _settings(settings, panel, series, rate, seed, **facts), panel.name)
        for panel in settings.panels
        for series in panel.series
        for name, rate, facts in _named(series)
        if facts["plotted"] or not plotted_only
        for seed in seeds
    ]


def _named(series):
    """Each of a series' runs: its name, its learning rate, and what it is in the plot."""
    for rate in sorted(series.rates, key=lambda rate: rate == series.plotted):
        plotted = rate == series.plotted
        stated = None if series.stated is None else rate == series.stated
        name = series.name if plotted else f"{series.name} lr={rate:g}"
        yield name, rate, {"flow": False, "plotted": plotted, "stated": stated}
    if series.flow is not None:
        yield series.name, series.flow, {"flow": True, "plotted": True, "stated": None}


def _settings(settings, panel, series, rate, seed, **facts):
    run = linear_networks.Run(
        p=panel.p,
        depth=series.depth,
        learning_rate=rate,
        seed=seed,
        width=series.width,
        optimizer=series.optimizer,
        start=series.start,
        stddev=settings.stddev,
        rule=series.rule,
    )
    return {**dataclasses.asdict(run), "steps": settings.steps, "curve": series.name, **facts}
