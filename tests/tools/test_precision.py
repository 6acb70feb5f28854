"""One case of each shape, of each computation, in four precisions; precision.py tries more."""

import pytest

from tools.reliability import precision_cases


@pytest.mark.parametrize("policy", precision_cases.POLICIES[:4])
@pytest.mark.parametrize("quantity", precision_cases.QUANTITIES)
def test_the_error_is_within_what_rounding_allows(quantity, policy):
    for error, bound in precision_cases.measure(quantity, policy, seeds=[0]):
        assert error <= bound < 1


def test_the_bounds_tell_the_formats_apart():
    # What was computed in float16 does not pass for float32, nor float32 for float64.
    for coarse, fine in (("mixed_float16", "float32"), ("float32", "float64")):
        errors = [error for error, _ in precision_cases.measure("layer forward", coarse, [0])]
        bounds = [bound for _, bound in precision_cases.measure("layer forward", fine, [0])]
        assert any(error > bound for error, bound in zip(errors, bounds))
