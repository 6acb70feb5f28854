"""What the checks of Figure 5 (right) share: runs, their medians, distances, tables."""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import select

PANEL = "fig5R_mnist"
FULL_LENGTH = 8593
ORIGINAL, OVERPARAMETERIZED = "original", "overparameterized"
DEPTHS = {ORIGINAL: 1, OVERPARAMETERIZED: 2}
COMPARED_FROM = 100  # before, one pixel column of the paper's plot spans many iterations


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
