"""The performance profile, of curves made by hand."""

from reproduce.claims import comparison
from reproduce.workloads import figure
from tests.reproduce.networks.by_hand import five, plain


def profiles(*groups):
    """From method to the parts of its workloads on which it is within 1, ..., 3 times the best."""
    from matplotlib import pyplot as plt

    found = comparison.measured([each for group in groups for each in group])
    drawing, axes = plt.subplots()
    figure._profile(axes, found, "sgd")
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    plt.close(drawing)
    return lines


def test_the_part_of_its_own_workloads_that_a_method_is_fast_on():
    # Twice as soon on one workload, and not yet measured on the other.
    found = profiles(plain(), five("factors", 1.6), plain("gpt"))
    assert set(found["factors"]) == {1.0}
    assert found["plain"][0] == 0.5 and found["plain"][-1] == 1.0
    # Never at the target is within no factor, also where it is said of one workload alone.
    found = profiles(plain(), five("factors", 0.1))
    assert set(found["factors"]) == {0.0}
    assert set(found["plain"]) == {1.0}
