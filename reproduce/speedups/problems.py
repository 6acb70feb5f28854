"""The data of each problem: variants of the full data, and tasks of others."""

import functools

from reproduce.data import regression

CONDITIONED = "conditioned"
VARIANTS = ("full", "no_high_leverage", "log_target", "breast_cancer")
TASKS = (*regression.TASKS, "breast_cancer", "ethanol")


def full(data_dir):
    """The full data, Ethanol; raises a DataError if it is damaged."""
    from reproduce import data

    return data.load_ethanol(data_dir)


def is_there(problem, data_dir):
    """Whether the data of a problem is in the repository, or in the user's folder."""
    return problem not in regression.TASKS or regression.has_regression(problem, data_dir)


@functools.lru_cache(maxsize=None)
def task(problem, condition_number, dataset, data_dir=None):
    """The data of a problem.

    Args:
        problem: Of `VARIANTS` and `TASKS`, or `CONDITIONED`.
        condition_number: Of X'X, where the problem is the full data's with another; or None.
        dataset: The full data, Ethanol.
        data_dir: Folder of the user's data, or None.

    Raises:
        DataError: If it is not to be had.
    """
    from reproduce import data
    from reproduce.data import variants

    makers = {
        "full": lambda: dataset,
        "ethanol": lambda: dataset,
        "no_high_leverage": lambda: variants.without_high_leverage(dataset),
        "log_target": lambda: variants.logarithmic(dataset),
        "breast_cancer": data.load_breast_cancer,
        CONDITIONED: lambda: variants.with_condition_number(dataset, condition_number),
    }
    return makers.get(problem, lambda: data.load_regression(problem, data_dir))()
