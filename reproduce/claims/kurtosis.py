"""On which data does depth help? A prediction: where the largest residuals of least squares are."""


def verdicts(records):
    """All verdicts on the records of the tasks."""
    return []


def tables(records):
    """For the report."""
    return {}
