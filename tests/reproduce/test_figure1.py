"""The figure of the curve, and the integral beside it."""

import json

import pytest

from reproduce import claims, figure1, report


def test_the_command_draws_and_writes_what_the_report_reads(tmp_path, capsys):
    folder = tmp_path / "results" / "figure1"
    figure1.main(["--out", str(folder)])
    assert (folder / "figure.png").read_bytes()[1:4] == b"PNG"
    assert (folder / "figure.pdf").read_bytes()[:4] == b"%PDF"
    summary = json.loads((folder / "summary.json").read_text())
    (verdict,) = summary["verdicts"]
    assert verdict["verdict"] == claims.HOLDS
    assert verdict["measured"] in capsys.readouterr().out
    (tmp_path / "README.md").write_text(f"{report.START}\n{report.END}")
    report.write(tmp_path)
    assert "(figure1/figure.png)" in (tmp_path / "results" / "README.md").read_text()


def test_the_row_of_depth_4_by_hand():
    # r = 1/2, R = 1: 1.2 (1 - 2^-2.5), of which the spheres are 2 * 2^-2.5 and -2.
    row = figure1.integrals(4)
    assert row["arc 2"] == pytest.approx(2 * 2**-2.5)
    assert row["arc 4"] == pytest.approx(-2)
    assert row["quadrature"] == pytest.approx(1.2 * (1 - 2**-2.5))
    assert row["closed form"] == pytest.approx(1.2 * (1 - 2**-2.5))


@pytest.mark.parametrize("quadrature, closed_form", [(1.0, 1.1), (0.0, 0.0)])
def test_a_wrong_integral_and_one_of_zero_fail(quadrature, closed_form):
    row = {"N": 3, "quadrature": quadrature, "closed form": closed_form}
    assert figure1.verdict([row]).verdict == claims.FAILS
