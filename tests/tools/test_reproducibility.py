"""The numbers of two processes are equal to the bit, with TensorFlow's op determinism."""

import json

import pytest

from tools.reliability import reproducibility


@pytest.mark.slow
def test_two_processes_give_the_same_bits():
    options = ["--steps", "4", "--arms", "original"]
    program = reproducibility.FIGURE.format("figure5_right", options)
    assert reproducibility.repeated("figure5_right", program).is_met()


def test_any_other_number_is_noticed_and_another_time_is_not(tmp_path):
    path = tmp_path / "records/run.json"
    path.parent.mkdir()
    digests = []
    for loss, seconds in ((0.5, 1), (0.5, 2), (0.5000001, 1)):
        path.write_text(json.dumps({"curve": [[0, loss]], "provenance": {"seconds": seconds}}))
        digests.append(reproducibility.digest(tmp_path))
    assert digests[0] == digests[1] != digests[2]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reproducibility.digest(tmp_path)


def test_what_verify_prints_becomes_rows():
    (cells,) = reproducibility.lines("figure2  fig2R_l4  100  3000  2  1.2e-06  5.0e-06  OFF")
    row = reproducibility.row(cells, ["figure2 fig2R_l4 w1", "figure3 fig2R_l4 w1"], "here")
    assert (row.tried, row.held, row.is_met()) == (100, 99, False)
