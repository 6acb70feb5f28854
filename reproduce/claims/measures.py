"""What comparisons are said by: an effect, its number, and the names of what is compared."""

import dataclasses
import math
from typing import Callable

import numpy as np

from reproduce.claims.comparison import TRAINING, cost, test_end
from reproduce.claims.networks import EFFECTS, ENDS, NAMES, OPTIMIZERS, counted

WORKLOADS = {
    "mlp": "the MLP",
    "tutorial_convnet": "the tutorial's ConvNet",
    "tutorial_convnet_no_l2": "the ConvNet without L2",
    "gpt": "the GPT",
    "residual_convnet": "the residual ConvNet",
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """What methods are compared by.

    Attributes:
        effects: The words for an effect of each sign, and for none.
        zero: That for a median ratio of 0.
        effect, ratios: Functions of a `Comparison`: to the sign, and to a ratio for each run.
    """

    effects: dict
    zero: str
    effect: Callable
    ratios: Callable

    def words(self, each):
        """As in "1.18 (sooner)"."""
        return f"{self.number(each)} ({self.effects[self.effect(each)]})"

    def number(self, each):
        """The median ratio."""
        ratio = np.median(self.ratios(each))
        return f"{ratio:.2f}" if 0 < ratio < math.inf else self.zero if ratio == 0 else "only so"

    def by_network(self, compared):
        """As in "the MLP (SGD 1.18, Adam 1.08)"."""
        networks: dict[str, list[str]] = {}
        for each in compared:
            said = f"{optimizer_of(each)} {self.number(each)}"
            networks.setdefault(network_of(each), []).append(said)
        return " and ".join(f"{name} ({', '.join(listed)})" for name, listed in networks.items())

    def by_effect(self, compared):
        """As in "sooner on the MLP (SGD 1.18, Adam 1.08); no different on 4"."""
        parts = []
        for sign, word in self.effects.items():
            alike = [each for each in compared if self.effect(each) == sign]
            if alike:
                parts.append(f"{word} on {self.by_network(alike) if sign else len(alike)}")
        return "; ".join(parts)

    def counted(self, compared):
        """As in "sooner on 2, no different on 4"."""
        return counted([self.effect(each) for each in compared], self.effects)


STEPS = Measure(EFFECTS, "never", lambda each: each.is_effect(), lambda each: each.sooner())
SECONDS, TRAINED_SECONDS = (
    Measure(
        EFFECTS,
        "never",
        lambda each, kind=kind: each.is_effect(kind, cost(each.settings)),
        lambda each, kind=kind: cost(each.settings)[0] * each.sooner(kind),
    )
    for kind in (None, TRAINING)  # None: the curve that is compared first of all.
)
TRAINED = Measure(
    EFFECTS, "never", lambda each: each.is_effect(TRAINING), lambda each: each.sooner(TRAINING)
)
ENDED = Measure(ENDS, "diverged", lambda each: each.is_lower(), lambda each: each.lower())
TESTED = Measure(
    ENDS, "diverged", lambda each: each.is_lower(test_end), lambda each: each.lower(test_end)
)


def in_a_word(optimizer):
    """As in "SGD"."""
    return OPTIMIZERS[optimizer].partition(" ")[0]


def optimizer_of(each):
    """That of a comparison, in a word."""
    return in_a_word(each.settings["optimizer"])


def network_of(each):
    """That of a comparison, as in "the MLP"."""
    return WORKLOADS[each.settings["workload"]]


def name_of(each):
    """As in "factors on the MLP with SGD"."""
    return f"{NAMES[each.settings['method']]} on {network_of(each)} with {optimizer_of(each)}"
