"""The paper's Figures 2 to 5, digitised from the published plots (about 1 % in value).

`curves.csv` has the columns `panel,series,iteration,low,median,high`, where low to high is
the extent of the curve within one pixel column.
"""

import functools
import pathlib

import pandas as pd


@functools.cache
def curves():
    """All digitised points, a data frame. Do not change it: it is shared."""
    return pd.read_csv(pathlib.Path(__file__).parent / "curves.csv")


def curve(panel, series):
    """One digitised curve, a data frame by iteration; empty if the paper has none of that name."""
    all_curves = curves()
    return all_curves[(all_curves.panel == panel) & (all_curves.series == series)]


def names():
    """Panel and series of every digitised curve: a list of pairs, in the file's order."""
    return list(dict.fromkeys(zip(curves().panel, curves().series)))


def iterations(panel):
    """The iterations at which the curves of a panel were digitised, ascending integers."""
    all_curves = curves()
    return sorted(set(all_curves[all_curves.panel == panel].iteration))
