"""Do factors, or the rule, reach the plain network's loss sooner, each tuned as hard?

What is compared, and with what, is told in `reproduce.claims.comparison`.
"""

import math

import numpy as np

from reproduce.claims import OPEN, PARTLY, QUESTION, judge, seeds
from reproduce.workloads import planning
from reproduce.claims.comparison import (
    TRAINING,
    cost,
    measured,
    seconds_of,
    steps_to,
    target,
    test_end,
)
from reproduce.workloads.planning import PLAIN, end

COMMAND = "python -m reproduce.networks"
SOURCE = "our question, of the paper's last sentence"
ANCHOR = "ethanol"
BASELINES = {  # what plain networks are to reach: a result, and the most it may be
    "tutorial_convnet": ("test_error", 1.3),
    "tutorial_convnet_no_l2": ("test_error", 1.3),
    "residual_convnet": ("test_error", 10.0),
    "gpt": ("validation_loss", 1.90),
}
EFFECTS = {1: "sooner", -1: "later", 0: "no different", None: "undecided"}
MAIN = ("factors", "rule")
ANSWER = "times sooner in steps, and times lower on the test set, medians over the seeds"
UNKNOWN = "unknown"  # where some plain runs never get to the target
ENDS = {1: "lower", -1: "higher", 0: "no different", None: "undecided"}
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


def is_compared(workload, optimizer):
    """All but the anchor; and where Muon moves no kernel, it is Adam, which is compared already."""
    is_adam = optimizer == "muon" and not planning.MOVED_BY_MUON[workload]
    return workload != ANCHOR and not is_adam


def _reaches_sooner(found, optimizer, method):
    """In steps, and against the clock, on all workloads that are compared."""
    compared = {
        workload: methods[method]
        for (workload, of), methods in found.items()
        if of == optimizer and method in methods and methods[method].has_noise
        if is_compared(workload, of)
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
            factor, error = costs[name]
            effects.append(each.is_effect(cost=costs[name]))
            ratios, floor = factor * each.sooner(), error * each.chance()
            said.append(f"{name} {band(ratios)}, by chance {_up_to(floor)}")
        reach = "reach" if NAMES[method].startswith("factors") else "reaches"
        yield judge(
            f"With {OPTIMIZERS[optimizer]}, {NAMES[method]} {reach} the plain network's validation "
            f"loss in fewer {unit}",
            SOURCE,
            "more times sooner than comes by chance, on each workload",
            f"{counted(effects, EFFECTS)}: {'; '.join(said)} "
            f"(times sooner, median and range of {seeds(each.runs)})",
            _outcome(effects),
            QUESTION,
        )


def counted(effects, words):
    """How often each of `words` is said, which are keys of, as in "sooner on 1, later on 2"."""
    return ", ".join(
        f"{word} on {effects.count(sign)}" for sign, word in words.items() if sign in effects
    )


def _outcome(effects):
    """Of a statement on all workloads: it holds on each, on some, on none, or nothing is known."""
    if set(effects) == {None}:
        return OPEN
    better = [effect == 1 for effect in effects]
    return all(better) or (PARTLY if any(better) else False)


def band(ratios):
    """The median and the range; if most are 0, how many are not."""
    low, middle, high = np.min(ratios), np.median(ratios), np.max(ratios)
    if math.isinf(middle):
        return "sooner than most plain runs, which never are"
    if middle:
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"
    reached = np.count_nonzero(ratios)
    return f"{reached} of {len(ratios)} runs get there" if reached else "never"


def _up_to(floor):
    return f"up to {floor:.2f}" if floor < math.inf else UNKNOWN


def _depth_helps_on_the_anchor(found):
    methods = found.get((ANCHOR, "sgd"), {})
    if "factors" in methods and methods["factors"].has_noise:
        each = methods["factors"]
        yield judge(
            "On Ethanol with p = 4 depth 2 accelerates, as in `robustness`, with momentum too",
            SOURCE,
            "more times sooner than comes by chance",
            f"{band(each.sooner(TRAINING))} times, by chance {_up_to(each.chance(TRAINING))} "
            f"({seeds(each.runs)}, training loss)",
            each.is_effect(TRAINING) == 1,
            QUESTION,
        )


def _baselines_are_good(found):
    for workload, (result, most) in BASELINES.items():
        plain = {
            optimizer: np.median([r.results.get(result, math.inf) for r in methods[PLAIN].runs])
            for (name, optimizer), methods in found.items()
            if name == workload and is_compared(name, optimizer)
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
        for method, comparison in methods.items()
    ]
    return {
        f"Factors and the rule: {ANSWER}": _answer(found, MAIN),
        f"Other methods: {ANSWER}": _answer(found, [name for name in NAMES if name not in MAIN]),
        "How far it is: methods measured, with all seeds, of those asked for": _progress(found),
        "Steps and seconds to the loss of the plain network, median and range over the seeds": [
            row | _of_target(each) for row, each in compared
        ],
        "Losses after the last step, median and range over the seeds": [
            row | _of_end(each) for row, each in compared
        ],
    }


def _answer(found, names):
    """A row for each network and method of these names, two columns for each optimizer."""
    rows: dict = {}
    for (workload, optimizer), methods in found.items():
        for method, each in methods.items():
            if method not in names or not each.has_noise or not is_compared(workload, optimizer):
                continue
            row = rows.setdefault((workload, method), {"workload": workload, "method": method})
            steps = _said(each.sooner(), EFFECTS[each.is_effect()])
            loss = _said(each.lower(test_end), ENDS[each.is_lower(test_end)])
            row |= {OPTIMIZERS[optimizer]: steps, f"{OPTIMIZERS[optimizer]}, test loss": loss}
    columns = [name for of in OPTIMIZERS.values() for name in (of, f"{of}, test loss")]
    return [
        {name: row.get(name, "") for name in ("workload", "method", *columns)}
        for row in rows.values()
    ]


def _said(ratios, effect):
    middle = float(np.median(ratios))
    return f"{middle:.2f}, {effect}" if 0 < middle < math.inf else f"{band(ratios)}, {effect}"


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
    main, method = each.main_kind, each.settings["method"]
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
    errors = [record.results.get("test_error") for record in each.runs]
    lost = [r for r in (*each.selection, *each.runs) if r.results["diverged_at"] is not None]
    tested = ("test loss", "times lower, too", "by chance, too", "effect, too")
    return {
        **_of_losses(each, end, ("last loss", "times lower", "by chance", "effect")),
        **(_of_losses(each, test_end, tested) if each.has_test else dict.fromkeys(tested, "")),
        "test error, %": "" if None in errors else f"{np.median(errors):.2f}",
        "diverged": f"{len(lost)} of {len(each.selection) + len(each.runs)}",
        "rates that work": _range(each),
    }


def _of_losses(each, of, columns):
    """The losses of a kind, how many times lower they are, by chance, and whether it is more."""
    ends = each.ends(of)
    found = (
        f"{np.median(ends):.4g} ({ends.min():.4g} to {ends.max():.4g})",
        band(each.lower(of)),
        _number(each.chance_of_lower(of)),
        "" if each.settings["method"] == PLAIN else ENDS[each.is_lower(of)],
    )
    return dict(zip(columns, found))


def _number(floor):
    return "" if floor is None else f"{floor:.2f}" if floor < math.inf else UNKNOWN


def _range(each):
    """The span of rates with which the last loss is within 10 % of the best."""
    ends = {record.settings["learning_rate"]: end(record) for record in each.selection}
    good = [rate for rate, value in ends.items() if value <= 1.1 * min(ends.values()) < math.inf]
    return f"{min(good):g} to {max(good):g}" if good else ""
