"""Figure 5 (right): does depth speed up the MNIST tutorial's ConvNet, and what of it?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import (
    BOUND,
    CURVE,
    PARTLY,
    REMARK,
    judge,
    not_run,
    seeds,
    select,
)
from reproduce.claims.convnets import (
    COMMAND,
    COMPARED_FROM,
    DEPTHS,
    ORIGINAL,
    PANEL,
    alternative_table,
    at_full_length,
    distances,
    least_l2_term,
    median_result,
    on_common_points,
    pair,
    runs_table,
    variants,
)

SOURCE = "Section 8, Figure 5 right"
CONSIDERABLY = 2  # times sooner, at least
MAGNITUDES = 100  # times, at least
PRICE = 0.05  # of the multiply-adds, at most
CONVOLUTIONS = (28**2 * 5 * 5 * 32, 14**2 * 5 * 5 * 32 * 64)  # multiply-adds an image
CONVOLUTION_WEIGHTS = 5 * 5 * 32 + 32 + 5 * 5 * 32 * 64 + 64


def verdicts(records):
    """All verdicts that concern this figure.

    Args:
        records: The `reproduce.harness.records.Record`s of one results folder.

    Returns:
        A list of `Verdict`. For runs that are missing, how to make them.
    """
    return [
        *_curves_met(records),
        *_the_papers_figure(*pair(records)),
        *variants(records),
        *_tutorial_log(records),
    ]


def tables(records):
    """For the report: from a title to its rows."""
    return {
        "Runs (medians over the seeds)": runs_table(records),
        "Alternative settings (loss after so many iterations)": alternative_table(records),
    }


def _curves_met(records):
    for arm in DEPTHS:
        statement = f"{arm} of {paper.PLOTS[PANEL]}, as plotted"
        found = list(distances(records).get(arm, {}).values())
        if not found or None in found:
            yield not_run(statement, SOURCE, f"{COMMAND} --arms {arm}", CURVE)
            continue
        rms = float(np.median(found))
        expected = f"at most {BOUND}, from iteration {COMPARED_FROM} on"
        measured = f"RMS of log10(ours/paper) {rms:.3f}, median of {seeds(found)}"
        yield judge(statement, SOURCE, expected, measured, rms <= BOUND, CURVE)


def _the_papers_figure(original, deep):
    if not at_full_length(original, deep):
        yield not_run("Optimization has accelerated considerably", SOURCE, COMMAND)
        return
    before, after = (group[0].results["parameters"] for group in (original, deep))
    added = after - before
    yield judge(
        "An addition of roughly 15 % in number of parameters",
        "Section 8",
        "262,244 added to 1,663,370",
        f"{added:,} added to {before:,}: {100 * added / before:.2f} %",
        (before, added) == (1663370, 262244),
    )
    # A weight of a dense layer is one multiply-add an image.
    work = sum(CONVOLUTIONS) + before - CONVOLUTION_WEIGHTS
    yield judge(
        "Overparameterization comes at a minimal computational price",
        "Sections 5, 8 and 9; the authors' blog post",
        f"at most {PRICE:.0%} more multiply-adds",
        f"{added / work:.1%} more in the forward pass of an image ({added:,} on {work:,})",
        added / work <= PRICE,
    )
    papers = [paper.points(PANEL, network) for network in DEPTHS]
    t, ours, theirs = on_common_points(deep, original)
    crossing = curves.crossing(t, ours, theirs)
    yield judge(
        "It starts higher and crosses the original near iteration 530",
        SOURCE,
        "450 to 650",
        f"the medians cross at iteration {_number(crossing)}",
        crossing is not None and 450 <= crossing <= 650,
        CURVE,
        f"at iteration {_number(_crossing(*papers))}",
    )
    end = theirs[-1]
    yield judge(
        "The original network ends near 1.59",
        SOURCE,
        "1.55 to 1.65",
        f"loss {end:.3f}, median of {seeds(original)}",
        1.55 <= end <= 1.65,
        CURVE,
        f"{papers[0][-1][1]:.3g} at iteration {papers[0][-1][0]}",
    )
    error = median_result(original, "test_error")
    yield judge(
        "The original network's test error is 0.8 %",
        "the tutorial's documentation",
        "0.7 to 1.1 %",
        f"{error:.2f} %, median of {seeds(original)}",
        0.7 <= error <= 1.1,
        REMARK,
    )
    yield from _speedups(original, t, ours, theirs, papers)


def _speedups(original, t, ours, theirs, papers):
    """Three readings of how much faster the overparameterized network is, ours and the paper's.

    Args:
        original: The runs of the original. `t`, `ours`, `theirs`: iterations, and the losses of the
            overparameterized and of the original network.
        papers: The paper's curves of the original and of the overparameterized network.
    """
    end, level = int(t[-1]), theirs[-1]
    reached = curves.first_at_most(t, ours, level)
    sooner, lower = end / reached if reached else 0.0, level / ours[-1]
    paper_end, paper_level = papers[0][-1]
    paper_sooner = curves.times_sooner(papers[1], papers[0], paper_end)
    paper_lower = paper_level / curves.value_at(papers[1], paper_end)
    yield judge(
        "Optimization has accelerated considerably",
        "Section 8",
        f"at least {CONSIDERABLY} times sooner where the original ends",
        f"the original's final loss is reached {sooner:.1f} times sooner (iteration "
        f"{_number(reached)} of {end})",
        sooner >= CONSIDERABLY,
        paper=f"{paper_sooner:.1f} times sooner, at iteration {paper_end}",
    )
    least = least_l2_term(original)
    met = [sooner >= MAGNITUDES, lower >= MAGNITUDES, least > ours[-1]]
    yield judge(
        "Optimization accelerated by orders of magnitude",
        "the authors' blog post and talk",
        f"a factor of {MAGNITUDES} or more, in each of three readings",
        f"{sooner:.1f} times fewer iterations to the original's final loss; a loss {lower:.0f} "
        f"times lower in as many iterations; the original {'never' if met[2] else 'perhaps'} gets "
        f"to the other's final loss, {ours[-1]:.3g}: weight decay at the tutorial's decaying rate "
        f"alone brings its L2 term to {least:.2g}",
        all(met) or (PARTLY if any(met) else False),
        REMARK,
        f"{paper_sooner:.1f} times fewer iterations, a loss {paper_lower:.0f} times lower",
    )


def _crossing(original, deep):
    others = dict(map(tuple, original))
    rows = [(t, value, others[t]) for t, value in deep if t in others]
    return curves.crossing(*map(np.array, zip(*rows)))


def _tutorial_log(records):
    source = "published console logs of the tutorial"
    bounds = {0: (8.3335, 8.3345), 100: (3.22, 3.26), 200: (3.33, 3.38), 8500: (1.58, 1.62)}
    runs = select(records, arm=ORIGINAL, tutorial_seeds=True)
    log = dict(map(tuple, runs[0].results["minibatch_loss_log"])) if runs else {}
    for step, (low, high) in bounds.items():
        statement = f"Minibatch loss of the tutorial at step {step}, with its seeds"
        if step not in log:
            how = f"{COMMAND} --arms original --tutorial-seeds"
            yield not_run(statement, source, how, REMARK)
            continue
        expected = "8.334" if step == 0 else f"{low} to {high}"
        holds = low <= log[step] < high
        yield judge(statement, source, expected, f"{log[step]:.3f}", holds, REMARK)


def _number(value):
    return "none" if value is None else f"{value:.0f}"
