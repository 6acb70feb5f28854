"""The names in the results that are ours, not the paper's."""

import re

from reproduce import paper
from reproduce.claims import BOUND
from reproduce.claims.regression import PLATEAU

# Pattern of a name, or of a part of one; how it is printed; and what it means.
PARTS = (
    (
        r" as_stated$",
        "`1-layer as_stated`",
        "the runs at the rate that the paper's text asks for: the one that it names, or else, of "
        "its grid, that with the least distance at the end, the median over the seeds",
    ),
    (
        r" lr=[\d.e-]+",
        "`1-layer lr=0.001`",
        "the runs at this learning rate; without it, those that are laid over the paper's curve",
    ),
    (
        r" of w\d+",
        "`2-layer emulation of w100`",
        "the rule on one layer that starts from the product of the layers of width 100; the "
        "paper's own, `2-layer emulation`, has a start of its own",
    ),
    (
        r" eps=[\d.e-]+",
        "`AdaDelta 1-layer eps=1e-8`",
        "with the epsilon that was the default in TensorFlow 1, not Keras's",
    ),
    (
        r"^GD (?=[12]-layer)",
        "`GD 1-layer`, `GD 2-layer`",
        "gradient descent in the plots of Figure 4, where the paper has it for three layers only",
    ),
)
NAMES = (
    (
        "`l2`, `l4`, `l6`",
        "the loss, mean |y - t|^p over all examples for this p, without the paper's factor 1/p; "
        "rates are in its units",
    ),
    ("distance from the optimum", "the loss minus the least that any matrix has"),
    (
        "leaves the plateau",
        "the first iteration at which the distance is below {plateau:.0%} of that at W = 0: of the "
        "first and of the last of the runs to get there",
    ),
    (
        "diverged",
        "how many runs end before their last iteration, their gradient being no number of "
        "float32, and when the first does",
    ),
    (
        "RMS of log10(ours/paper)",
        "root mean square, over the digitized points of a curve, in decades: {bound} are "
        "{percent:.0%}",
    ),
)
CONVNETS = (
    ("`original lr=0.005 std=0.1`", "at this learning rate, from kernels of this std"),
    ("`overparameterized factor-std=0.01`", "from factors of this std, all else as it was"),
    ("`original tutorial-seeds`", "from the tutorial's own initial values and dropout masks"),
)
PROBLEMS = (
    ("`full`, `ethanol`", "the paper's data: Ethanol, all rows"),
    ("`no_high_leverage`", "without its three rows of the largest norm"),
    ("`log_target`", "with the logarithm of the concentration for a target"),
    ("`condition_1e+02`", "its singular values brought to this condition number of X'X"),
    (
        "`breast_cancer`, and other tasks by name",
        "scikit-learn's data and UCI's, with their sources in `reproduce/data/files/README.md`",
    ),
)


def rows():
    """A row for each name: a list of dicts from column to text."""
    from reproduce.figure5_right import Figure

    panels = [
        (f"`{name}`", f"{plot}, {name.rpartition('_')[2]} loss")
        for name, plot in paper.PLOTS.items()
        if "_l" in name
    ]
    numbers = {"plateau": PLATEAU, "bound": BOUND, "percent": 10**BOUND - 1}
    names = [(name, meaning.format(**numbers)) for name, meaning in NAMES]
    arms = [(f"`{arm}`", meaning) for arm, meaning in Figure.arms.items()]
    convnets = [(name, f"of Figure 5 (right): {meaning}") for name, meaning in (*arms, *CONVNETS)]
    parts = [(shown, meaning) for _, shown, meaning in PARTS]
    found = [*panels, *parts, *names, *convnets, *PROBLEMS]
    return [{"name": name, "meaning": meaning} for name, meaning in found]


def plain(series):
    """A series' name without the parts that are ours: one of the paper's.

    >>> plain("AdaDelta 1-layer eps=1e-8 lr=0.005")
    'AdaDelta 1-layer'
    """
    for pattern, *_ in PARTS:
        series = re.sub(pattern, "", series)
    return series
