"""Do factors, or the rule, reach the plain network's loss sooner, each tuned as hard?

The target is the loss that the plain, tuned network has after three quarters of its steps, the
median over its seeds. A ratio is how many times sooner a run gets there than the plain network's
median run does; 0 where it never does. In the same way last losses are compared. What halves of
the plain runs differ by says which ratios come by chance; rates between those that were tried are
not in it.
"""

import functools
import itertools
import json
import math
import pathlib

import numpy as np

from reproduce.claims import PARTLY, QUESTION, by_setting, judge, seeds, select
from reproduce.harness.curves import iterations_to, value_at
from reproduce.workloads import planning
from reproduce.workloads.planning import MEASUREMENT, NOISE, PLAIN, SELECTION, end, selected_by

SECONDS = pathlib.Path(__file__).parents[2] / "results" / "networks" / "seconds.json"
COMMAND = "python -m reproduce.networks"
SOURCE = "our question, of the paper's last sentence"
PART = 0.75  # of the plain network's steps: where the target is
ANCHOR = "ethanol"
CHANCE = 0.95  # of the halves of the plain runs differ by less than what is called an effect
TRAINING, VALIDATION = "training_loss", "validation_loss"
BASELINES = {  # what plain networks are to reach: a result, and the most it may be
    "tutorial_convnet": ("test_error", 1.3),
    "tutorial_convnet_no_l2": ("test_error", 1.3),
    "residual_convnet": ("test_error", 10.0),
    "gpt": ("validation_loss", 1.90),
}
EFFECTS = {1: "sooner", -1: "later", 0: "none", None: "undecided"}
ENDS = {1: "lower", -1: "higher", 0: "none", None: "undecided"}
OPTIMIZERS = {"sgd": "SGD and momentum", "adamw": "Adam", "muon": "Muon"}
NAMES = {
    "factors": "factors",
    "rule": "the rule",
    "grafted_rule": "the rule with grafting",
    "factors_3": "factors of depth 3",
    "rule_3": "the rule at depth 3",
    "identity_factors": "factors near the identity",
}


def verdicts(records):
    """All verdicts that what is measured allows."""
    found = measured(records)
    return [
        *(
            verdict
            for optimizer in planning.OPTIMIZERS
            for method in NAMES
            for verdict in _reaches_sooner(found, optimizer, method)
        ),
        *_depth_helps_on_the_anchor(found),
        *_baselines_are_good(found),
    ]


def measured(records):
    """What was measured: from (workload, optimizer) to a dict from method to `Comparison`.

    Of methods with as many seeds as the plain network, each at the best of its rates.
    """
    found: dict = {}
    for workload, of_workload in by_setting(records, "workload").items():
        for optimizer, group in by_setting(of_workload, "optimizer").items():
            methods = by_setting(group, "method")
            plain = at_best_rate(methods.pop(PLAIN, []))
            runs, noise = (select(plain, phase=phase) for phase in (MEASUREMENT, NOISE))
            if not runs:
                continue
            found[workload, optimizer] = {
                PLAIN: Comparison(select(group, method=PLAIN), runs, noise)
            }
            for method, of_method in methods.items():
                if len(select(at_best_rate(of_method), phase=MEASUREMENT)) >= len(runs):
                    found[workload, optimizer][method] = Comparison(of_method, runs, noise)
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
        records: All of the method with an optimizer on a workload.
        plain: Those of the plain network that measure it. `noise`: more, with other seeds.
    """

    def __init__(self, records, plain, noise):
        self.selection = select(records, phase=SELECTION)
        self.runs = select(at_best_rate(records), phase=MEASUREMENT)
        self.plain = [*plain, *noise]
        self.has_noise = bool(noise)
        self.settings = self.runs[0].settings
        self.kinds = [kind for kind in (VALIDATION, TRAINING) if kind in plain[0].curves]

    def sooner(self, kind):
        """How many times sooner each run is at the target: an array, 0 for never."""
        return sooner(self.runs, self.plain, kind)

    def lower(self):
        """How many times lower the last loss of each run is: an array, 0 where it diverged."""
        return lower(self.runs, self.plain)

    def chance(self, kind):
        """The ratio that halves of the plain runs differ by, seldom more; None: not enough."""
        compare = functools.partial(sooner, kind=kind)
        return chance(self.plain, compare) if self.has_noise else None

    def chance_of_lower(self):
        """The same for last losses."""
        return chance(self.plain, lower) if self.has_noise else None

    def is_effect(self, kind, cost=(1.0, 1.0)):
        """1 for an effect, -1 for one to the contrary, 0 for none; None where it is not known.

        Args:
            cost: What `cost` returns, for an effect in seconds.
        """
        return _sign(cost[0] * np.median(self.sooner(kind)), self.chance(kind), cost[1])

    def is_lower(self):
        """The same for last losses."""
        return _sign(np.median(self.lower()), self.chance_of_lower())

    def ends(self):
        """The last losses by which rates are compared."""
        return np.array([end(record) for record in self.runs])


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


def lower(runs, plain):
    """How many times lower the last loss of each of `runs` is than the median of `plain`."""
    return _ratios([end(record) for record in plain], [end(record) for record in runs])


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
    if not SECONDS.exists():
        return {}
    return json.loads(SECONDS.read_text(encoding="utf-8"))["seconds"]


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


def main_kind(comparison):
    """The name of the curve that is compared first of all."""
    return selected_by(comparison.plain[0])


def _reaches_sooner(found, optimizer, method):
    """In steps, and against the clock, on all workloads but the anchor."""
    compared = {
        workload: methods[method]
        for (workload, of), methods in found.items()
        if of == optimizer and method in methods and methods[method].has_noise
        if workload != ANCHOR
    }
    for unit in ("steps", "seconds"):
        costs = {
            name: (1.0, 1.0) if unit == "steps" else cost(each.settings)
            for name, each in compared.items()
        }
        if not compared or None in costs.values():
            continue
        effects, said = [], []
        for name, each in compared.items():
            kind, (factor, error) = main_kind(each), costs[name]
            effects.append(each.is_effect(kind, costs[name]))
            ratios, floor = factor * each.sooner(kind), error * each.chance(kind)
            said.append(f"{name} {band(ratios)}, by chance up to {floor:.2f}")
        better = [effect == 1 for effect in effects]
        reach = "reach" if method[0] == "f" else "reaches"
        yield judge(
            f"With {OPTIMIZERS[optimizer]}, {NAMES[method]} {reach} the plain network's validation "
            f"loss in fewer {unit}",
            SOURCE,
            "more times sooner than comes by chance, on each workload",
            "; ".join(said) + f" (times sooner, median and range of {seeds(each.runs)})",
            all(better) or (PARTLY if any(better) else False),
            QUESTION,
        )


def band(ratios):
    """The median and the range; if most are 0, how many are not."""
    low, middle, high = np.min(ratios), np.median(ratios), np.max(ratios)
    if math.isinf(middle):
        return "sooner than most plain runs, which never are"
    if middle:
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"
    reached = np.count_nonzero(ratios)
    return f"{reached} of {len(ratios)} runs get there" if reached else "never"


def _depth_helps_on_the_anchor(found):
    methods = found.get((ANCHOR, "sgd"), {})
    if "factors" in methods and methods["factors"].has_noise:
        each = methods["factors"]
        yield judge(
            "On Ethanol with p = 4 depth 2 accelerates, as in `robustness`, with momentum too",
            SOURCE,
            "more times sooner than comes by chance",
            f"{band(each.sooner(TRAINING))} times, by chance up to {each.chance(TRAINING):.2f} "
            f"({seeds(each.runs)}, training loss)",
            each.is_effect(TRAINING) == 1,
            QUESTION,
        )


def _baselines_are_good(found):
    for workload, (result, most) in BASELINES.items():
        plain = {
            optimizer: np.median([r.results.get(result, math.inf) for r in methods[PLAIN].runs])
            for (name, optimizer), methods in found.items()
            if name == workload
        }
        if plain:
            yield judge(
                f"The plain network is well tuned: {workload}",
                SOURCE,
                f"{result.replace('_', ' ')} of at most {most:g} with one of the optimizers",
                ", ".join(f"{OPTIMIZERS[name]} {value:.3g}" for name, value in plain.items()),
                bool(min(plain.values()) <= most),
                QUESTION,
            )


def tables(records):
    """From title to rows: how far it is, steps and seconds to the target, and last losses."""
    found = measured(records)
    compared = [
        (
            {"workload": workload, "optimizer": optimizer, "method": method}
            | {"rate": f"{comparison.settings['learning_rate']:g}"},
            comparison,
        )
        for (workload, optimizer), methods in found.items()
        for method, comparison in sorted(methods.items(), key=_order)
    ]
    return {
        "How far it is: methods measured, with all seeds, of those asked for": _progress(found),
        "Steps and seconds to the loss of the plain network, median and range over the seeds": [
            row | _of_target(each) for row, each in compared
        ],
        "Losses after the last step, median and range over the seeds": [
            row | _of_end(each) for row, each in compared
        ],
    }


def _order(item):
    return planning.METHODS.index(item[0])


def _progress(found):
    rows = []
    for workload in planning.MODULES:
        row, is_complete = {"workload": workload}, True
        for optimizer in planning.OPTIMIZERS:
            wanted = planning.OF_MUON if optimizer == "muon" else planning.BASIC
            done = [name for name in wanted if name in found.get((workload, optimizer), {})]
            row[optimizer] = f"{len(done)} of {len(wanted)}"
            is_complete = is_complete and len(done) == len(wanted)
        row["complete"] = "yes" if is_complete else "no"
        rows.append(row)
    return rows


def _of_target(each):
    main, method = main_kind(each), each.settings["method"]
    level = target(each.plain, main)
    steps = float(np.median(steps_to(level, each.runs, main)))
    seconds, factor = seconds_of(each.settings), cost(each.settings)
    row = {"target": f"{level:.4g}", "steps": f"{steps:.0f}" if steps < math.inf else "never"}
    row["times sooner"] = band(each.sooner(main))
    row["by chance"] = _number(each.chance(main))
    row["effect"] = "" if method == PLAIN else EFFECTS[each.is_effect(main)]
    row["seconds"] = row["times sooner in seconds"] = row["effect in seconds"] = ""
    if factor:
        row["seconds"] = f"{steps * seconds[1]:.3g}" if steps < math.inf else "never"
        row["times sooner in seconds"] = band(factor[0] * each.sooner(main))
        row["effect in seconds"] = "" if method == PLAIN else EFFECTS[each.is_effect(main, factor)]
    is_apart = main != TRAINING
    row["to training loss"] = band(each.sooner(TRAINING)) if is_apart else ""
    row["by chance, too"] = _number(each.chance(TRAINING)) if is_apart else ""
    return row


def _of_end(each):
    ends = each.ends()
    errors = [record.results.get("test_error") for record in each.runs]
    lost = [r for r in (*each.selection, *each.runs) if r.results["diverged_at"] is not None]
    is_plain = each.settings["method"] == PLAIN
    return {
        "last loss": f"{np.median(ends):.4g} ({ends.min():.4g} to {ends.max():.4g})",
        "times lower": band(each.lower()),
        "by chance": _number(each.chance_of_lower()),
        "effect": "" if is_plain else ENDS[each.is_lower()],
        "test error, %": "" if None in errors else f"{np.median(errors):.2f}",
        "diverged": f"{len(lost)} of {len(each.selection) + len(each.runs)}",
        "rates that work": _range(each),
    }


def _number(floor):
    return "" if floor is None else f"{floor:.2f}"


def _range(each):
    """The span of rates with which the last loss is within 10 % of the best."""
    ends = {record.settings["learning_rate"]: end(record) for record in each.selection}
    good = [rate for rate, value in ends.items() if value <= 1.1 * min(ends.values()) < math.inf]
    return f"{min(good):g} to {max(good):g}" if good else ""
