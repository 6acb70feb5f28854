"""Do factors, or the rule, reach the plain network's loss sooner, each tuned as hard?

The target is the loss that the plain, tuned network has after three quarters of its steps, the
median over its seeds. A ratio is how many times sooner a run gets there than the plain network's
median run does; 0 where it never does. Plain runs with other seeds say which ratios come by chance.
"""

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

    Without those where the plain network has not been.
    """
    found: dict = {}
    for workload, of_workload in by_setting(records, "workload").items():
        for optimizer, group in by_setting(of_workload, "optimizer").items():
            plain = select(group, method=PLAIN)
            runs = select(plain, phase=MEASUREMENT)
            if not runs:
                continue
            noise = select(plain, phase=NOISE)
            found[workload, optimizer] = {
                method: Comparison(of_method, runs, noise)
                for method, of_method in by_setting(group, "method").items()
                if select(of_method, phase=MEASUREMENT)
            }
    return found


class Comparison:
    """A method's runs at its best rate, beside those of the plain network at its own.

    Args:
        records: All of the method with an optimizer on a workload.
        plain: Those of the plain network that measure it. `noise`: more, with other seeds.
    """

    def __init__(self, records, plain, noise):
        self.selection = select(records, phase=SELECTION)
        self.runs = select(records, phase=MEASUREMENT)
        self.plain = plain
        self.noise = noise
        self.settings = self.runs[0].settings
        self.kinds = [kind for kind in (VALIDATION, TRAINING) if kind in plain[0].curves]

    def sooner(self, kind):
        """How many times sooner each run is at the target: an array, 0 for never."""
        return sooner(self.runs, self.plain, kind)

    def chance(self, kind):
        """The ratio that halves of the plain runs differ by, seldom more; None: not enough."""
        return chance([*self.plain, *self.noise], kind) if self.noise else None

    def is_effect(self, kind, factor=1.0):
        """1 for an effect, -1 for one to the contrary, 0 for none; None where it is not known.

        Args:
            factor: Of the ratios: seconds a step of the plain network by those of this one.
        """
        floor, ratio = self.chance(kind), factor * float(np.median(self.sooner(kind)))
        if floor is None:
            return None
        return int(ratio > floor) - int(ratio < 1 / floor)

    def ends(self):
        """The last losses by which rates are compared."""
        return np.array([end(record) for record in self.runs])


def target(plain, kind):
    """The loss after three quarters of the steps, median over the plain runs."""
    step = PART * plain[0].settings["steps"]
    return float(np.median([value_at(_curve(record, kind), step) for record in plain]))


def sooner(runs, plain, kind):
    """How many times sooner each of `runs` is at the target than the median of `plain`."""
    level = target(plain, kind)
    reference = np.median([iterations_to(_curve(record, kind), level) for record in plain])
    return np.array([reference / iterations_to(_curve(record, kind), level) for record in runs])


def _curve(record, kind):
    """A curve of a record; one that says nothing of a run that diverged before its first point."""
    return record.curves.get(kind) or [[0, math.inf]]


def chance(plain, kind):
    """What the medians of two halves of plain runs differ by, in 95 % of all ways to halve them.

    At least what the two sets do that were set apart beforehand.
    """
    count = len(plain) // 2
    ratios = []
    for chosen in itertools.combinations(range(len(plain)), count):
        half = [plain[n] for n in chosen]
        others = [plain[n] for n in range(len(plain)) if n not in chosen]
        ratio = float(np.median(sooner(half, others, kind)))
        ratios.append(max(ratio, 1 / ratio) if ratio else math.inf)
    # The first way is the one that was set apart.
    return max(ratios[0], float(np.quantile(ratios, CHANCE, method="nearest")))


def seconds_a_step():
    """From workload, optimizer and method to seconds, measured apart; empty where they are not."""
    if not SECONDS.exists():
        return {}
    return json.loads(SECONDS.read_text(encoding="utf-8"))["seconds"]


def cost(settings):
    """Seconds a step of the plain network by those of a method, or None where not measured."""
    of_optimizer = seconds_a_step().get(settings["workload"], {}).get(settings["optimizer"], {})
    method = settings["method"]
    if PLAIN not in of_optimizer or method not in of_optimizer:
        return None
    return of_optimizer[PLAIN] / of_optimizer[method]


def main_kind(comparison):
    """The name of the curve that is compared first of all."""
    return selected_by(comparison.plain[0])


def _reaches_sooner(found, optimizer, method):
    """In steps, and against the clock, on all workloads but the anchor."""
    compared = {
        workload: methods[method]
        for (workload, of), methods in found.items()
        if of == optimizer and method in methods and methods[method].noise and workload != ANCHOR
    }
    for unit in ("steps", "seconds"):
        factors = {
            name: 1.0 if unit == "steps" else cost(each.settings) for name, each in compared.items()
        }
        if not compared or None in factors.values():
            continue
        effects, said = [], []
        for name, each in compared.items():
            kind, factor = main_kind(each), factors[name]
            effects.append(each.is_effect(kind, factor))
            ratios = factor * each.sooner(kind)
            said.append(f"{name} {_band(ratios)}, by chance up to {each.chance(kind):.2f}")
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


def _band(ratios):
    low, middle, high = np.min(ratios), np.median(ratios), np.max(ratios)
    return "never" if not middle else f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _depth_helps_on_the_anchor(found):
    methods = found.get((ANCHOR, "sgd"), {})
    if "factors" in methods and methods["factors"].noise:
        each = methods["factors"]
        yield judge(
            "On Ethanol with p = 4 depth 2 accelerates, as in `robustness`, with momentum too",
            SOURCE,
            "more times sooner than comes by chance",
            f"{_band(each.sooner(TRAINING))} times, by chance up to {each.chance(TRAINING):.2f} "
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
    """From title to rows: how far it is, the comparison, and what chance does."""
    found = measured(records)
    return {
        "How far it is: methods measured of those asked for": _progress(found),
        "Times sooner than the plain network, median and range over the seeds (0: never)": [
            _row(workload, optimizer, method, comparison)
            for (workload, optimizer), methods in found.items()
            for method, comparison in sorted(methods.items(), key=_order)
        ],
    }


def _order(item):
    return planning.METHODS.index(item[0])


def _progress(found):
    """A method is measured once it has as many runs as the plain network."""
    rows = []
    for workload in planning.MODULES:
        row, is_complete = {"workload": workload}, True
        for optimizer in planning.OPTIMIZERS:
            wanted = planning.OF_MUON if optimizer == "muon" else planning.BASIC
            methods = found.get((workload, optimizer), {})
            done = [
                name
                for name in wanted
                if name in methods and len(methods[name].runs) >= len(methods[name].plain)
            ]
            row[optimizer] = f"{len(done)} of {len(wanted)}"
            is_complete = is_complete and len(done) == len(wanted)
        row["complete"] = "yes" if is_complete else "no"
        rows.append(row)
    return rows


def _row(workload, optimizer, method, each):
    ends, factor = each.ends(), cost(each.settings)
    main = main_kind(each)
    row = {"workload": workload, "optimizer": optimizer, "method": method}
    row["rate"] = f"{each.settings['learning_rate']:g}"
    floor = each.chance(main)
    for kind, name in ((VALIDATION, "validation loss"), (TRAINING, "training loss")):
        row[f"steps to {name}"] = _band(each.sooner(kind)) if kind in each.kinds else ""
    row["seconds"] = "" if factor is None else _band(factor * each.sooner(main))
    row["by chance"] = "" if floor is None else f"{floor:.2f}"
    row["effect"] = {None: "", 1: "sooner", -1: "later", 0: "none"}[each.is_effect(main)]
    if method == PLAIN:
        row["effect"] = ""
    row["last loss"] = f"{np.median(ends):.4g} ({ends.min():.4g} to {ends.max():.4g})"
    errors = [record.results.get("test_error") for record in each.runs]
    row["test error, %"] = "" if None in errors else f"{np.median(errors):.2f}"
    lost = [r for r in (*each.selection, *each.runs) if r.results["diverged_at"] is not None]
    row["diverged"] = f"{len(lost)} of {len(each.selection) + len(each.runs)}"
    row["rates that work"] = _range(each)
    return row


def _range(each):
    """The span of rates with which the last loss is within 10 % of the best."""
    ends = {record.settings["learning_rate"]: end(record) for record in each.selection}
    good = [rate for rate, value in ends.items() if value <= 1.1 * min(ends.values())]
    return f"{min(good):g} to {max(good):g}" if good else ""
