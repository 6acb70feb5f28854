"""UCI's text format for the gas sensor data: one measurement a line.

    gas;concentration 1:value 2:value … 128:value

with the gas as an integer from 1 to 6 and the concentration in ppmv.
"""

import math

SENSORS = 128
GASES = ("ethanol", "ethylene", "ammonia", "acetaldehyde", "acetone", "toluene")


class MalformedLineError(ValueError):
    """A line that is no measurement; the message says in which file, where, and why."""


def parse(text, name):
    """The measurements in a text.

    Args:
        text: Content of a file.
        name: Name of the file, for error messages.

    Yields:
        Name of the gas, concentration in ppmv, and a list of 128 numbers.

    Raises:
        MalformedLineError: At the first line that is malformed. Empty lines are none.

    Example:

    >>> from tfoverparam.datasets.gas_sensor_drift.text_format import parse
    >>> line = "1;2.5 " + " ".join(f"{i}:{i / 10}" for i in range(1, 129))
    >>> ((gas, concentration, sensors),) = parse(line, "example.dat")
    >>> gas, concentration, sensors[:3]
    ('ethanol', 2.5, [0.1, 0.2, 0.3])
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _measurement(line.split())
        except ValueError as error:
            raise MalformedLineError(f"{name}, line {number}: {error}.") from None


def _measurement(fields):
    gas, separator, concentration = fields[0].partition(";")
    if not separator:
        raise ValueError(f"it should start with gas;concentration, not {_short(fields[0])}")
    if gas not in map(str, range(1, len(GASES) + 1)):
        raise ValueError(f"the gas should be 1 to {len(GASES)}, not {_short(gas)}")
    if len(fields) - 1 != SENSORS:
        raise ValueError(f"there should be {SENSORS} features, not {len(fields) - 1}")
    sensors = []
    for index, field in enumerate(fields[1:], start=1):
        label, _, value = field.partition(":")
        if label != str(index):
            raise ValueError(f"feature {index} should be {index}:value, not {_short(field)}")
        sensors.append(_number(value, f"feature {index}"))
    amount = _number(concentration, "the concentration")
    if amount <= 0:
        raise ValueError(f"the concentration should be positive, not {_short(concentration)}")
    return GASES[int(gas) - 1], amount, sensors


def _number(text, what):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} should be a finite number, not {_short(text)}")
    return value


def _short(text):
    return repr(text if len(text) <= 20 else text[:20] + "…")
