"""The theory's rows: each computation against a case done by hand, each check made to fail."""

import functools
import json

import numpy as np
import pytest

from reproduce import claims, report
from reproduce.claims import headlines
from reproduce.theory import (
    __main__,
    conditioning,
    gradient_flow,
    line_integral,
    preconditioner,
    rule,
    singular_modes,
    sublevel_sets,
    two_points,
    warmup,
)


def take_the_rule_of_another_depth(monkeypatch):
    right = rule.direction
    monkeypatch.setattr(rule, "direction", lambda w, g, depth: right(w, g, depth + 1))


def test_the_compiled_rule_by_hand():
    # For a number, N |w|^(2-2/N) g: 3 * 8^(4/3) * 2.
    assert rule.direction(np.array([[8.0]]), np.array([[2.0]]), 3) == pytest.approx(96)


# Claims 1 and 2


def test_the_preconditioner_of_a_diagonal_matrix_by_hand():
    # Depth 2: the eigenvalue of u_r v_s^T is sigma_r + sigma_s.
    w = np.diag([4.0, 1.0])
    assert np.diag(preconditioner.kronecker_preconditioner(w, 2)) == pytest.approx([8, 5, 5, 2])
    eigenvalues = preconditioner.eigenvalues_of_claim_1(np.array([4.0, 1.0, 0.0]), 2)
    assert eigenvalues.tolist() == [[8, 5, 4], [5, 2, 1], [4, 1, 0]]


def test_the_power_of_a_singular_matrix_has_exact_zeros():
    column = np.array([[1.0], [2.0], [2.0]])
    power = preconditioner.psd_power(column @ column.T, 0.25)
    assert power == pytest.approx(column @ column.T / 9 * 9**0.25, abs=1e-12)
    assert preconditioner.psd_power(np.zeros((2, 2)), 0.0) == pytest.approx(np.eye(2))


def test_claim_2_by_hand():
    # N = 2 at w = (3, 4): 5 (g + (g.w) w / 25).
    direction = preconditioner.single_output_direction(
        np.array([3.0, 4.0]), np.array([1.0, 0.0]), 2
    )
    assert direction == pytest.approx([5 * (1 + 9 / 25), 5 * 12 / 25])


def test_claims_hold_and_fail_with_the_rule_of_another_depth(monkeypatch):
    monkeypatch.setattr(preconditioner, "DEPTHS", (1, 3))
    monkeypatch.setattr(preconditioner, "SHAPES_AND_RANKS", ((2, 3, 1),))
    monkeypatch.setattr(preconditioner, "SIZES", (3,))
    assert preconditioner.claim_1().verdict == claims.HOLDS
    assert preconditioner.claim_2().verdict == claims.HOLDS
    take_the_rule_of_another_depth(monkeypatch)
    assert preconditioner.claim_1().verdict == claims.FAILS
    assert preconditioner.claim_2().verdict == claims.FAILS


def test_claim_1_fails_with_the_exponents_halved(monkeypatch):
    monkeypatch.setattr(preconditioner, "SHAPES_AND_RANKS", ((2, 3, 1),))
    right = preconditioner.eigenvalues_of_claim_1
    monkeypatch.setattr(
        preconditioner, "eigenvalues_of_claim_1", lambda s, depth: right(np.sqrt(s), depth)
    )
    assert preconditioner.claim_1().verdict == claims.FAILS


# Theorem 1, Equation 7, hidden widths


@pytest.fixture
def small_networks(monkeypatch):
    monkeypatch.setattr(gradient_flow, "NETWORKS", ((3, 2, (2,), 2), (2, 2, (3, 2), 4)))
    monkeypatch.setattr(gradient_flow, "TIMES", np.linspace(0, 0.5, 6))


def test_the_flow_solves_exponential_decay(monkeypatch):
    monkeypatch.setattr(gradient_flow, "TIMES", np.array([0.0, 1.0]))
    start = [np.ones((1, 2)), 2 * np.ones((2, 1))]
    _, (first, second) = gradient_flow.flow(lambda matrices: [-m for m in matrices], start)
    assert first == pytest.approx(np.exp(-1) * start[0], rel=1e-9)
    assert second == pytest.approx(np.exp(-1) * start[1], rel=1e-9)


def test_the_velocity_of_factors_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    factors = [rng.normal(size=shape) for shape in ((3, 2), (2, 4), (4, 2))]
    target = rng.normal(size=(3, 2))

    def loss(factors):
        decay = sum(np.sum(factor**2) for factor in factors)
        return np.sum((functools.reduce(np.matmul, factors) - target) ** 2) / 2 + 0.7 / 2 * decay

    velocity = gradient_flow.factor_velocity(lambda kernel: kernel - target, 0.7)(factors)
    for j, factor in enumerate(factors):
        for index in np.ndindex(factor.shape):
            step = np.zeros_like(factor)
            step[index] = 1e-6
            up, down = (
                loss([*factors[:j], factor + sign * step, *factors[j + 1 :]]) for sign in (1, -1)
            )
            assert velocity[j][index] == pytest.approx(-(up - down) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_theorem_1_holds_and_fails_with_the_rule_of_another_depth(
    weight_decay, small_networks, monkeypatch
):
    assert gradient_flow.theorem_1(weight_decay).verdict == claims.HOLDS
    take_the_rule_of_another_depth(monkeypatch)
    assert gradient_flow.theorem_1(weight_decay).verdict == claims.FAILS


def test_theorem_1_fails_from_an_unbalanced_start(small_networks, monkeypatch):
    right = gradient_flow.problem
    monkeypatch.setattr(
        gradient_flow, "problem", lambda *sizes, **_: right(*sizes[:4], balanced=False)
    )
    assert gradient_flow.theorem_1(0.0).verdict == claims.FAILS


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equation_7_holds_and_fails_when_one_factor_learns_faster(
    weight_decay, small_networks, monkeypatch
):
    assert gradient_flow.equation_7(weight_decay).verdict == claims.HOLDS
    right = gradient_flow.factor_velocity

    def faster_first(*arguments):
        velocity = right(*arguments)
        return lambda factors: [v * (2 - (j > 0)) for j, v in enumerate(velocity(factors))]

    monkeypatch.setattr(gradient_flow, "factor_velocity", faster_first)
    assert gradient_flow.equation_7(weight_decay).verdict == claims.FAILS


def test_hidden_widths_hold_and_fail_where_a_width_cuts_the_rank(monkeypatch):
    monkeypatch.setattr(gradient_flow, "TIMES", np.linspace(0, 0.5, 6))
    monkeypatch.setattr(gradient_flow, "WIDTHS", ((3, 2, ((2,), (6,))),))
    assert gradient_flow.hidden_widths().verdict == claims.HOLDS
    monkeypatch.setattr(gradient_flow, "WIDTHS", ((3, 2, ((2,), (1,))),))
    assert gradient_flow.hidden_widths().verdict == claims.FAILS


# Theorem 2


CURVE = line_integral.Curve(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 1.0, 2.0)


def test_gamma_is_closed_and_its_velocities_are_its_derivatives():
    ends = [CURVE.arc(arc, np.array([0.0, 1.0]))[0] for arc in line_integral.ARCS]
    for (_, end), (start, _) in zip(ends, ends[1:] + ends[:1]):
        assert end == pytest.approx(start)
    assert ends[0][0] == pytest.approx([-2, 0]) and ends[1][0] == pytest.approx([-1, 0])
    t = np.array([0.3])
    for arc in line_integral.ARCS:
        difference = (CURVE.arc(arc, t + 1e-6)[0] - CURVE.arc(arc, t - 1e-6)[0]) / 2e-6
        assert CURVE.arc(arc, t)[1] == pytest.approx(difference, abs=1e-8)


def test_the_integral_over_each_arc_by_hand():
    # N = 4, r = 1, R = 2: the segments give 4 / 2.5 (2^2.5 - 1), the spheres 2 and -2 * 2^2.5.
    segment, outer = 1.6 * (2**2.5 - 1), 2**2.5
    integrals = line_integral.arc_integrals(lambda w: CURVE.e, CURVE, 4)
    assert integrals == pytest.approx([segment, 2, segment, -2 * outer])
    assert line_integral.closed_form(4, 1, 2) == pytest.approx(1.2 * (outer - 1))


def test_a_random_curve_lies_in_a_plane_of_orthonormal_vectors():
    curve = line_integral.random_curve(7, 1, 2, np.random.default_rng(0))
    frame = np.stack([curve.e, curve.normal])
    assert frame @ frame.T == pytest.approx(np.eye(2))


def test_lemma_3_and_footnote_1_hold_and_fail_with_the_rule_of_another_depth(monkeypatch):
    lemma_3 = functools.partial(line_integral.lemma_3, (3, 2.5), (3,))
    assert lemma_3().verdict == line_integral.footnote_1().verdict == claims.HOLDS
    take_the_rule_of_another_depth(monkeypatch)
    assert lemma_3().verdict == line_integral.footnote_1().verdict == claims.FAILS


def test_theorem_2_holds_and_fails_for_a_gradient_field(monkeypatch):
    monkeypatch.setattr(line_integral, "DEPTHS", (3,))
    assert line_integral.theorem_2().verdict == claims.HOLDS
    monkeypatch.setattr(line_integral, "field", lambda w, phi, depth: phi)
    assert line_integral.theorem_2().verdict == claims.FAILS


def test_the_lipschitz_constants_bound_the_gradients():
    rng = np.random.default_rng(0)
    for make_loss in (line_integral.least_squares, line_integral.logistic_regression):
        loss = make_loss(3, rng)
        for w in 3 * rng.normal(size=(50, 3)):
            change = np.linalg.norm(loss.gradient(w) - loss.gradient(0 * w))
            assert change <= loss.lipschitz * np.linalg.norm(w) * (1 + 1e-12)


# Observation 1


def test_the_first_step_of_the_warmup_leaves_out_the_product_of_both_steps():
    for sampled in (True, False):
        w1, w2, gradient = next(warmup.descent(0.1, 1, sampled))
        left_out = 0.1**2 * np.linalg.norm(gradient * w2) * abs(w1 @ gradient)
        errors = warmup.decomposition_errors(0.1, 1, sampled)
        assert errors == pytest.approx([left_out, left_out])


def test_the_warmup_descends_the_mean_of_the_loss_over_all_examples():
    (w1, w2, gradient), (next_w1, next_w2, _) = warmup.descent(0.1, 2, sampled=False)
    inputs = np.random.default_rng(5).normal(size=(warmup.EXAMPLES, warmup.SIZE))
    rng = np.random.default_rng(4)
    target = rng.normal(size=warmup.SIZE) / np.sqrt(warmup.SIZE)

    def loss(w1, w2):
        return np.mean((inputs @ w1 * w2 - inputs @ target) ** warmup.P) / warmup.P

    step = 1e-6
    by_w2 = (loss(w1, w2 + step) - loss(w1, w2 - step)) / (2 * step)
    assert next_w2 == pytest.approx(w2 - 0.1 * by_w2)
    for i, unit in enumerate(np.eye(warmup.SIZE)):
        by_w1 = (loss(w1 + step * unit, w2) - loss(w1 - step * unit, w2)) / (2 * step)
        assert next_w1[i] == pytest.approx(w1[i] - 0.1 * by_w1, abs=1e-9)


@pytest.mark.parametrize("sampled", [True, False])
def test_observation_1_holds_and_fails_without_momentum(sampled, monkeypatch):
    assert warmup.observation_1(sampled).verdict == claims.HOLDS
    right = warmup.rho_and_gamma
    monkeypatch.setattr(warmup, "rho_and_gamma", lambda *a: (right(*a)[0], 0.9 * right(*a)[1]))
    assert warmup.observation_1(sampled).verdict == claims.FAILS


# Section 7


def test_gradient_descent_by_hand(monkeypatch):
    # p = 2: with the rate 1 the optimum is reached in one step, whatever y is.
    assert two_points.fewest_iterations(2, 1, ratio=10) == 1
    # p = 4 at the rate 0.2 only: 1 - w goes 0.99, 0.796, 0.695, 0.628, 0.578, 0.540, 0.508, 0.482.
    monkeypatch.setattr(two_points, "RATES", np.array([0.1]))
    assert two_points.fewest_iterations(4, 1, ratio=1) == 7


@pytest.mark.slow
def test_both_coordinates_stay_where_they_are_counted():
    # Several rates step over the optimum and come back: they are near it, and not to stay.
    y, fewest, fewest_near = np.array([2.0, 1.0]), [], []
    for rate in 2 * two_points.RATES:
        w, near = np.full(2, two_points.START), []
        for _ in range(60):
            near.append(bool(np.all(np.abs(w - y) <= 0.5)))
            w = w - rate * rule.direction(w[:, None], (w - y)[:, None], 2)[:, 0]
            w = np.clip(w, -1e6, 1e6)
        fewest += [i for i in range(39) if all(near[i : i + 21])][:1]
        fewest_near += [i for i in range(39) if near[i]][:1]
    assert two_points.fewest_iterations(2, 2, ratio=2) == min(fewest) > min(fewest_near)


def test_rows_of_single_output_directions_are_the_library_s():
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=(2, 4, 2))
    for row, expected in zip(two_points.single_output_directions(w, gradients, 3), range(4)):
        direction = rule.direction(w[expected][:, None], gradients[expected][:, None], 3)
        assert row == pytest.approx(direction[:, 0])


def rows(count):
    return [
        {"p": p, "N": n, "y1/y2 = 1": 2, "y1/y2 = 10": count(p, n)} for p in (2, 4) for n in (1, 2)
    ]


def test_slowdown_and_relief_of_given_tables():
    as_said = rows(lambda p, n: 2 if p == 2 else 50 / n)
    assert two_points.slowdown(as_said).verdict == claims.HOLDS
    assert two_points.relief(as_said).verdict == claims.HOLDS
    otherwise = rows(lambda p, n: 3)
    assert two_points.slowdown(otherwise).verdict == claims.FAILS
    assert two_points.relief(otherwise).verdict == claims.FAILS


def test_the_special_case_holds_and_fails_with_the_rule_of_another_depth(monkeypatch):
    monkeypatch.setattr(two_points, "SPECIAL_CASES", ((10, 0.01),))
    assert two_points.special_case().verdict == claims.HOLDS
    take_the_rule_of_another_depth(monkeypatch)
    assert two_points.special_case().verdict == claims.FAILS


# Singular modes


def test_the_sigmoid_starts_and_ends_where_it_should_and_solves_its_equation():
    assert singular_modes.sigmoid(0.0) == pytest.approx(singular_modes.STARTS)
    assert singular_modes.sigmoid(30.0) == pytest.approx(singular_modes.STRENGTHS)
    a = singular_modes.sigmoid(1.0)
    slope = (singular_modes.sigmoid(1 + 1e-6) - singular_modes.sigmoid(1 - 1e-6)) / 2e-6
    assert slope == pytest.approx(2 * a * (singular_modes.STRENGTHS - a), rel=1e-6)


def test_the_problem_is_whitened():
    inputs, targets, u, v = singular_modes.whitened_problem(np.random.default_rng(0))
    assert inputs.T @ inputs / len(inputs) == pytest.approx(np.eye(5), abs=1e-12)
    correlation = inputs.T @ targets / len(inputs)
    assert correlation == pytest.approx((u * singular_modes.STRENGTHS) @ v.T, abs=1e-12)


def test_sigmoidal_dynamics_hold_and_fail_with_another_time(monkeypatch):
    monkeypatch.setattr(singular_modes, "RATES", (8e-3, 4e-3))
    assert singular_modes.sigmoidal_dynamics().verdict == claims.HOLDS
    right = singular_modes.sigmoid
    monkeypatch.setattr(singular_modes, "sigmoid", lambda t: right(1.1 * t))
    assert singular_modes.sigmoidal_dynamics().verdict == claims.FAILS


# Sublevel sets


@pytest.fixture
def small_paths(monkeypatch):
    monkeypatch.setattr(sublevel_sets, "SHAPES", sublevel_sets.SHAPES[1:3])
    monkeypatch.setattr(sublevel_sets, "SAMPLES", 60)


def test_the_path_leads_from_one_point_to_the_other():
    rng = np.random.default_rng(0)
    for shapes in (((4, 3), (3, 2)), ((2, 3), (3, 4))):
        start, end = ([rng.normal(size=shape) for shape in shapes] for _ in range(2))
        points = sublevel_sets.path(start, end, 5)
        for found, expected in ((points[0], start), (points[-1], end)):
            assert all(a == pytest.approx(b, abs=1e-12) for a, b in zip(found, expected))


def test_the_way_to_canonical_factors_keeps_the_product_and_never_raises_the_norm():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    points = sublevel_sets.path_to_canonical((first, second), 20)
    norms = [np.sum(a**2) + np.sum(b**2) for a, b in points]
    assert all(a @ b == pytest.approx(first @ second, abs=1e-12) for a, b in points)
    assert np.max(np.diff(norms)) <= 1e-12
    nuclear_norm = np.sum(np.linalg.svd(first @ second)[1])
    assert norms[-1] == pytest.approx(2 * nuclear_norm)


@pytest.mark.slow
def test_sublevel_sets_hold_and_fail_for_the_straight_line(small_paths, monkeypatch):
    assert sublevel_sets.connected_sublevel_sets().verdict == claims.HOLDS
    monkeypatch.setattr(sublevel_sets, "path", sublevel_sets.interpolated)
    assert sublevel_sets.connected_sublevel_sets().verdict == claims.FAILS


def test_sublevel_sets_fail_for_a_jump(small_paths, monkeypatch):
    monkeypatch.setattr(sublevel_sets, "path", lambda start, end, samples: [start, end])
    assert sublevel_sets.connected_sublevel_sets().verdict == claims.FAILS


# The command


@pytest.fixture
def two_rows(monkeypatch):
    monkeypatch.setattr(
        __main__, "_statements", lambda: (preconditioner.claim_2, line_integral.footnote_1)
    )
    for module in (two_points, conditioning):
        monkeypatch.setattr(module, "RATIOS", (1, 3))
    monkeypatch.setattr(conditioning, "TOLERANCES", (0.5, 0.2))
    monkeypatch.setattr(headlines, "HEADLINES", ())


def test_the_command_writes_what_the_report_reads(tmp_path, two_rows, capsys):
    folder = tmp_path / "results" / "theory"
    __main__.main(["--out", str(folder), "--quiet"])
    out = capsys.readouterr().out
    summary = json.loads((folder / "summary.json").read_text())
    assert len(summary["verdicts"]) == 8
    for verdict in summary["verdicts"]:
        assert verdict["statement"] in out and verdict["measured"] in out
    (tmp_path / "README.md").write_text(f"{report.START}\n{report.END}")
    report.write(tmp_path)
    written = (tmp_path / "results" / "README.md").read_text()
    assert "(Claim 2)" in written and "Errata of the sources" in written
    assert "Computed without data" in written
    assert "figure.png" not in written


def test_the_command_finds_the_same_numbers_again(tmp_path, two_rows):
    summaries = []
    for name in ("first", "second"):
        __main__.main(["--out", str(tmp_path / name), "--quiet"])
        summaries.append(json.loads((tmp_path / name / "summary.json").read_text()))
    first, second = summaries
    assert first["verdicts"] == second["verdicts"] and first["tables"] == second["tables"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as error:
        __main__.main(["--out", str(tmp_path / "file" / "inner")])
    assert error.value.code == 2
    assert "Cannot write to the folder" in capsys.readouterr().err
