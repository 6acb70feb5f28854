"""What all records of a linear regression figure say: its tables and its plot."""

import dataclasses

from reproduce import paper
from reproduce.claims import regression as checks
from reproduce.paper import plots

HORIZONS = (0.01, 0.1, 0.4, 1.0)  # of the iterations, at which the best rates are compared


def tables(finished, named, settings):
    """For the report: what became of all runs, and the best rates; from a title to its rows.

    Args:
        finished: The records. `named`: these, and `as_stated`.
        settings: The configuration.
    """
    result = {}
    for panel in settings.panels:
        rows = checks.table(named, panel.name)
        result[f"Panel {panel.name}: distance from the optimum"] = rows
        horizons = [int(share * settings.steps) for share in HORIZONS]
        rows = [checks.best_rates(finished, panel.name, s.name, horizons) for s in panel.series]
        if any(rows):
            title = f"Panel {panel.name}: best rate, had the runs been shorter (distance)"
            result[title] = [row for row in rows if row]
    return result


def as_stated(finished, settings):
    """What the paper's text says to plot, where several rates are run: `checks.as_stated`.

    Returns:
        Copies of records under the name `1-layer as_stated`, and under the paper's own name where
        no run has it.
    """
    result = []
    for panel in settings.panels:
        runs = checks.of_panel(finished, panel.name)
        for series in panel.series:
            best = checks.as_stated(runs, series.name)
            if best is None or len(series.rates) < 2:
                continue
            names = [f"{series.name} as_stated"]
            if series.plotted is None and series.flow is None:
                names.append(series.name)
            result += [
                dataclasses.replace(record, series=name) for name in names for record in best
            ]
    return result


def draw(figure, records, settings, folder):
    """A panel each: what the paper plots, median and band over the seeds, with its curves.

    Args:
        figure: A `RegressionFigure`.
        records: Those of its results folder, and `as_stated`.
        settings: Its configuration. `folder`: where the plot goes.
    """
    plot, axes = plots.new_figure(len(settings.panels), figure.title)
    for panel, panel_axes in zip(settings.panels, axes):
        mine = [record for record in records if record.panel == panel.name]
        plotted = [each for each in panel.series if len(paper.curve(panel.name, each.name))]
        for series, colour in zip(plotted, plots.COLOURS):
            plots.draw_runs(panel_axes, mine, panel.name, series.name, series.name, colour)
            stated = f"{series.name} as_stated"
            if series.plotted is not None or series.flow is not None:
                label = f"{series.name}, as the text says"
                plots.draw_runs(panel_axes, mine, panel.name, stated, label, colour, "--")
            plots.draw_paper(panel_axes, panel.name, series.name, colour)
        plots.finish_axes(
            panel_axes,
            figure.panels.get(panel.name, panel.name),
            "iteration",
            "distance from the optimum",
            # Runs that diverge leave through the top.
            top=3 * max(record.results["at_zero"] for record in mine) if mine else None,
            last=settings.steps,
        )
    plots.save(plot, folder)
