"""What is fuzzed: two readers of text from outside, and what must be true of whatever they read."""

import math
import os
import tempfile

from reproduce.harness import config
from reproduce.harness.errors import ConfigError
from tests.helpers.settings import Settings, check_message
from tfoverparam.datasets.gas_sensor_drift.text_format import (
    GASES,
    SENSORS,
    MalformedLineError,
    parse,
)


def text_format(data):
    """UCI's text: refused as malformed, or read as numbers that are the same when written again.

    Args:
        data: Bytes, as in a file.
    """
    text = data.decode("utf-8", "replace")
    try:
        found = list(parse(text, "fuzzed.dat"))
    except MalformedLineError as error:
        check_message(str(error), "fuzzed.dat, line ")
        return
    assert len(found) == sum(bool(line.strip()) for line in text.split("\n"))
    for gas, concentration, sensors in found:
        assert gas in GASES and len(sensors) == SENSORS
        assert all(math.isfinite(value) for value in (concentration, *sensors))
        assert concentration > 0
    assert list(parse("\n".join(map(written, found)), "written.dat")) == found


def written(measurement):
    """A measurement in UCI's format, numbers to the last bit."""
    gas, concentration, sensors = measurement
    fields = [f"{index}:{value!r}" for index, value in enumerate(sensors, start=1)]
    return " ".join([f"{GASES.index(gas) + 1};{concentration!r}", *fields])


def configuration(data):
    """A configuration: refused in one line, or read as its types say and the same when dumped.

    Args:
        data: Bytes: a YAML file and then, each after a zero byte, overrides.
    """
    content, *overrides = data.split(b"\0")
    overrides = [override.decode("utf-8", "replace") for override in overrides]
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = os.path.join(folder, "fuzzed.yaml")
        try:
            settings = _loaded(path, content, overrides)
        except ConfigError as error:
            check_message(str(error), "")
            return
        values = config.as_dict(settings)
        _check_types(values)
        assert _loaded(path, config.as_yaml(values).encode(), ()) == settings


def _loaded(path, content, overrides):
    with open(path, "wb") as file:
        file.write(content)
    return config.load(path, Settings, overrides)


def _check_types(values):
    assert type(values["steps"]) is int and values["steps"] > 0
    assert type(values["name"]) is str and type(values["verbose"]) is bool
    assert type(values["rate"]) is float and math.isfinite(values["rate"])
    assert values["limit"] is None or math.isfinite(values["limit"])
    for section in (*values["sections"], values["inner"] or {"rates": [], "names": []}):
        assert all(math.isfinite(rate) for rate in section["rates"])
        assert all(type(name) is str for name in section["names"])


def _memory():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


TARGETS = {"text_format": text_format, "configuration": configuration}
