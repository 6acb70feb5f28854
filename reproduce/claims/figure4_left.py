"""Figure 4 (left): does depth beat AdaGrad and AdaDelta?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import CLAIM, PARTLY, QUESTION, REMARK, judge, not_run, regression, seeds

PANEL = "fig4L_l4"
SOURCE = "Section 8, Figure 4 left"
ELSEWHERE = "the authors' blog post and talk"
COMMAND = "python -m reproduce.figure4_left --everything"
# Where the paper has the curves that this plot of it has not.
PAPERS = {"GD 1-layer": ("fig3R_l4", "1-layer"), "GD 2-layer": ("fig3R_l4", "2-layer")}
FACTOR = 100  # orders of magnitude


def verdicts(records):
    """All verdicts on this figure, from the `reproduce.harness.records.Record`s of its folder."""
    runs = regression.of_panel(records, PANEL)
    return [
        *regression.curves_met(records, PANEL, SOURCE, COMMAND),
        *(
            regression.is_faster(runs, statement, source, *pair, COMMAND, kind, PAPERS)
            for statement, source, pair, kind in (
                (
                    "Depth 3 outperforms AdaGrad",
                    SOURCE,
                    ("GD 3-layer", "AdaGrad 1-layer"),
                    CLAIM,
                ),
                (
                    "Depth 3 outperforms AdaDelta, within a million iterations",
                    SOURCE,
                    ("GD 3-layer", "AdaDelta 1-layer"),
                    CLAIM,
                ),
                (
                    "With the epsilon of TensorFlow 1, too, depth 3 beats AdaDelta",
                    "our question",
                    ("GD 3-layer", "AdaDelta 1-layer eps=1e-8"),
                    QUESTION,
                ),
                (
                    "A single scalar more, depth 2, outperforms AdaGrad",
                    ELSEWHERE,
                    ("GD 2-layer", "AdaGrad 1-layer"),
                    REMARK,
                ),
                (
                    "A single scalar more, depth 2, outperforms AdaDelta",
                    ELSEWHERE,
                    ("GD 2-layer", "AdaDelta 1-layer"),
                    REMARK,
                ),
            )
        ),
        _adagrad_is_slower(runs),
        _orders_of_magnitude(runs),
    ]


def _adagrad_is_slower(runs):
    """Against both rates that may be called the best of gradient descent."""
    statement = "AdaGrad is slower than gradient descent"
    adagrad = regression.as_stated(runs, "AdaGrad 1-layer")
    descents = regression.baselines(runs, "GD 1-layer")
    if not adagrad or not descents:
        return not_run(statement, SOURCE, COMMAND)
    theirs = regression.final(adagrad)
    slower = [theirs > end for _, end, _ in descents]
    return judge(
        statement,
        SOURCE,
        "a higher loss at the end than that of gradient descent at its best rate",
        f"AdaGrad 1-layer {theirs:.3g} at {adagrad[0].learning_rate:g}, GD 1-layer "
        + " and ".join(f"{end:.3g} {words}" for _, end, words in descents)
        + f" (medians of {seeds(adagrad)})",
        all(slower) or (PARTLY if any(slower) else False),
        paper=regression.papers_ends([(PANEL, "AdaGrad 1-layer"), PAPERS["GD 1-layer"]]),
    )


def _orders_of_magnitude(runs):
    statement = "A single scalar more, depth 2, accelerates by orders of magnitude"
    deep = regression.as_stated(runs, "GD 2-layer")
    descents = regression.baselines(runs, "GD 1-layer")
    if not deep or not descents:
        return not_run(statement, "the authors' blog post", COMMAND, REMARK)
    steps = deep[0].settings["steps"]
    ours = regression.median(deep)
    factors = [
        (curves.times_sooner(ours, curve, steps), end / regression.final(deep))
        for curve, end, _ in descents
    ]
    double, single = (paper.points(*PAPERS[name]) for name in ("GD 2-layer", "GD 1-layer"))
    end, level = single[-1]
    sooner = curves.times_sooner(double, single, end)
    lower = level / curves.value_at(double, end)
    return judge(
        statement,
        "the authors' blog post",
        f"a factor of {FACTOR} or more, in iterations or in loss",
        "depth 2 gets to where depth 1 ends "
        + " and ".join(
            f"{factor:.1f} times sooner, and ends {below:.1f} times lower (depth 1 {words})"
            for (factor, below), (*_, words) in zip(factors, descents)
        ),
        bool(np.max(factors) >= FACTOR),
        REMARK,
        f"{sooner:.1f} times sooner, {lower:.1f} times lower, at iteration {end}",
    )
