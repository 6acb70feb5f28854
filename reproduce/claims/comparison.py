"""Runs of a method beside those of the plain network: how many times sooner, and how sure.

The target is the loss that the plain, tuned network has after three quarters of its steps, the
median over its seeds. A ratio is how many times sooner a run gets there than the plain network's
median run does; 0 where it never does. In the same way last losses are compared, those by which
rates are selected and those of the test set. What halves of the plain runs differ by says which
ratios come by chance; rates between those that were tried are not in it.
"""

import functools
import itertools
import json
import math
import pathlib

import numpy as np

from reproduce.claims import by_setting, select
from reproduce.harness.curves import iterations_to, value_at
from reproduce.workloads import MODULES
from reproduce.workloads.planning import (
    MEASUREMENT,
    METHODS,
    NOISE,
    OPTIMIZERS,
    PLAIN,
    SELECTION,
    end,
    selected_by,
)

SECONDS = pathlib.Path(__file__).parents[2] / "results" / "networks" / "seconds.json"
PART = 0.75  # of the plain network's steps: where the target is
CHANCE = 0.95  # of the halves of the plain runs differ by less than what is called an effect
TRAINING, VALIDATION = "training_loss", "validation_loss"


def measured(records):
    """What was measured: from (workload, optimizer) to a dict from method to `Comparison`.

    Of methods with as many seeds as the plain network, each at the best of its rates.
    """
    found: dict = {}
    of_workloads = by_setting(records, "workload")
    for workload, optimizer in itertools.product(MODULES, OPTIMIZERS):
        group = select(of_workloads.get(workload, []), optimizer=optimizer)
        methods = by_setting(group, "method")
        plain = at_best_rate(methods.get(PLAIN, []))
        runs, noise = (select(plain, phase=phase) for phase in (MEASUREMENT, NOISE))
        for method in sorted(methods, key=METHODS.index):
            selection = select(methods[method], phase=SELECTION)
            at_best = select(at_best_rate(methods[method]), phase=MEASUREMENT)
            if runs and len(at_best) >= len(runs):
                compared = found.setdefault((workload, optimizer), {})
                compared[method] = Comparison(selection, at_best, runs, noise)
    return found


def at_best_rate(records):
    """The records of a method without those of other rates than the one that is selected."""
    ends = {r.settings["learning_rate"]: end(r) for r in select(records, phase=SELECTION)}
    if not ends:
        return records
    best = min(sorted(ends), key=ends.__getitem__)
    return [record for record in records if record.settings["learning_rate"] == best]


class Comparison:
    """A method's runs at its best rate, beside those of the plain network at its own.

    Args:
        selection: The runs that its rate was selected by.
        runs: Those that measure it.
        plain: Those that measure the plain network. `noise`: more, with other seeds.
    """

    def __init__(self, selection, runs, plain, noise):
        self.selection = selection
        self.runs = runs
        self.plain = [*plain, *noise]
        self.has_noise = bool(noise)
        self.settings = runs[0].settings
        self.main_kind = selected_by(plain[0])  # The curve that is compared first of all.

    def sooner(self, kind=None):
        """How many times sooner each run is at the target: an array, 0 for never.

        Args:
            kind: Of which curve; by default `main_kind`. So for the methods below.
        """
        return sooner(self.runs, self.plain, kind or self.main_kind)

    def chance(self, kind=None):
        """The ratio that halves of the plain runs differ by, seldom more; None: not enough."""
        compare = functools.partial(sooner, kind=kind or self.main_kind)
        return chance(self.plain, compare) if self.has_noise else None

    def is_effect(self, kind=None, cost=(1.0, 1.0)):
        """1 for an effect, -1 for one to the contrary, 0 for none; None where it is not known.

        Args:
            cost: What `cost` returns, for an effect in seconds.
        """
        return _sign(cost[0] * np.median(self.sooner(kind)), self.chance(kind), cost[1])

    def lower(self, of=end):
        """How many times lower the last loss of each run is: an array, 0 where it diverged.

        Args:
            of: A function of a record to a loss: that by which rates are selected, or `test_end`.
        """
        return lower(self.runs, self.plain, of)

    def chance_of_lower(self, of=end):
        """The same as `chance`, for last losses."""
        return chance(self.plain, functools.partial(lower, of=of)) if self.has_noise else None

    def is_lower(self, of=end):
        """The same as `is_effect`, for last losses."""
        return _sign(np.median(self.lower(of)), self.chance_of_lower(of))

    def ends(self, of=end):
        """The last losses."""
        return np.array([of(record) for record in self.runs])

    @property
    def has_test(self):
        """Whether the workload has a test set."""
        return any("test_loss" in record.results for record in self.plain)


def test_end(record):
    """The last loss of the test set: infinite where a run diverged, or there is no such set."""
    return record.results.get("test_loss", math.inf)


def _sign(ratio, floor, error=1.0):
    if floor is None or math.isinf(floor):
        return None
    return int(ratio > floor * error) - int(ratio < 1 / (floor * error))


def target(plain, kind):
    """The loss after three quarters of the steps, median over the plain runs."""
    step = PART * plain[0].settings["steps"]
    return float(np.median([value_at(_curve(record, kind), step) for record in plain]))


def steps_to(level, runs, kind):
    """The steps of each run to a loss: an array, infinite for never."""
    return np.array([iterations_to(_curve(record, kind), level) for record in runs])


def sooner(runs, plain, kind):
    """How many times sooner each of `runs` is at the target than the median of `plain`."""
    level = target(plain, kind)
    return _ratios(steps_to(level, plain, kind), steps_to(level, runs, kind))


def lower(runs, plain, of=end):
    """How many times lower the last loss of each of `runs` is than the median of `plain`."""
    return _ratios([of(record) for record in plain], [of(record) for record in runs])


def _ratios(reference, values):
    """The median of the one by each of the others; 0 for what is infinite."""
    values = np.asarray(values)
    is_finite = np.isfinite(values)
    return np.where(is_finite, np.median(reference) / np.where(is_finite, values, 1.0), 0.0)


def _curve(record, kind):
    """A curve of a record; one that says nothing of a run that diverged before its first point."""
    return record.curves.get(kind) or [[0, math.inf]]


def chance(plain, compare):
    """What the medians of two halves of plain runs differ by, in 95 % of all ways to halve them.

    At least what the two sets do that were set apart beforehand, the first half and the second.

    Args:
        compare: A function of two lists of runs to ratios, an array.
    """
    count = len(plain) // 2
    ratios = []
    for chosen in itertools.combinations(range(len(plain)), count):
        half = [plain[n] for n in chosen]
        others = [plain[n] for n in range(len(plain)) if n not in chosen]
        ratio = float(np.median(compare(half, others)))
        ratios.append(max(ratio, 1 / ratio) if 0 < ratio < math.inf else math.inf)
    return max(ratios[0], float(np.quantile(ratios, CHANCE, method="nearest")))


def seconds_a_step():
    """From workload, optimizer and method to quartiles and median of seconds, measured apart.

    Empty where they are not measured.
    """
    return _timing().get("seconds", {})


def machines():
    """What seconds were measured on, for instance `["CPU, 2 cores"]`."""
    measured = _timing().get("measured", {}).values()
    return sorted({how.partition(" rounds, ")[2] for how in measured})


def _timing():
    return json.loads(SECONDS.read_text(encoding="utf-8")) if SECONDS.exists() else {}


def seconds_of(settings):
    """Three numbers for a run: first quartile, median and third; None where not measured."""
    of_workload = seconds_a_step().get(settings["workload"], {})
    return of_workload.get(settings["optimizer"], {}).get(settings["method"])


def cost(settings):
    """Seconds a step of the plain network by those of a method, and the factor it is uncertain by.

    That is what ratios of the quartiles differ from that of the medians by. None where they are
    not measured.
    """
    plain, ours = seconds_of({**settings, "method": PLAIN}), seconds_of(settings)
    if plain is None or ours is None:
        return None
    ratio = plain[1] / ours[1]
    return ratio, max(ratio * ours[2] / plain[0], plain[2] / ours[0] / ratio)
