"""Figure 5 (right): does depth speed up the MNIST tutorial's ConvNet, and what of it?"""

import numpy as np

from reproduce import paper
from reproduce.harness import curves
from reproduce.claims import judge, not_run

PANEL = "fig5R_mnist"
FULL_LENGTH = 8593
ORIGINAL, OVERPARAMETERIZED = "original", "overparameterized"
COMPARED_FROM = 100  # before, one pixel column of the paper's plot spans many iterations
COMMAND = "python -m reproduce.figure5_right"


def verdicts(records):
    """All verdicts that concern this figure.

    Args:
        records: The `reproduce.harness.records.Record`s of one results folder.

    Returns:
        A list of `Verdict`. What has not been run says so, and how to run it.
    """
    groups = _groups(records)
    return [
        *_the_papers_figure(groups),
        *_what_is_accelerated(groups),
        *_where_the_penalty_acts(groups),
        *_alternative_settings(groups),
        _second_network(groups),
        *_tutorial_log(groups),
    ]


def distances(records):
    """RMS of log10(ours / paper) from iteration 100 on: a dict from series to one per seed."""
    result: dict[str, dict] = {}
    for record in records:
        reference = paper.curve(PANEL, record.series)
        if len(reference):
            points = (reference.iteration, reference["median"])
            result.setdefault(record.series, {})[record.seed] = curves.rms_log10(
                record.curves[PANEL], points, COMPARED_FROM
            )
    return result


def _the_papers_figure(groups):
    source = "Section 8, Figure 5 right"
    for series, bound in ((ORIGINAL, 0.04), (OVERPARAMETERIZED, 0.08)):
        statement = f"Batch loss of the {series} network, as plotted"
        found = [d for d in distances(groups.get(series, [])).get(series, {}).values()]
        if not found or None in found:
            yield not_run(statement, source, f"{COMMAND} --arms {series}")
            continue
        median = float(np.median(found))
        yield judge(
            statement,
            source,
            f"at most {bound}",
            f"RMS of log10(ours/paper) {median:.3f}, median of {_seeds(found)}",
            median <= bound,
        )
    if not _at_full_length(groups, ORIGINAL, OVERPARAMETERIZED):
        yield not_run("Overparameterization accelerates", source, COMMAND)
        return
    original, deep = groups[ORIGINAL], groups[OVERPARAMETERIZED]
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


def _what_is_accelerated(groups):
    source = "our question"
    statement = "The fit to the data (the cross-entropy) is accelerated as the loss is"
    if not _at_full_length(groups, ORIGINAL, OVERPARAMETERIZED):
        yield not_run(statement, source, COMMAND)
        return
    original, deep = groups[ORIGINAL], groups[OVERPARAMETERIZED]
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


def _where_the_penalty_acts(groups):
    source = "our question"
    for series, target in (
        ("l2_on_first_factor", "the first factors"),
        ("l2_on_every_factor", "every factor"),
    ):
        statement = f"With L2 on {target} the loss falls faster than the original's"
        if not _at_full_length(groups, series, ORIGINAL):
            yield not_run(statement, source, f"{COMMAND} --arms {ORIGINAL} {series}")
            continue
        _, *_, loss, _ = _on_common_points(groups[series], groups[ORIGINAL])
        _, *_, original, _ = _on_common_points(groups[ORIGINAL], groups[series])
        yield judge(
            statement,
            source,
            "a visibly lower loss: below 0.9 of the original's at the end",
            f"{loss[-1] / original[-1]:.2f} of the original's at the end, "
            f"{np.min(loss / original):.2f} at the lowest (medians, {_seeds(groups[series])})",
            loss[-1] < 0.9 * original[-1],
        )
    names = [f"no_l2 {series}" for series in (ORIGINAL, OVERPARAMETERIZED)]
    statement = "Without L2 overparameterization speeds up the fit"
    if _at_full_length(groups, *names):
        original, deep = (groups[name] for name in names)
        yield _compare_fit(statement, source, original, deep, factor=1.2)
    else:
        yield not_run(statement, source, f"{COMMAND} --arms no_l2")


def _alternative_settings(groups):
    source = "Section 8; the settings are ours, the paper does not list its own"
    cells = _alternative_cells(groups)
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
    yield _factor_stddevs(groups, source)


def _factor_stddevs(groups, source):
    statement = "Whatever the initial std of the factorised layers alone, the outcome is similar"
    deep = [group[0] for series, group in groups.items() if "factor-std=" in series]
    # The same number of steps, the same learning rate and std in all other layers.
    shared = ("steps", "learning_rate", "stddev")
    original = [
        group[0]
        for series, group in groups.items()
        if series.startswith("original lr=")
        and deep
        and all(group[0].settings[key] == deep[0].settings[key] for key in shared)
    ]
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
    for series, group in _groups(records).items():
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
        for cell in _alternative_cells(_groups(records))
    ]


def _alternative_cells(groups):
    cells: dict[tuple, dict] = {}
    for series, group in groups.items():
        network, _, setting = series.partition(" ")
        if setting.startswith("lr="):
            settings = group[0].settings
            cell = cells.setdefault(
                setting, {key: settings[key] for key in ("learning_rate", "stddev", "steps")}
            )
            cell[network] = _value_after(group[0], settings["steps"])
    complete = [c for c in cells.values() if ORIGINAL in c and OVERPARAMETERIZED in c]
    return sorted(complete, key=lambda cell: (cell["learning_rate"], cell["stddev"]))


def _second_network(groups):
    statement = "Other convolutional networks speed up too, but not nearly as prominently"
    source = "the authors' blog post"
    names = [f"second_network {series}" for series in (ORIGINAL, OVERPARAMETERIZED)]
    if not all(name in groups for name in names):
        return not_run(statement, source, f"{COMMAND} --arms second_network")
    original, deep = (_epochs(groups[name]) for name in names)
    ratio = original[0] / deep[0], original[-1] / deep[-1]
    return judge(
        statement,
        source,
        "mean cross-entropy of the first and of the last epoch 1.05 to 5 times lower",
        f"{ratio[0]:.2f} and {ratio[1]:.2f} times lower (batch-normalized network, no L2, "
        f"{_seeds(groups[names[0]])})",
        all(1.05 <= r <= 5 for r in ratio),
    )


def _tutorial_log(groups):
    source = "published console logs of the tutorial"
    bounds = {0: (8.3335, 8.3345), 100: (3.22, 3.26), 200: (3.33, 3.38), 8500: (1.58, 1.62)}
    runs = groups.get(f"{ORIGINAL} tutorial-seeds", [])
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


def _groups(records):
    groups: dict[str, list] = {}
    for record in records:
        groups.setdefault(record.series, []).append(record)
    return groups


def _median_result(group, name):
    return float(np.median([record.results[name] for record in group]))


def _at_full_length(groups, *names):
    return all(
        name in groups
        and all(record.settings["steps"] >= FULL_LENGTH for record in groups[name])
        and all(record.results["diverged_at"] is None for record in groups[name])
        for name in names
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
