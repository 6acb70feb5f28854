"""The start of a curve, twice: as it was recorded, and as it is recomputed."""

import dataclasses

import numpy as np

ROUNDED = 5e-6  # half a unit of the six digits that are kept, of a number that begins with 1


@dataclasses.dataclass(frozen=True)
class Prefix:
    """The start of a curve, twice.

    Attributes:
        panel: That it is drawn in.
        name: Of the curve.
        iterations, committed, recomputed: Sequences of equal length. Where the recomputed curve
            has no point, because it diverged, there is infinity.
        rounding: How much rounding in another order may move each point, relative to it, as a
            curve that was recomputed with slightly different numbers has been moved. Zeros where
            the curve agrees anyway, and has been spared that.
    """

    panel: str
    name: str
    iterations: list
    committed: list
    recomputed: list
    rounding: list

    @classmethod
    def of(cls, panel, name, committed, curve):
        """From the committed points and the recomputed ones, both lists of `[iteration, value]`."""
        found = dict(map(tuple, curve))
        times, values = [t for t, _ in committed], [value for _, value in committed]
        again = [found.get(t, np.inf) for t in times]
        return cls(panel, name, times, values, again, rounding=[0.0] * len(times))

    def deviations(self):
        """Of the recomputed from the committed values, relative to these: shape (points,)."""
        return relative(self.recomputed, self.committed)

    def agrees(self):
        """Whether all digits that are kept do."""
        return bool(np.all(self.deviations() <= ROUNDED))

    def with_rounding(self, moved, margin):
        """With `margin` times what the prefixes `moved`, of nearly the same numbers, show."""
        seen = [relative(other.recomputed, self.recomputed) for other in moved]
        return dataclasses.replace(self, rounding=list(margin * np.max(seen, axis=0)))

    def without_last_point(self):
        """One point shorter."""
        names = ("iterations", "committed", "recomputed", "rounding")
        return dataclasses.replace(self, **{name: getattr(self, name)[:-1] for name in names})


def start(curve, iterations):
    """The points of a curve up to an iteration."""
    return [(t, value) for t, value in curve if t <= iterations]


def relative(values, others):
    """|values - others| / |others|; 0 where they are equal, infinity where one is infinite."""
    values, others = np.array(values, "float64"), np.array(others, "float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.where(values == others, 0.0, np.abs(values - others) / np.abs(others))
    return np.where(np.isnan(result), np.inf, result)
