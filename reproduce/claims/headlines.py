"""The paper at a glance: its headline claims, a line each, from the verdicts of all summaries."""

import dataclasses
import re

from reproduce.claims import FAILS, HOLDS, JUDGED, NOT_COMPARABLE, NOT_RUN, PARTLY

PREDICTION = "The speed-up by depth rises with the kurtosis"


@dataclasses.dataclass(frozen=True)
class Headline:
    """A claim, and where it is judged.

    Attributes:
        says: The claim.
        figure: The results folder. `statements`: patterns of the statements in it that belong to
            the claim, one for each statement or for several of them.
        verdict: On all of them together; with another one the words no longer fit.
        finds: What we find, in words, with `{}` for each number.
        numbers: Pattern of the first statement's `measured`, with a group for each number.
    """

    says: str
    figure: str
    statements: tuple
    verdict: str
    finds: str
    numbers: str


HEADLINES = (
    Headline(
        "Gradient flow over a deep linear network moves its end-to-end matrix by a closed rule, "
        "whatever the hidden widths (Theorem 1)",
        "theory",
        ("from a balanced start, gradient flow", "the dynamics of the end-to-end matrix"),
        HOLDS,
        "solved to ten digits, flow and rule are {} of the matrix apart",
        r"^([\d.e-]+) \(",
    ),
    Headline(
        "The rule is a preconditioner with these eigenvectors and eigenvalues (Claims 1 and 2)",
        "theory",
        ("the end-to-end update is a positive", "for a single output the update is"),
        HOLDS,
        "explicit matrices deviate by {}",
        r"eigenvectors ([\d.e-]+),",
    ),
    Headline(
        "No regularizer has the same effect: the rule is the gradient of no function (Theorem 2)",
        "theory",
        ("F is the gradient field of no function",),
        HOLDS,
        "each line integral is at least {} times the proof's bound, which is above 0",
        r"at least ([\d.]+) times",
    ),
    Headline(
        "For p > 2 depth relieves the coordinates that gradient descent leaves behind (Section 7)",
        "theory",
        (r"for p > 2 overparameterization relieves the slow coordinate$", "an ill-conditioned pr"),
        HOLDS,
        "for p = 4 depth 2 takes {} of the iterations of one layer",
        r"([\d.e-]+) \(p = 4, N = 2\)",
    ),
    Headline(
        "The rule emulates real networks (Figure 2)",
        "figure2",
        (r"l2: the rule emulates the network of depth 2, width 1$", r"l\d: the rule emulates"),
        PARTLY,
        "at depth 2, and at depth 3 with wide layers; with scalars, depth 3 starts later than the "
        "rule ({} decades at depth 2)",
        r"^([\d.]+),",
    ),
    Headline(
        "The width of the hidden layers hardly matters (Figure 2)",
        "figure2",
        (r"l2: depth 2 converges alike", r"l\d: depth \d converges alike"),
        PARTLY,
        "at depth 2 ({} decades); at depth 3 scalars start later than wide layers",
        r"^([\d.]+),",
    ),
    Headline(
        "For l2 loss depth slows optimization down, slightly (Figure 3, left)",
        "figure3",
        ("For l2 loss",),
        HOLDS,
        "the loss ends at {} with one layer, {} with two, {} with three",
        r"1-layer (\S+) .*2-layer (\S+) .*3-layer (\S+) ",
    ),
    Headline(
        "For l4 loss depth accelerates it significantly (Figure 3, right)",
        "figure3",
        ("For l4 loss",),
        HOLDS,
        "{} and {} times sooner after a million iterations; less after fewer, and only {} and {} "
        "times if one layer may use a rate that most starts do not survive",
        r"reached (\S+) and (\S+) times.*reached (\S+) and (\S+) times",
    ),
    Headline(
        "Depth 3 outperforms AdaGrad (Figure 4, left)",
        "figure4_left",
        ("Depth 3 outperforms AdaGrad",),
        HOLDS,
        "the loss ends at {} against {}",
        r"GD 3-layer (\S+) .*AdaGrad 1-layer (\S+) ",
    ),
    Headline(
        "Depth 3 outperforms AdaDelta (Figure 4, left)",
        "figure4_left",
        ("Depth 3 outperforms AdaDelta",),
        FAILS,
        "not within a million iterations: the loss ends at {} against {}",
        r"GD 3-layer (\S+) .*AdaDelta 1-layer (\S+) ",
    ),
    Headline(
        "Depth accelerates Adam too (Figure 4, right)",
        "figure4_right",
        ("Adam with depth 2", "Adam with depth 3"),
        HOLDS,
        "{} times sooner with depth 2",
        r"reached ([\d.]+) times sooner",
    ),
    Headline(
        "Depth 8 cannot start near zero; near the identity it starts at once and accelerates "
        "(Figure 5, left)",
        "figure5_left",
        ("Depth 8 from near the identity progresses", "Depth 8"),
        HOLDS,
        "near zero no run moves; near the identity they do from iteration {} on",
        r"at iteration (\d+),",
    ),
    Headline(
        "Two matrices in place of one in each dense layer accelerate the MNIST tutorial's ConvNet "
        "considerably (Figure 5, right)",
        "figure5_right",
        ("Optimization has accelerated considerably",),
        HOLDS,
        "its loss falls {} times sooner",
        r"reached ([\d.]+) times sooner",
    ),
)
MAIN_FINDING = (
    Headline(
        "",
        "figure5_right",
        ("Optimization has accelerated considerably",),
        HOLDS,
        "The main finding, of which the paper does not speak: the ConvNet's loss falls {} times "
        "sooner",
        r"reached ([\d.]+) times sooner",
    ),
    Headline(
        "",
        "figure5_right",
        ("What falls faster than the original's is the L2 term",),
        HOLDS,
        "but it is the L2 term on the product of the matrices that falls, which ends at {1} "
        "instead of {0}",
        r"original (\S+), overparameterized ([^;]+);",
    ),
    Headline(
        "",
        "figure5_right",
        ("The fit to the data",),
        FAILS,
        "not the fit to the data, whose cross-entropy ends at {1} instead of {0}",
        r"last epoch, ([^,]+), .* in the last it is (\S+) ",
    ),
)


def table(summaries):
    """A row for each headline: what the paper says, what we find, and the verdict.

    Args:
        summaries: From the name of a results folder to its summary; headlines of others are left
            out.

    Returns:
        A list of dicts from column to text.

    Raises:
        ValueError: If a summary has no such statement, another verdict or no such numbers.
    """
    known = [each for each in HEADLINES if each.figure in summaries]
    rows = [(each.says, *_found(each, summaries[each.figure])) for each in known]
    columns = ("the paper says", "we find", "verdict")
    return [dict(zip(columns, (says, finds, f"**{verdict}**"))) for says, finds, verdict in rows]


def main_finding(summaries):
    """A sentence; empty where the runs of Figure 5 (right) do not tell. Raises as `table`."""
    known = [each for each in MAIN_FINDING if each.figure in summaries]
    parts = [_found(each, summaries[each.figure])[0] for each in known]
    return f"{', '.join(parts)}." if parts and all(parts) else ""


def on_other_data(summaries):
    """A sentence on where depth helps; empty where that was not measured."""
    verdicts = summaries.get("robustness", {}).get("verdicts", [])
    for each in verdicts:
        if each["statement"].startswith(PREDICTION) and each["verdict"] in JUDGED:
            return (
                f"On which data does depth help? Our prediction, that the speed-up for p = 4 rises "
                f"with the kurtosis of the residual of least squares, {each['verdict']}: "
                f"{each['measured']}."
            )
    return ""


def _found(headline, summary):
    """What we find, and the verdict; the first empty where nothing was measured."""
    verdicts: list = []
    for pattern in headline.statements:
        found = [v for v in summary["verdicts"] if re.search(pattern, v["statement"])]
        if not found:
            raise ValueError(f"there is no statement like {pattern!r}")
        verdicts += [verdict for verdict in found if verdict not in verdicts]
    together = _together({verdict["verdict"] for verdict in verdicts})
    if together in (NOT_RUN, NOT_COMPARABLE):
        return "", together
    if together != headline.verdict:
        raise ValueError(f"{headline.finds!r} was written for {headline.verdict!r}: {together!r}")
    numbers = re.search(headline.numbers, verdicts[0]["measured"])
    if numbers is None:
        raise ValueError(f"{verdicts[0]['measured']!r} is not like {headline.numbers!r}")
    return headline.finds.format(*numbers.groups()), together


def _together(verdicts):
    """Of a set of verdicts: the common one; not run, if one is not; in part, if something holds."""
    if len(verdicts) == 1:
        return next(iter(verdicts))
    if NOT_RUN in verdicts:
        return NOT_RUN
    return PARTLY if {HOLDS, PARTLY} & verdicts else FAILS
