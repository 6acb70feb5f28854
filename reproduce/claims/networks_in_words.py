"""What the comparisons of `networks` say, in plain words: every number is from the records."""

import math

import numpy as np

from reproduce.claims.comparison import (
    CHANCE,
    VALIDATION,
    cost,
    machines,
    seconds_of,
    steps_to,
    target,
)
from reproduce.claims.measures import (
    ENDED,
    SECONDS,
    STEPS,
    TESTED,
    TRAINED,
    TRAINED_SECONDS,
    WORKLOADS,
    in_a_word,
    name_of,
    network_of,
    optimizer_of,
)
from reproduce.claims.networks import NAMES, OPTIMIZERS, is_compared
from reproduce.harness.curves import rounded
from reproduce.workloads.planning import MOVED_BY_MUON, PLAIN, end

PENALIZED = "tutorial_convnet"
TITLE = "Is it the rate? The plain network's last loss by that of the method"
TERMS = (
    "**What is compared.** Plain is the network as it is. With factors, each kernel is a product "
    "of two matrices, or of so many as the depth. With the rule, kernels stay as they are and move "
    "as the end-to-end rule of that depth has it; with grafting, in its direction, by steps as "
    "long as the optimizer's own. The target is the validation loss that the plain network has "
    "after three quarters of its steps. Each method has its own rate, selected by the validation "
    "loss, also where other losses are compared. Sooner, later, lower and higher are said of what "
    "is more than plain runs differ by among themselves; undecided, where some of these never get "
    "to the target; never, where most runs of a method do not."
)


def paragraphs(found):
    """What is measured so far, where something is, of what `networks.is_compared`.

    Args:
        found: What `comparison.measured` returns.
    """
    found = {
        of: methods
        for of, methods in found.items()
        if is_compared(*of) and methods[PLAIN].has_noise
    }
    if not _pairs(found):
        return []
    parts = (
        _in_short,
        *map(_method, NAMES),
        _by_chance,
        _rate,
        _penalty,
        _grafting,
        _better_optimizer,
        _muon,
        _not_tried,
        _advice,
    )
    return [TERMS, *(said for part in parts if (said := part(found)))]


def _pairs(found, of=None):
    """The comparisons with the plain network; only those of a method, or of an optimizer."""
    return [
        comparison
        for methods in found.values()
        for method, comparison in methods.items()
        if method != PLAIN and of in (None, method, comparison.settings["optimizer"])
    ]


def _in_short(found):
    """How often there is an effect, over all networks and methods, and by optimizer."""
    pairs = _pairs(found)
    timed = _timed(pairs)
    by_clock = f"{sum(SECONDS.effect(each) == 1 for each in timed)} of {len(timed)}"
    items = [
        f"{name}, {len(compared)} comparisons: {_steps_and_test(compared)}."
        for optimizer, name in OPTIMIZERS.items()
        if (compared := _pairs(found, optimizer))
    ]
    return _listed(
        f"**In short**, of {len(pairs)} comparisons, each of a network, an optimizer and a method: "
        f"{_steps_and_test(pairs)}. By the clock sooner on {by_clock}. By optimizer:",
        items,
    )


def _steps_and_test(pairs):
    tested = [each for each in pairs if each.has_test]
    test = f"; the test loss {TESTED.counted(tested)}" if tested else ""
    return f"to the target {STEPS.counted(pairs)}{test}"


def _timed(pairs):
    """Those whose seconds are measured."""
    return [each for each in pairs if cost(each.settings)]


def _method(method):
    """On which networks and with which optimizers it has an effect."""

    def said(found):
        compared = _pairs(found, method)
        if not compared:
            return ""
        items = [f"to the target: {STEPS.by_effect(compared)}"]
        if timed := _timed(compared):
            longer = sorted(1 / cost(each.settings)[0] for each in timed)
            least_to_most = dict.fromkeys(f"{each:.2f}" for each in (longer[0], longer[-1]))
            sooner = [each for each in timed if SECONDS.effect(each) == 1]
            items.append(
                f"by the clock: sooner on {SECONDS.by_network(sooner) or 'none'}; a step takes "
                f"{' to '.join(least_to_most)} times as long"
            )
        items.append(f"last validation loss: {ENDED.by_effect(compared)}")
        if tested := [each for each in compared if each.has_test]:
            items.append(f"last test loss: {TESTED.by_effect(tested)}")
        items.append(f"to the plain network's training loss: {TRAINED.by_effect(compared)}")
        name = NAMES[method]
        return _listed(f"**{name[0].upper()}{name[1:]}**, how many times sooner or lower:", items)

    return said


def _listed(head, items):
    """A paragraph and a list below it; nothing where the list is empty."""
    return "\n".join([head, "", *(f"- {item}" for item in items)]) if items else ""


def rates(found):
    """Rows: the gain at the lowest rate of both, at the plain network's, and each at its own.

    The last is of medians over all seeds, the others are of the seed that rates are selected with.
    """
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
                    "each at its own": rounded(float(np.median(comparison.lower()))),
                }
            )
    return rows


def _ends_by_rate(comparison):
    return {record.settings["learning_rate"]: end(record) for record in comparison.selection}


def _by_chance(found):
    pairs = _pairs(found)
    cliffs = [name_of(each) for each in pairs if _is_at_a_cliff(each)]
    said = (
        f"**By chance alone** up to some {(1 - CHANCE) * len(pairs):.1f} of {len(pairs)} "
        "comparisons would be called an effect, and those that share their plain runs together. "
        "What a rate between those that were tried would give, to the plain network as well, is "
        "not in what is called chance."
    )
    if cliffs:
        said += (
            f" The next larger rate than the best diverges for {', '.join(cliffs)}: these may have "
            "a better one before."
        )
    return said


def _is_at_a_cliff(comparison):
    ends = _ends_by_rate(comparison)
    above = [rate for rate in ends if rate > comparison.settings["learning_rate"]]
    return bool(above) and math.isinf(ends[min(above)])


def _rate(found):
    rows = rates(found)
    parts = []
    for is_lower, head in (
        (True, "the last validation loss is lower with the method"),
        (False, "it is not lower"),
    ):
        alike = [row for row in rows if (row["there"] > 1) == is_lower]
        if alike:
            there, own = (
                np.median([row[name] for row in alike]) for name in ("there", "each at its own")
            )
            parts.append(
                f"{head} in {len(alike)}, of which the ratio is {there:.2f} there and {own:.2f} "
                f"with each at its own ({_most(alike, is_lower)})"
            )
    return (
        f"**Is it the rate?** At the lowest rate that both were tried with, {'; '.join(parts)}. "
        "Ratios are the plain network's loss by the method's, medians."
        if parts
        else ""
    )


def _most(rows, is_lower):
    """The row with the most there, or at its own."""
    row = max(rows, key=lambda row: row["there" if is_lower else "each at its own"])
    return (
        f"the most for {NAMES[row['method']]} on {WORKLOADS[row['workload']]} with "
        f"{in_a_word(row['optimizer'])}: "
        f"{row['there']:.2f} there, {row['each at its own']:.2f} at their own"
    )


def _penalty(found):
    """Of the one network that is there with a penalty and without."""
    parts = []
    for (workload, optimizer), methods in found.items():
        others = found.get((f"{workload}_no_l2", optimizer), {})
        if workload == PENALIZED and "factors" in methods and "factors" in others:
            with_it, without = methods["factors"], others["factors"]
            measures = [("training loss", TRAINED), ("validation loss", STEPS)]
            measures += [("last test loss", TESTED)] if with_it.has_test else []
            said = [
                f"{name} {of.words(with_it)} with the penalty, {of.words(without)} without"
                for name, of in measures
            ]
            parts.append(f"{OPTIMIZERS[optimizer]}: {'; '.join(said)}.")
    return _listed(
        "**Is it the penalty?** How many times sooner the tutorial's ConvNet is with factors at "
        "the training loss, of which the penalty is a part, and at the validation loss, and how "
        "many times lower its test loss:",
        parts,
    )


def _grafting(found):
    """Where the rule is sooner, whether it still is; where it is not, whether it then is."""
    both = [
        (methods["rule"], methods["grafted_rule"])
        for methods in found.values()
        if "rule" in methods and "grafted_rule" in methods
    ]
    if not both:
        return ""
    gains = [(rule, grafted) for rule, grafted in both if STEPS.effect(rule) == 1]
    listed = [
        f"{network_of(rule)} with {optimizer_of(rule)} ({STEPS.number(rule)} without, "
        f"{STEPS.words(grafted)} with it)"
        for rule, grafted in gains
    ]
    new = [g for rule, g in both if STEPS.effect(rule) != 1 and STEPS.effect(g) == 1]
    return (
        f"**Does grafting remove the rule's gain?** The rule is sooner in {len(gains)} of "
        f"{len(both)} comparisons{': ' if gains else ''}{', '.join(listed)}. Where it is not, "
        f"grafting is sooner on {STEPS.by_network(new) or 'none'}."
    )


def _better_optimizer(found):
    """How soon plain networks with other optimizers are at the target of SGD's, and where they end.

    For each optimizer, the plain network and the method that ends lowest.
    """
    parts = []
    for workload, name in WORKLOADS.items():
        of = {optimizer: methods for (of, optimizer), methods in found.items() if of == workload}
        if len(of) < 2:
            continue
        said = []
        if "sgd" in of:
            said = [
                _at_the_target(of["sgd"][PLAIN], of[other][PLAIN]) for other in of if other != "sgd"
            ]
            said = [f"at the target of plain SGD {' and '.join(said)}"]
        ends = []
        for methods in of.values():
            ends.append((PLAIN, methods[PLAIN]))
            others = [(n, each) for n, each in methods.items() if n != PLAIN]
            if others:
                ends.append(min(others, key=lambda pair: np.median(pair[1].ends())))
        listed = sorted(
            (
                float(np.median(each.ends())),
                f"{optimizer_of(each)} {_short(method)}{_duration(each)}",
            )
            for method, each in ends
        )
        said.append(f"last losses {', '.join(f'{loss:.3g} {what}' for loss, what in listed)}")
        parts.append(f"{name[0].upper()}{name[1:]}: {'; '.join(said)}.")
    return _listed(
        "**Or another optimizer?** How soon plain networks with another are at SGD's target; and "
        "the last validation losses, of plain networks and of each optimizer's best method:",
        parts,
    )


def _short(method):
    return NAMES.get(method, method).removeprefix("the ")


def _at_the_target(reference, other):
    """As in "plain Adam 2.10 times sooner in steps, 1.90 by the clock"."""
    level = target(reference.plain, VALIDATION)
    ours, theirs = (
        float(np.median(steps_to(level, each.plain, VALIDATION))) for each in (reference, other)
    )
    if theirs == math.inf:
        return f"plain {optimizer_of(other)} never is"
    said = f"plain {optimizer_of(other)} is {ours / theirs:.2f} times sooner in steps"
    both = [seconds_of(each.settings) for each in (reference, other)]
    if None not in both:
        said += f", {ours / theirs * both[0][1] / both[1][1]:.2f} by the clock"
    return said


def _duration(comparison):
    seconds = seconds_of(comparison.settings)
    return f" in {comparison.settings['steps'] * seconds[1]:.3g} s" if seconds else ""


def _muon(found):
    if not any(optimizer == "muon" for _, optimizer in found):
        return ""
    moved = ", ".join(
        f"{count} of {WORKLOADS[name]}"
        for name, count in MOVED_BY_MUON.items()
        if name in WORKLOADS
    )
    return (
        "**What is Muon?** Keras's trains the kernels of rank 2 but the last one, and Adam all "
        f"else. It trains {moved}. Where it trains none it is Adam: that is in the tables, and "
        "not counted again here."
    )


def _not_tried(found):
    steps = {
        network_of(methods[PLAIN]): methods[PLAIN].settings["steps"] for methods in found.values()
    }
    listed = ", ".join(f"{count} of {name}" for name, count in steps.items())
    return (
        f"**Not tried:** longer training than these steps: {listed}. Nor a k x k convolution as "
        "one of 1 x 1, one of k x k and one of 1 x 1, which our factors cannot express: they are "
        "of the (k k inputs, outputs) matrix, and one on the inputs alone, the same at each of the "
        "k k places, is none of them."
    )


def _advice(found):
    pairs = _timed(_pairs(found))
    if not pairs:
        return ""
    worth, trained = (
        [f"{name_of(each)} ({of.number(each)} times)" for each in pairs if of.effect(each) == 1]
        for of in (SECONDS, TRAINED_SECONDS)
    )
    of = (
        f"Of {len(pairs)} comparisons by the clock, on networks of this size "
        f"({' or '.join(machines())}),"
    )
    if worth:
        said = (
            f"{of} it paid for {', '.join(worth)}, nowhere else: try it where your network is like "
            "these, and tune the rate of both."
        )
    else:
        said = (
            f"where time counts, leave the network as it is, and try another optimizer first. {of} "
            "none was sooner at the validation loss. What is sooner in steps, or ends lower, is "
            "for those who study it, or whose steps cost so much that the optimizer's do not "
            "matter."
        )
    sooner = f" The training loss is there sooner by the clock for {', '.join(trained)}."
    return f"**Our advice:** {said}{sooner if trained else ''}"
