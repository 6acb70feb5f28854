"""Figure 5 (right): what its checks share, and those of what the paper does not show.

What is accelerated, and under which settings?
"""

import numpy as np

from reproduce import paper
from reproduce.claims import OPEN, QUESTION, REMARK, judge, not_run, seeds, select
from reproduce.harness import curves

PANEL = "fig5R_mnist"
FULL_LENGTH = 8593
ORIGINAL, OVERPARAMETERIZED = "original", "overparameterized"
DEPTHS = {ORIGINAL: 1, OVERPARAMETERIZED: 2}
COMPARED_FROM = 100  # before, one pixel column of the paper's plot spans many iterations
QUESTIONS = "our question"
OUR_SETTINGS = "Section 8, which does not list its settings: these are ours"
COMMAND = "python -m reproduce.figure5_right"


def of_arm(records, arm, **facts):
    """The runs of an arm; those with the tutorial's own seeds are apart."""
    return select(records, arm=arm, tutorial_seeds=False, **facts)


def pair(records, arm=None):
    """The original and the overparameterized network's runs: the paper's, or those of an arm."""
    if arm is None:
        return [of_arm(records, network) for network in DEPTHS]
    return [of_arm(records, arm, depth=depth) for depth in DEPTHS.values()]


def distances(records):
    """RMS of log10(ours / paper) from iteration 100 on: a dict from series to one per seed."""
    return {
        arm: {
            record.seed: curves.rms_log10(
                record.curves[PANEL], paper.points(PANEL, arm), COMPARED_FROM
            )
            for record in group
        }
        for arm, group in zip(DEPTHS, pair(records))
        if group
    }


def on_common_points(group, other):
    """Iterations where both groups of runs have points, and their medians there: three arrays."""
    (t, *_, ours, _), (s, *_, theirs, _) = (
        curves.median_curve([record.curves[PANEL] for record in runs]) for runs in (group, other)
    )
    return np.intersect1d(t, s), ours[np.isin(t, s)], theirs[np.isin(s, t)]


def epochs(group):
    """Mean cross-entropy per epoch, median over seeds; NaN from a divergence on."""
    table = [record.results["cross_entropy_per_epoch"] for record in group]
    return np.median(np.array(table, dtype=float), axis=0)


def last(group, panel):
    """The last value of a panel's curves, median over the seeds."""
    return float(np.median([record.curves[panel][-1][1] for record in group]))


def median_result(group, name):
    """A result, median over the seeds."""
    return float(np.median([record.results[name] for record in group]))


def at_full_length(*groups):
    """Whether there are runs in each group, all as long as the paper's, and none diverged."""
    return all(groups) and all(
        record.settings["steps"] >= FULL_LENGTH and record.results["diverged_at"] is None
        for group in groups
        for record in group
    )


def value_after(record, steps):
    """The plotted loss at the last point before `steps`; infinite if the run diverged before."""
    diverged = record.results["diverged_at"]
    if diverged is not None and diverged < steps:
        return float("inf")
    return [value for iteration, value in record.curves[PANEL] if iteration < steps][-1]


def least_l2_term(group):
    """How low weight decay alone could bring the last L2 term, however long training went on.

    It shrinks weights by 1 - l2 rate / (1 - momentum) an iteration, and the sum of all rates yet to
    come is finite, for the rate decays geometrically.
    """
    settings = group[0].settings
    per_epoch = settings["decay_examples"] / settings["batch_size"]
    done = int(settings["steps"] // per_epoch)
    rate = settings["learning_rate"] * settings["decay_rate"] ** done
    rates = per_epoch * rate / (1 - settings["decay_rate"]) / (1 - settings["momentum"])
    return last(group, "l2_term") * float(np.exp(-2 * settings["l2"] * rates))


def runs_table(records):
    """What each series comes to: a list of rows, each a dict from column to value."""
    groups: dict[str, list] = {}
    for record in records:
        groups.setdefault(record.series, []).append(record)
    rows = []
    for series, group in groups.items():
        diverged = any(record.results["diverged_at"] is not None for record in group)
        rows.append(
            {
                "series": series,
                "seeds": len(group),
                "iterations": group[0].settings["steps"],
                "parameters": f"{group[0].results['parameters']:,}",
                "loss": "diverged" if diverged else last(group, PANEL),
                "cross-entropy, last epoch": "" if diverged else float(epochs(group)[-1]),
                "L2 term": last(group, "l2_term"),
                "validation error, %": median_result(group, "validation_error"),
                "test error, %": median_result(group, "test_error"),
                "minutes a run": float(np.median([r.provenance["seconds"] for r in group])) / 60,
            }
        )
    return rows


def alternative_cells(records):
    """The losses under each learning rate and std at which both networks were trained."""
    names = ("learning_rate", "stddev", "steps")
    cells: dict[tuple, dict] = {}
    for network, runs in zip(DEPTHS, pair(records, "alternative_rates")):
        for record in runs:
            shared = {name: record.settings[name] for name in names}
            cell = cells.setdefault(tuple(shared.values()), shared)
            cell.setdefault(network, value_after(record, shared["steps"]))
    return [cells[key] for key in sorted(cells) if set(DEPTHS) <= set(cells[key])]


def alternative_table(records):
    """The grid of alternative settings: a list of dicts, one a learning rate and std."""
    return [
        {key: "diverged" if value == np.inf else value for key, value in cell.items()}
        for cell in alternative_cells(records)
    ]


def variants(records):
    """All verdicts, from the `reproduce.harness.records.Record`s of the figure's folder."""
    return [
        *_what_is_accelerated(*pair(records)),
        *_where_the_penalty_acts(records),
        *_alternative_settings(records),
        _second_network(records),
    ]


def _what_is_accelerated(original, deep):
    statement = "The fit to the data (the cross-entropy) is accelerated as the loss is"
    if not at_full_length(original, deep):
        yield not_run(statement, QUESTIONS, COMMAND, QUESTION)
        return
    yield _compare_fit(statement, original, deep, factor=2)
    l2 = [last(group, "l2_term") for group in (original, deep)]
    yield judge(
        "What falls faster than the original's is the L2 term",
        QUESTIONS,
        "it ends below half of the original's",
        f"at the end: original {l2[0]:.3g}, overparameterized {l2[1]:.3g}; test error "
        f"{median_result(original, 'test_error'):.2f} and "
        f"{median_result(deep, 'test_error'):.2f} %",
        l2[1] < l2[0] / 2,
        QUESTION,
    )


def _compare_fit(statement, original, deep, factor):
    """How much sooner `deep` reaches the cross-entropy of the original's last epoch."""
    theirs, ours = epochs(original), epochs(deep)
    reached = curves.first_at_most(np.arange(1, len(ours) + 1), ours, theirs[-1])
    speedup = len(ours) / reached if reached else 0.0
    when = f"is reached in epoch {reached} of {len(ours)}" if reached else "is never reached"
    return judge(
        statement,
        QUESTIONS,
        f"a factor of {factor} or more",
        f"the mean cross-entropy of the original's last epoch, {theirs[-1]:.3g}, "
        f"{when}; in the last it is {ours[-1]:.3g} (medians of {seeds(original)} and "
        f"{seeds(deep)})",
        speedup >= factor,
        QUESTION,
    )


def _where_the_penalty_acts(records):
    original = of_arm(records, ORIGINAL)
    for arm, target in (
        ("l2_on_first_factor", "the first factors"),
        ("l2_on_every_factor", "every factor"),
    ):
        statement = f"With L2 on {target} the loss falls faster than the original's"
        runs = of_arm(records, arm)
        if not at_full_length(runs, original):
            how = f"{COMMAND} --arms {ORIGINAL} {arm}"
            yield not_run(statement, QUESTIONS, how, QUESTION)
            continue
        _, ours, theirs = on_common_points(runs, original)
        yield judge(
            statement,
            QUESTIONS,
            "a visibly lower loss: below 0.9 of the original's at the end",
            f"{ours[-1] / theirs[-1]:.2f} of the original's at the end, "
            f"{np.min(ours / theirs):.2f} at the lowest (medians, {seeds(runs)})",
            ours[-1] < 0.9 * theirs[-1],
            QUESTION,
        )
    statement = "Without L2 overparameterization speeds up the fit"
    original, deep = pair(records, "no_l2")
    if at_full_length(original, deep):
        yield _compare_fit(statement, original, deep, factor=1.2)
    else:
        yield not_run(statement, QUESTIONS, f"{COMMAND} --arms no_l2", QUESTION)


def _alternative_settings(records):
    cells = alternative_cells(records)
    statement = "Under alternative learning rates and initial stds the outcome is similar"
    if not cells:
        yield not_run(statement, OUR_SETTINGS, f"{COMMAND} --arms alternative_rates")
    else:
        lower = [cell for cell in cells if cell[OVERPARAMETERIZED] < cell[ORIGINAL]]
        diverged = [cell for cell in cells if not np.isfinite(cell[OVERPARAMETERIZED])]
        yield judge(
            statement,
            OUR_SETTINGS,
            "lower loss than the original's in all of the paper's settings",
            f"in {len(lower)} of {len(cells)} of our settings, after {cells[0]['steps']} "
            f"iterations; in {len(diverged)} the overparameterized network diverges (one seed "
            "each)",
            OPEN,
        )
        standard = [cell for cell in cells if cell["stddev"] == 0.1]
        best = {s: min(standard, key=lambda c: c[s]) for s in DEPTHS}
        yield judge(
            "Each network at its own best learning rate, the outcome is similar",
            QUESTIONS,
            "lower loss than the original's",
            ", ".join(
                f"{network} {cell[network]:.3g} at {cell['learning_rate']:g}"
                for network, cell in best.items()
            ),
            best[OVERPARAMETERIZED][OVERPARAMETERIZED] < best[ORIGINAL][ORIGINAL],
            QUESTION,
        )
    yield _factor_stddevs(records)


def _factor_stddevs(records):
    statement = "Whatever the initial std of the factorized layers alone, the outcome is similar"
    deep = of_arm(records, "alternative_stddevs")
    # The same number of steps, the same learning rate and std in all other layers.
    shared = ("steps", "learning_rate", "stddev")
    same = {name: deep[0].settings[name] for name in shared if deep}
    original = of_arm(records, "alternative_rates", depth=DEPTHS[ORIGINAL], **same)
    if not deep or not original:
        how = f"{COMMAND} --arms alternative_rates alternative_stddevs"
        return not_run(statement, OUR_SETTINGS, how)
    steps = deep[0].settings["steps"]
    reference = value_after(original[0], steps)
    losses = {record.settings["factor_stddev"]: value_after(record, steps) for record in deep}
    lower = sum(loss < reference for loss in losses.values())
    return judge(
        statement,
        OUR_SETTINGS,
        "lower loss than the original's in all of the paper's settings",
        f"in {lower} of {len(losses)} of our settings, after {steps} iterations: original "
        f"{reference:.3g}; "
        + ", ".join(
            f"std {stddev:g}: {loss:.3g}" if np.isfinite(loss) else f"std {stddev:g} diverges"
            for stddev, loss in sorted(losses.items())
        ),
        OPEN,
    )


def _second_network(records):
    statement = "Other convolutional networks speed up too, but not nearly as prominently"
    source = "the authors' blog post, which does not say which: this one is ours"
    found = pair(records, "second_network")
    if not all(found):
        return not_run(statement, source, f"{COMMAND} --arms second_network", REMARK)
    original, deep = (epochs(runs) for runs in found)
    return judge(
        statement,
        source,
        "a lower mean cross-entropy in the networks of the authors",
        f"{original[0] / deep[0]:.2f} times lower in the first epoch, "
        f"{original[-1] / deep[-1]:.2f} times in the last (one batch-normalized network of ours, "
        f"no L2, {seeds(found[0])})",
        OPEN,
        REMARK,
    )
