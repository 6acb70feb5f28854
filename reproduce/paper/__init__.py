"""The paper's Figures 2 to 5, digitized from the published plots (about 1 % in value).

`curves.csv` has the columns `panel,series,iteration,low,median,high`, where low to high is
the extent of the curve within one pixel column.
"""

import functools
import pathlib

import numpy as np

UNREADABLE = 2.0
PLOTS = {
    "fig2L_l2": "Figure 2 (left)",
    "fig2R_l4": "Figure 2 (right)",
    "fig3L_l2": "Figure 3 (left)",
    "fig3R_l4": "Figure 3 (right)",
    "fig4L_l4": "Figure 4 (left)",
    "fig4R_l4": "Figure 4 (right)",
    "fig5L_l4": "Figure 5 (left)",
    "fig5R_mnist": "Figure 5 (right)",
}


@functools.cache
def curves():
    """All digitized points, a record array. Do not change it: it is shared."""
    path = pathlib.Path(__file__).parent / "curves.csv"
    return np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8").view(
        np.recarray
    )


def curve(panel, series):
    """One digitized curve, a record array by iteration; empty if the paper has none so named."""
    all_curves = curves()
    return all_curves[(all_curves.panel == panel) & (all_curves.series == series)]


def points(panel, series):
    """The points of a digitized curve that tell its value: a list of `[iteration, value]`.

    Where the pixel column spans more than a factor of `UNREADABLE` they do not: the curve is steep
    there, or another lies over it.
    """
    found = curve(panel, series)
    found = found[found.high <= UNREADABLE * found.low]
    return [[int(t), float(value)] for t, value in zip(found.iteration, found["median"])]


def series(panel):
    """The names of the curves of a panel."""
    all_curves = curves()
    return sorted(set(all_curves[all_curves.panel == panel].series.tolist()))


def names():
    """Panel and series of every digitized curve: a list of pairs, in the file's order."""
    return list(dict.fromkeys(zip(curves().panel.tolist(), curves().series.tolist())))


def iterations(panel):
    """The iterations at which the curves of a panel were digitized, ascending integers."""
    all_curves = curves()
    return sorted(set(all_curves[all_curves.panel == panel].iteration.tolist()))
