"""What the comparisons of `networks` say, in plain words: every number is from the records."""

import collections
import functools

import numpy as np

from reproduce.claims.comparison import CHANCE, TRAINING, cost, machines, seconds_of
from reproduce.claims.networks import EFFECTS, NAMES, OPTIMIZERS, band, is_compared
from reproduce.harness.curves import rounded
from reproduce.workloads.planning import MOVED_BY_MUON, PLAIN, end

PENALIZED = "tutorial_convnet"
TRAINED = {1: "sooner", -1: "later"}
GRAFTED = ("it stays", "it goes", "there is none", "undecided")
TITLE = "Is it the rate? The plain network's last loss by that of the method"


def paragraphs(found):
    """What is measured so far, where something is, of what `networks.is_compared`.

    Args:
        found: What `networks.measured` returns.
    """
    found = {
        (workload, of): methods
        for optimizer in OPTIMIZERS
        for (workload, of), methods in found.items()
        if of == optimizer and is_compared(workload, of) and methods[PLAIN].has_noise
    }
    if not _pairs(found):
        return []
    said = [_where(found, optimizer) for optimizer in OPTIMIZERS]
    parts = (_by_chance, _rate, _penalty, _grafting, _better_optimizer, _muon, _not_tried, _advice)
    return [each for each in (_in_short(found), *said, *(part(found) for part in parts)) if each]


def _pairs(found):
    """The comparisons with the plain network: workload and optimizer, method, `Comparison`."""
    return [
        (f"{workload} with {OPTIMIZERS[optimizer]}", method, comparison)
        for (workload, optimizer), methods in found.items()
        for method, comparison in methods.items()
        if method != PLAIN
    ]


def _in_short(found):
    """How often each method is sooner, over all networks and optimizers."""
    sentences = []
    for method, name in NAMES.items():
        compared = [each for _, of, each in _pairs(found) if of == method]
        if not compared:
            continue
        counts = collections.Counter(map(_effect, compared))
        parts = [f"{word} in {counts[sign]}" for sign, word in EFFECTS.items() if counts[sign]]
        costs = [cost(each.settings) for each in compared]
        if None not in costs:
            by_clock = sum(_effect(each, factor) == 1 for each, factor in zip(compared, costs))
            parts.append(f"by the clock sooner in {by_clock}")
        said = f"{name} {_verb(name)} {', '.join(parts)}"
        sentences.append(f"of {len(compared)} comparisons {said}")
    return (
        "**In short**, in steps to the validation loss of the plain network, on each network and "
        f"with each optimizer: {'; '.join(sentences)}."
    )


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
        parts = [
            *_signs(compared, _effect, _sooner, EFFECTS),
            *_signs(compared, _lower, _times, {1: "ends lower", -1: "ends higher"}),
        ]
        effect, sooner = (functools.partial(each, kind=TRAINING) for each in (_effect, _sooner))
        trained = [*_signs(compared, effect, sooner, TRAINED)]
        parts += [f"at the training loss {' and '.join(trained)}"] if trained else []
        costs = {workload: cost(each.settings) for workload, each in compared.items()}
        if None not in costs.values():
            by_clock = [w for w in compared if _effect(compared[w], costs[w]) == 1]
            parts.append(f"by the clock sooner on {', '.join(by_clock) or 'none'}")
        said = f"{name} {_verb(name)} {'; '.join(parts)}."
        sentences.append(f"{said[0].upper()}{said[1:]}")
    return _listed(f"**{OPTIMIZERS[optimizer]}**, in steps to the target:", sentences)


def _listed(head, items):
    """A paragraph and a list below it; nothing where the list is empty."""
    return "\n".join([head, "", *(f"- {item}" for item in items)]) if items else ""


def _signs(compared, effect, number, words):
    """For each kind of effect, a word and the workloads that have it, with their numbers."""
    found = {workload: effect(each) for workload, each in compared.items()}
    for sign, word in words.items():
        listed = [f"{w} ({number(compared[w])})" for w in compared if found[w] == sign]
        if listed:
            yield f"{word} on {', '.join(listed)}"


def _verb(name):
    return "are" if name.startswith("factors") else "is"


def _effect(comparison, factor=(1.0, 1.0), kind=None):
    return comparison.is_effect(kind or comparison.main_kind, factor)


def _ratio(comparison, kind=None):
    return float(np.median(comparison.sooner(kind or comparison.main_kind)))


def _sooner(comparison, kind=None):
    ratio = _ratio(comparison, kind)
    return f"{ratio:.2f} times" if ratio else band(comparison.sooner(kind or comparison.main_kind))


def _lower(comparison):
    return comparison.is_lower()


def _times(comparison):
    ratio = float(np.median(comparison.lower()))
    return f"{max(ratio, 1 / ratio):.2f} times" if ratio else "diverging"


def _by_chance(found):
    count = len(_pairs(found))
    return (
        f"**By chance alone** some {(1 - CHANCE) * count:.1f} of these {count} comparisons in "
        "steps would be called an effect. What a rate between those that were tried would give, "
        "to the plain network as well, is not in what is called chance."
    )


def _rate(found):
    gone: list[tuple[float, str]] = []
    kept: list[tuple[float, str]] = []
    for row in rates(found):
        lowest, own = row["there"], row["each at its own"]
        if row["method"] in ("factors", "rule") and lowest and lowest > 1:
            said = (
                f"{NAMES[row['method']]} on {row['workload']} with {OPTIMIZERS[row['optimizer']]}, "
                f"{lowest:.2f} there and {own:.2f} at their own"
            )
            most = np.log(max(own, 1)) < np.log(lowest) / 2
            (gone if most else kept).append((lowest, said))
    if not gone and not kept:
        return ""
    parts = [
        f"{word} in {len(of)} ({'the largest: ' if len(of) > 1 else ''}{max(of)[1]})"
        for word, of in (("most of that gain is gone", gone), ("most of it stays", kept))
        if of
    ]
    return (
        "**Is it the rate?** Where factors or the rule end lower than the plain network at the "
        f"lowest rate that both were tried with ({len(gone + kept)} of the comparisons), then with "
        f"each at its own {'; '.join(parts)}."
    )


def _penalty(found):
    """Of the one network that is there with a penalty and without."""
    parts = []
    for (workload, optimizer), methods in found.items():
        others = found.get((f"{workload}_no_l2", optimizer), {})
        if workload == PENALIZED and "factors" in methods and "factors" in others:
            with_it, without = methods["factors"], others["factors"]
            parts.append(
                f"With {OPTIMIZERS[optimizer]} {_sooner(with_it, TRAINING)} with the penalty, "
                f"{_sooner(without, TRAINING)} without; to the validation loss "
                f"{_sooner(with_it)} and {_sooner(without)}."
            )
    return _listed(
        "**Is it the penalty?** How many times as soon the tutorial's ConvNet is with factors at "
        "the training loss, of which the penalty is a part:",
        parts,
    )


def _grafting(found):
    parts: dict[str, list[str]] = {word: [] for word in GRAFTED}
    for (workload, optimizer), methods in found.items():
        if "rule" in methods and "grafted_rule" in methods:
            rule, grafted = methods["rule"], methods["grafted_rule"]
            gain, left = _effect(rule), _effect(grafted)
            word = ("it stays" if left == 1 else "it goes") if gain == 1 else "there is none"
            parts["undecided" if gain is None else word].append(
                f"{workload} with {OPTIMIZERS[optimizer]} (without it {_sooner(rule)} sooner, "
                f"with it {_sooner(grafted)})"
            )
    said = "; ".join(f"{word} on {', '.join(on)}" for word, on in parts.items() if on)
    return f"**Does grafting remove the rule's gain?** By network: {said}." if said else ""


def _better_optimizer(found):
    """The last losses of each network with all methods of SGD, and plain with the others."""
    parts = []
    for workload in dict.fromkeys(workload for workload, _ in found):
        optimizers = [of for name, of in found if name == workload]
        if len(optimizers) > 1:
            ends = sorted(
                (
                    float(np.median(each.ends())),
                    f"{OPTIMIZERS[of]} {method.replace('_', ' ')}",
                    each,
                )
                for of in optimizers
                for method, each in found[workload, of].items()
                if of == "sgd" or method == PLAIN
            )
            listed = (f"{loss:.3g} {name}{_duration(each)}" for loss, name, each in ends)
            parts.append(f"{workload}: {', '.join(listed)}.")
    return _listed("**Or another optimizer?** Last validation losses:", parts)


def _duration(comparison):
    seconds = seconds_of(comparison.settings)
    return f" in {comparison.settings['steps'] * seconds[1]:.3g} s" if seconds else ""


def _muon(found):
    if not any(optimizer == "muon" for _, optimizer in found):
        return ""
    moved = ", ".join(f"{count} on {name}" for name, count in MOVED_BY_MUON.items())
    return (
        "**What is Muon?** Keras's moves kernels of rank 2 but the last one, and leaves others to "
        f"Adam. Kernels that it moves: {moved}. Where it moves none, it is Adam: that is "
        "in the tables, and not counted again here."
    )


def _not_tried(_):
    return (
        "**Not tried:** a k x k convolution as one of 1 x 1, one of k x k and one of 1 x 1. "
        "Factors are of the (k k inputs, outputs) matrix here: one on the inputs alone, the same "
        "at each of the k k places, is none of them."
    )


def _advice(found):
    pairs = [(on, method, each, cost(each.settings)) for on, method, each in _pairs(found)]
    timed = [(*pair, factor) for *pair, factor in pairs if factor]
    if not timed:
        return ""
    worth, trained = (
        [
            f"{NAMES[method]} on {on} ({factor[0] * _ratio(each, kind):.2f} times)"
            for on, method, each, factor in timed
            if _effect(each, factor, kind) == 1
        ]
        for kind in (None, TRAINING)
    )
    where = " or ".join(machines())
    of = f"Of {len(timed)} comparisons by the clock, on networks of this size ({where}),"
    sooner = f" The training loss is there sooner by the clock for {', '.join(trained)}."
    if worth:
        said = (
            f"{of} it paid for {', '.join(worth)}, nowhere else: try it where your network is like "
            "these, and tune the rate of both."
        )
    else:
        said = (
            f"where time counts, leave the network as it is. {of} none was sooner at the "
            "validation loss. What is sooner in steps is for those who study them, or whose steps "
            "cost so much that the optimizer's do not matter."
        )
    return f"**Our advice:** {said}{sooner if trained else ''}"
