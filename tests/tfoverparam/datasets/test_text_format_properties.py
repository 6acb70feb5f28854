"""Properties of UCI's text format, on what hypothesis makes up."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tfoverparam.datasets.gas_sensor_drift.text_format import (
    GASES,
    SENSORS,
    MalformedLineError,
    parse,
)

QUICK = settings(deadline=None, max_examples=60, derandomize=True)

numbers = st.floats(allow_nan=False, allow_infinity=False)
measurements = st.tuples(
    st.sampled_from(GASES),
    st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    # Of 128 numbers, a few are enough to be drawn.
    st.lists(numbers, min_size=4, max_size=4).map(lambda drawn: drawn * (SENSORS // 4)),
)


def written(measurement):
    gas, concentration, sensors = measurement
    fields = [f"{index}:{value!r}" for index, value in enumerate(sensors, start=1)]
    return " ".join([f"{GASES.index(gas) + 1};{concentration!r}", *fields])


@QUICK
@given(found=st.lists(measurements, max_size=3), end=st.sampled_from(["\n", " \r\n", "\n\n"]))
def test_what_is_written_is_read_back(found, end):
    assert list(parse(end.join(map(written, found)), "x.dat")) == found


@QUICK
@given(text=st.text(max_size=60))
def test_any_text_is_read_or_malformed(text):
    try:
        found = list(parse(text, "x.dat"))
    except MalformedLineError as error:
        assert str(error).startswith("x.dat, line ") and str(error).isprintable()
    else:
        assert found == [] and not text.strip()


@QUICK
@given(
    measurement=measurements,
    at=st.integers(0, 10**4),
    length=st.integers(0, 3),
    other=st.text(max_size=3),
)
def test_a_changed_line_is_read_whole_or_malformed(measurement, at, length, other):
    line = written(measurement)
    at %= len(line)
    try:
        found = list(parse(line[:at] + other + line[at + length :], "x.dat"))
    except MalformedLineError as error:
        assert str(error).startswith("x.dat, line ")
    else:
        assert all(len(sensors) == SENSORS for _, _, sensors in found)
