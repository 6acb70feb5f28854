"""The horizon: where do our curves for p = 4 cross, and how are the paper's to be stretched?"""


def verdicts(records):
    """All verdicts on the `reproduce.harness.records.Record`s of the folder."""
    return []


def tables(records):
    """For the report."""
    return {}
