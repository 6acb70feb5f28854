"""What the comparisons of `networks` say, in plain words: every number is from the records."""

import numpy as np

from reproduce.claims.networks import ANCHOR, NAMES, OPTIMIZERS, cost, main_kind
from reproduce.harness.curves import rounded
from reproduce.workloads.planning import PLAIN, end

PENALIZED = "tutorial_convnet"
TITLE = "Is it the rate? The plain network's last loss by that of the method, of one seed"


def paragraphs(found):
    """What is measured so far, where something is; of all workloads but the anchor.

    Args:
        found: What `networks.measured` returns.
    """
    found = {
        (workload, optimizer): methods
        for (workload, optimizer), methods in found.items()
        if workload != ANCHOR and methods[PLAIN].noise
    }
    if all(len(methods) < 2 for methods in found.values()):
        return []
    said = [_where(found, optimizer) for optimizer in OPTIMIZERS]
    parts = (_rate, _penalty, _grafting, _better_optimizer, _advice)
    return [each for each in (*said, *(part(found) for part in parts)) if each]


def rates(found):
    """Rows: the gain at the lowest rate of both, at the plain network's, and each at its own."""
    rows = []
    for (workload, optimizer), methods in found.items():
        plain = _ends_by_rate(methods[PLAIN])
        for method, comparison in methods.items():
            ends = _ends_by_rate(comparison)
            both = sorted(rate for rate in plain if np.isfinite(ends.get(rate, np.inf)))
            if method == PLAIN or not both:
                continue
            best = min(plain, key=plain.get)
            rows.append(
                {
                    "workload": workload,
                    "optimizer": optimizer,
                    "method": method,
                    "lowest rate of both": f"{both[0]:g}",
                    "there": rounded(plain[both[0]] / ends[both[0]]),
                    "rate of the plain network": f"{best:g}",
                    "there, too": rounded(plain[best] / ends[best]) if best in both else None,
                    "each at its own": rounded(plain[best] / min(ends.values())),
                }
            )
    return rows


def _ends_by_rate(comparison):
    return {record.settings["learning_rate"]: end(record) for record in comparison.selection}


def _where(found, optimizer):
    """On which workloads each method is sooner, in steps and by the clock."""
    sentences = []
    for method, name in NAMES.items():
        compared = {
            workload: methods[method]
            for (workload, of), methods in found.items()
            if of == optimizer and method in methods
        }
        if not compared:
            continue
        effects = {workload: _effect(each) for workload, each in compared.items()}
        parts = [
            f"{word} on {_listed(compared, [w for w in compared if effects[w] == sign])}"
            for word, sign in (("sooner", 1), ("no sooner", 0), ("later", -1))
            if sign in effects.values()
        ]
        costs = {workload: cost(each.settings) for workload, each in compared.items()}
        if None not in costs.values():
            by_clock = [w for w in compared if _effect(compared[w], costs[w]) == 1]
            parts.append(f"by the clock sooner on {', '.join(by_clock) or 'none'}")
        verb = "are" if name.startswith("factors") else "is"
        sentences.append(f"{name[0].upper()}{name[1:]} {verb} {'; '.join(parts)}.")
    if not sentences:
        return ""
    return f"**{OPTIMIZERS[optimizer]}**, in steps to the target: {' '.join(sentences)}"


def _effect(comparison, factor=1.0):
    return comparison.is_effect(main_kind(comparison), factor)


def _ratio(comparison):
    return float(np.median(comparison.sooner(main_kind(comparison))))


def _listed(compared, workloads):
    ratios = {workload: _ratio(compared[workload]) for workload in workloads}
    return ", ".join(f"{w} ({f'{x:.2f} times' if x else 'never there'})" for w, x in ratios.items())


def _rate(found):
    parts = [
        f"{row['workload']}, {OPTIMIZERS[row['optimizer']]}: {row['there']:.2f} at "
        f"{row['lowest rate of both']}, {row['each at its own']:.2f} with each at its own"
        for row in rates(found)
        if row["method"] == "factors"
    ]
    if not parts:
        return ""
    return (
        "**Is it the rate?** The plain network's last loss by that with factors, of one seed, at "
        f"the lowest rate that both were tried with, and at the best: {'; '.join(parts)}."
    )


def _penalty(found):
    """Of the one network that is there with a penalty and without."""
    parts = []
    for (workload, optimizer), methods in found.items():
        others = found.get((f"{workload}_no_l2", optimizer), {})
        if workload == PENALIZED and "factors" in methods and "factors" in others:
            parts.append(
                f"with {OPTIMIZERS[optimizer]} factors are "
                f"{_ratio(methods['factors']):.2f} times as soon with the penalty and "
                f"{_ratio(others['factors']):.2f} times without"
            )
    if not parts:
        return ""
    return f"**Is it the penalty?** On the tutorial's ConvNet, {'; '.join(parts)}."


def _grafting(found):
    parts = [
        f"{workload}, {OPTIMIZERS[optimizer]}: {_ratio(methods['grafted_rule']):.2f} times as soon "
        f"with it, {_ratio(methods['rule']):.2f} without"
        for (workload, optimizer), methods in found.items()
        if "rule" in methods and "grafted_rule" in methods
    ]
    return f"**Does grafting remove it?** {'; '.join(parts)}." if parts else ""


def _better_optimizer(found):
    """The last losses of each network with all methods of SGD, and plain with the others."""
    parts = []
    for workload in dict.fromkeys(workload for workload, _ in found):
        optimizers = [of for name, of in found if name == workload]
        if len(optimizers) > 1:
            ends = sorted(
                (float(np.median(each.ends())), f"{OPTIMIZERS[of]} {method.replace('_', ' ')}")
                for of in optimizers
                for method, each in found[workload, of].items()
                if of == "sgd" or method == PLAIN
            )
            parts.append(f"{workload}: {', '.join(f'{loss:.3g} {name}' for loss, name in ends)}")
    if not parts:
        return ""
    return f"**Or another optimizer?** Last validation loss, {'; '.join(parts)}."


def _advice(found):
    worth = sorted(
        {
            f"{workload} with {OPTIMIZERS[optimizer]}"
            for (workload, optimizer), methods in found.items()
            for method, each in methods.items()
            if method != PLAIN and _effect(each, cost(each.settings) or 0.0) == 1
        }
    )
    if worth:
        return (
            f"**Our advice:** by the clock it paid on {', '.join(worth)}, nowhere else: try it "
            "where your network is like these, and tune the rate of both."
        )
    return (
        "**Our advice:** where time counts, leave the network as it is: nothing was sooner by the "
        "clock, on networks of this size and two cores. What is sooner in steps is for those who "
        "study them, or whose steps cost so much that the optimizer's do not matter."
    )
