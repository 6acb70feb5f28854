"""Figure 5 (right): does depth speed up the MNIST tutorial's ConvNet, and what of it?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import judge, not_run, select

PANEL = "fig5R_mnist"
FULL_LENGTH = 8593
ORIGINAL, OVERPARAMETERIZED = "original", "overparameterized"
DEPTHS = {ORIGINAL: 1, OVERPARAMETERIZED: 2}
COMPARED_FROM = 100  # before, one pixel column of the paper's plot spans many iterations
COMMAND = "python -m reproduce.figure5_right"


def verdicts(records):
    """All verdicts that concern this figure.

    Args:
        records: The `reproduce.harness.records.Record`s of one results folder.

    Returns:
        A list of `Verdict`. What has not been run says so, and how to run it.
    """
    return [
        *_the_papers_figure(records),
        *_what_is_accelerated(records),
        *_where_the_penalty_acts(records),
        *_alternative_settings(records),
        _second_network(records),
        *_tutorial_log(records),
    ]


def distances(records):
    """RMS of log10(ours / paper) from iteration 100 on: a dict from series to one per seed."""
    return {
        arm: {record.seed: _distance(record) for record in group}
        for arm in (ORIGINAL, OVERPARAMETERIZED)
        if (group := _arm(records, arm))
    }


def _distance(record):
    reference = paper.curve(PANEL, record.settings["arm"])
    points = (reference.iteration, reference["median"])
    return curves.rms_log10(record.curves[PANEL], points, COMPARED_FROM)


def _arm(records, arm, **facts):
    return select(records, arm=arm, tutorial_seeds=False, **facts)


def _pair(records, arm=None):
    """The original and the overparameterized network's runs: the paper's, or those of an arm."""
    if arm is None:
        return _arm(records, ORIGINAL), _arm(records, OVERPARAMETERIZED)
    return [_arm(records, arm, depth=depth) for depth in DEPTHS.values()]


def _the_papers_figure(records):
    source = "Section 8, Figure 5 right"
    for arm, bound in ((ORIGINAL, 0.04), (OVERPARAMETERIZED, 0.08)):
        statement = f"Batch loss of the {arm} network, as plotted"
        found = list(distances(records).get(arm, {}).values())
        if not found or None in found:
            yield not_run(statement, source, f"{COMMAND} --arms {arm}")
            continue
        median = float(np.median(found))
        yield judge(
            statement,
            source,
            f"at most {bound}",
            f"RMS of log10(ours/paper) {median:.3f}, median of {_seeds(found)}",
            median <= bound,
        )
    original, deep = _pair(records)
    if not _at_full_length(original, deep):
        yield not_run("Overparameterization accelerates", source, COMMAND)
        return
    before, after = (group[0].results["parameters"] for group in (original, deep))
    yield judge(
        "An addition of roughly 15 % in number of parameters",
        "Section 8",
        "262,244 added to 1,663,370",
        f"{after - before:,} added to {before:,}: {100 * (after - before) / before:.2f} %",
        (before, after - before) == (1663370, 262244),
    )
    t, *_, deep_loss, _ = _on_common_points(deep, original)
    _, *_, original_loss, _ = _on_common_points(original, deep)
    crossing = curves.crossing(t, deep_loss, original_loss)
    yield judge(
        "It starts higher and crosses the original near iteration 530",
        source,
        "450 to 650",
        f"the medians cross at iteration {_number(crossing)}",
        crossing is not None and 450 <= crossing <= 650,
    )
    end = original_loss[-1]
    yield judge(
        "The original network ends near 1.59",
        source,
        "1.55 to 1.65",
        f"loss {end:.3f}, median of {_seeds(original)}",
        1.55 <= end <= 1.65,
    )
    error = _median_result(original, "test_error")
    yield judge(
        "The original network's test error is 0.8 %",
        "the tutorial's documentation",
        "0.7 to 1.1 %",
        f"{error:.2f} %, median of {_seeds(original)}",
        0.7 <= error <= 1.1,
    )
    reached = curves.first_at_most(t, deep_loss, end)
    speedup = t[-1] / reached if reached else 0.0
    yield judge(
        "Optimization has accelerated considerably",
        "Section 8",
        "a factor above 2",
        f"the original's final loss is reached {speedup:.1f} times sooner (iteration "
        f"{_number(reached)} of {t[-1]})",
        speedup > 2,
    )
    yield judge(
        "Optimization accelerated by orders of magnitude",
        "the authors' blog post and talk",
        "a factor of 100 or more",
        f"{speedup:.1f} times fewer iterations to the original's final loss; at the end the loss "
        f"is {end / deep_loss[-1]:.0f} times lower",
        speedup >= 100,
    )


def _what_is_accelerated(records):
    source = "our question"
    statement = "The fit to the data (the cross-entropy) is accelerated as the loss is"
    original, deep = _pair(records)
    if not _at_full_length(original, deep):
        yield not_run(statement, source, COMMAND)
        return
    yield _compare_fit(statement, source, original, deep, factor=2)
    l2 = [_last(group, "l2_term") for group in (original, deep)]
    yield judge(
        "What falls faster than the original's is the L2 term",
        source,
        "it ends below half of the original's",
        f"at the end: original {l2[0]:.3g}, overparameterized {l2[1]:.3g}; test error "
        f"{_median_result(original, 'test_error'):.2f} and "
        f"{_median_result(deep, 'test_error'):.2f} %",
        l2[1] < l2[0] / 2,
    )


def _compare_fit(statement, source, original, deep, factor):
    """How much sooner `deep` reaches the cross-entropy of the original's last epoch."""
    theirs, ours = _epochs(original), _epochs(deep)
    reached = curves.first_at_most(np.arange(1, len(ours) + 1), ours, theirs[-1])
    speedup = len(ours) / reached if reached else 0.0
    when = f"is reached in epoch {reached} of {len(ours)}" if reached else "is never reached"
    return judge(
        statement,
        source,
        f"a factor of {factor} or more",
        f"the mean cross-entropy of the original's last epoch, {theirs[-1]:.3g}, "
        f"{when}; in the last it is {ours[-1]:.3g} (medians of {_seeds(original)} and "
        f"{_seeds(deep)})",
        speedup >= factor,
    )


def _where_the_penalty_acts(records):
    source = "our question"
    original = _arm(records, ORIGINAL)
    for arm, target in (
        ("l2_on_first_factor", "the first factors"),
        ("l2_on_every_factor", "every factor"),
    ):
        statement = f"With L2 on {target} the loss falls faster than the original's"
        runs = _arm(records, arm)
        if not _at_full_length(runs, original):
            yield not_run(statement, source, f"{COMMAND} --arms {ORIGINAL} {arm}")
            continue
        _, *_, loss, _ = _on_common_points(runs, original)
        _, *_, theirs, _ = _on_common_points(original, runs)
        yield judge(
            statement,
            source,
            "a visibly lower loss: below 0.9 of the original's at the end",
            f"{loss[-1] / theirs[-1]:.2f} of the original's at the end, "
            f"{np.min(loss / theirs):.2f} at the lowest (medians, {_seeds(runs)})",
            loss[-1] < 0.9 * theirs[-1],
        )
    statement = "Without L2 overparameterization speeds up the fit"
    original, deep = _pair(records, "no_l2")
    if _at_full_length(original, deep):
        yield _compare_fit(statement, source, original, deep, factor=1.2)
    else:
        yield not_run(statement, source, f"{COMMAND} --arms no_l2")


def _alternative_settings(records):
    source = "Section 8; the settings are ours, the paper does not list its own"
    cells = alternative_cells(records)
    statement = "Under alternative learning rates and initial stds the outcome is similar"
    if not cells:
        yield not_run(statement, source, f"{COMMAND} --arms alternative_rates")
    else:
        lower = [cell for cell in cells if cell[OVERPARAMETERIZED] < cell[ORIGINAL]]
        diverged = [cell for cell in cells if not np.isfinite(cell[OVERPARAMETERIZED])]
        yield judge(
            statement,
            source,
            "lower loss than the original's in all of them",
            f"lower in {len(lower)} of {len(cells)} settings after "
            f"{cells[0]['steps']} iterations; in {len(diverged)} the overparameterized network "
            "diverges (one seed each)",
            len(lower) == len(cells),
        )
        standard = [cell for cell in cells if cell["stddev"] == 0.1]
        best = {s: min(standard, key=lambda c: c[s]) for s in (ORIGINAL, OVERPARAMETERIZED)}
        yield judge(
            "Each network at its own best learning rate, the outcome is similar",
            source,
            "lower loss than the original's",
            ", ".join(
                f"{series} {cell[series]:.3g} at {cell['learning_rate']:g}"
                for series, cell in best.items()
            ),
            best[OVERPARAMETERIZED][OVERPARAMETERIZED] < best[ORIGINAL][ORIGINAL],
        )
    yield _factor_stddevs(records, source)


def _factor_stddevs(records, source):
    statement = "Whatever the initial std of the factorised layers alone, the outcome is similar"
    deep = _arm(records, "alternative_stddevs")
    # The same number of steps, the same learning rate and std in all other layers.
    shared = ("steps", "learning_rate", "stddev")
    original = _arm(
        records,
        "alternative_rates",
        depth=DEPTHS[ORIGINAL],
        **{name: deep[0].settings[name] for name in shared if deep},
    )
    if not deep or not original:
        return not_run(statement, source, f"{COMMAND} --arms alternative_rates alternative_stddevs")
    steps = deep[0].settings["steps"]
    reference = _value_after(original[0], steps)
    losses = {record.settings["factor_stddev"]: _value_after(record, steps) for record in deep}
    return judge(
        statement,
        source,
        "lower loss than the original's with each",
        f"after {steps} iterations: original {reference:.3g}; "
        + ", ".join(
            f"std {stddev:g}: {loss:.3g}" if np.isfinite(loss) else f"std {stddev:g} diverges"
            for stddev, loss in sorted(losses.items())
        ),
        all(loss < reference for loss in losses.values()),
    )


def runs_table(records):
    """What each series comes to: a list of rows, each a dict from column to value."""
    rows = []
    groups: dict[str, list] = {}
    for record in records:
        groups.setdefault(record.series, []).append(record)
    for series, group in groups.items():
        diverged = any(record.results["diverged_at"] is not None for record in group)
        rows.append(
            {
                "series": series,
                "seeds": len(group),
                "iterations": group[0].settings["steps"],
                "parameters": f"{group[0].results['parameters']:,}",
                "loss": "diverged" if diverged else _last(group, PANEL),
                "cross-entropy, last epoch": "" if diverged else float(_epochs(group)[-1]),
                "L2 term": _last(group, "l2_term"),
                "validation error, %": _median_result(group, "validation_error"),
                "test error, %": _median_result(group, "test_error"),
                "minutes a run": float(np.median([r.provenance["seconds"] for r in group])) / 60,
            }
        )
    return rows


def alternative_table(records):
    """The grid of alternative settings: a list of dicts, one a learning rate and std."""
    return [
        {key: "diverged" if value == np.inf else value for key, value in cell.items()}
        for cell in alternative_cells(records)
    ]


def alternative_cells(records):
    """The losses under each learning rate and std at which both networks were trained."""
    names = ("learning_rate", "stddev", "steps")
    cells: dict[tuple, dict] = {}
    for network, runs in zip(DEPTHS, _pair(records, "alternative_rates")):
        for record in runs:
            shared = {name: record.settings[name] for name in names}
            cell = cells.setdefault(tuple(shared.values()), shared)
            cell.setdefault(network, _value_after(record, shared["steps"]))
    return [cells[key] for key in sorted(cells) if set(DEPTHS) <= set(cells[key])]


def _second_network(records):
    statement = "Other convolutional networks speed up too, but not nearly as prominently"
    source = "the authors' blog post"
    pair = _pair(records, "second_network")
    if not all(pair):
        return not_run(statement, source, f"{COMMAND} --arms second_network")
    original, deep = (_epochs(runs) for runs in pair)
    ratio = original[0] / deep[0], original[-1] / deep[-1]
    return judge(
        statement,
        source,
        "mean cross-entropy of the first and of the last epoch 1.05 to 5 times lower",
        f"{ratio[0]:.2f} and {ratio[1]:.2f} times lower (batch-normalized network, no L2, "
        f"{_seeds(pair[0])})",
        all(1.05 <= r <= 5 for r in ratio),
    )


def _tutorial_log(records):
    source = "published console logs of the tutorial"
    bounds = {0: (8.3335, 8.3345), 100: (3.22, 3.26), 200: (3.33, 3.38), 8500: (1.58, 1.62)}
    runs = select(records, arm=ORIGINAL, tutorial_seeds=True)
    log = dict(map(tuple, runs[0].results["minibatch_loss_log"])) if runs else {}
    for step, (low, high) in bounds.items():
        statement = f"Minibatch loss of the tutorial at step {step}, with its seeds"
        if step not in log:
            yield not_run(statement, source, f"{COMMAND} --arms original --tutorial-seeds")
            continue
        yield judge(
            statement,
            source,
            "8.334" if step == 0 else f"{low} to {high}",
            f"{log[step]:.3f}",
            low <= log[step] < high,
        )


def _median_result(group, name):
    return float(np.median([record.results[name] for record in group]))


def _at_full_length(*groups):
    return all(groups) and all(
        record.settings["steps"] >= FULL_LENGTH and record.results["diverged_at"] is None
        for group in groups
        for record in group
    )


def _on_common_points(group, other):
    """Median curve of `group`, where `other` has points too."""
    result = curves.median_curve([record.curves[PANEL] for record in group])
    shared = np.isin(result[0], curves.median_curve([r.curves[PANEL] for r in other])[0])
    return tuple(array[shared] for array in result)


def _epochs(group):
    """Mean cross-entropy per epoch, median over seeds; NaN from a divergence on."""
    table = [record.results["cross_entropy_per_epoch"] for record in group]
    return np.median(np.array(table, dtype=float), axis=0)


def _last(group, panel):
    return float(np.median([record.curves[panel][-1][1] for record in group]))


def _value_after(record, steps):
    """The plotted loss at the last point before `steps`; infinite if the run diverged before."""
    diverged = record.results["diverged_at"]
    if diverged is not None and diverged < steps:
        return float("inf")
    return [value for iteration, value in record.curves[PANEL] if iteration < steps][-1]


def _seeds(group):
    return "1 seed" if len(group) == 1 else f"{len(group)} seeds"


def _number(value):
    return "none" if value is None else f"{value:.0f}"
