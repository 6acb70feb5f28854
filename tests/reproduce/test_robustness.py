"""When depth accelerates: the problems, the counting, the verdicts, and a run from end to end."""

import json

import numpy as np
import pytest
import yaml

from reproduce import claims, data, robustness
from reproduce.harness import cli, records
from reproduce.claims import robustness as checks
from reproduce.data import variants


@pytest.fixture(scope="module")
def dataset():
    return data.load_breast_cancer()


def is_standardized(values):
    return np.allclose(values.mean(axis=0), 0) and np.allclose(values.std(axis=0), 1)


def test_variants_of_the_data(dataset):
    fewer = variants.without_high_leverage(dataset)
    assert len(fewer.features) == len(dataset.features) - 3
    assert is_standardized(fewer.features) and is_standardized(fewer.targets)
    norms = np.linalg.norm(dataset.features, axis=1)
    assert len(set(dataset.raw_targets[norms > np.sort(norms)[-4]]) - set(fewer.raw_targets)) == 3
    logarithm = variants.logarithmic(dataset)
    assert is_standardized(logarithm.targets)
    assert np.corrcoef(logarithm.targets, np.log(dataset.raw_targets))[0, 1] == pytest.approx(1)
    for condition in (10.0, 1e6):
        changed = variants.with_condition_number(dataset, condition)
        values = np.linalg.svd(changed.features, compute_uv=False)
        assert (values[0] / values[-1]) ** 2 == pytest.approx(condition)
        assert np.sum(changed.features**2) == pytest.approx(np.sum(dataset.features**2))
    descriptions = {each.description for each in (dataset, fewer, logarithm, changed)}
    fingerprints = {each.fingerprint for each in (dataset, fewer, logarithm, changed)}
    assert len(descriptions) == len(fingerprints) == 4


def test_iterations_are_interpolated_on_both_logarithms():
    # On the line loss = 100 / t.
    curve = [[0, 5.0], [10, 10.0], [1000, 0.1]]
    assert checks.iterations_to(curve, 1.0) == pytest.approx(100.0)
    assert checks.iterations_to(curve, 0.1) == pytest.approx(1000.0)
    assert checks.iterations_to(curve, 0.01) == np.inf
    assert checks.iterations_to(curve, 6.0) == 1.0


def record(problem, times, seeds=(0, 1, 2), p=4, condition_number=None):
    """Depths that are at 1 at the iteration `times`, and halve in as long; None: diverged."""

    def curve(time):
        if time is None:
            return [[0, 100.0]]
        return [[t, 100.0 if t == 0 else time / t] for t in (0, 10, 20, 50, 80, 95, 100, 120, 200)]

    times = {1: 100.0, **times}
    return records.Record(
        series="all",
        seed=0,
        learning_rate=None,
        settings={
            "steps": 200,
            "problem": problem,
            "condition_number": condition_number,
            "p": p,
            "depths": list(times),
        },
        curves={checks.curve_name(d, s): curve(time) for d, time in times.items() for s in seeds},
        results={
            "at_zero": 100.0,
            "rates": dict.fromkeys(map(str, times), 0.1),
            "seeds": list(seeds),
        },
        provenance={},
        panel=f"{problem} l{p}",
    )


def test_two_depths_are_compared_where_both_get():
    # Depth 1 ends at 1/2. Depth 2 is there after half as long; depth 3, twice as slow, ends at 1.
    found = record("a", {2: 50.0, 3: 200.0, 4: None})
    expected = ((2, 0.5, 200, 100), (3, 1.0, 100, 200), (4, 0.5, 200, np.inf))
    for depth, level, shallow, deep in expected:
        at, single, other = checks.compare(found, depth)
        assert at == pytest.approx(level)
        np.testing.assert_allclose(single, [shallow] * 3)
        np.testing.assert_allclose(other, [deep] * 3)
    np.testing.assert_allclose(checks.speedups(found, 2), [2.0] * 3)
    np.testing.assert_allclose(checks.speedups(found, 4), [0.0] * 3)


def test_runs_of_depth_1_that_diverge_are_left_out_and_counted():
    found = record("a", {2: 50.0, 3: 200.0})
    for seed in (0, 1):
        found.curves[checks.curve_name(1, seed)] = [[0, 100.0]]
    np.testing.assert_allclose(checks.speedups(found, 2), [2.0] * 3)
    (row,) = checks.table([found])
    assert "depth 1 200 at 0.1 (2 of depth 1's 3 runs diverge), to 0.5" in row["depth 2"]
    found.curves[checks.curve_name(1, 2)] = [[0, 100.0]]
    assert np.isinf(checks.speedups(found, 2)).all()


def test_a_run_that_stays_where_it_started_is_not_waited_for():
    found = record("a", {2: 50.0})
    for seed in found.results["seeds"]:
        found.curves[checks.curve_name(2, seed)] = [[0, 100.0], [200, 99.0]]
    level, _, deep = checks.compare(found, 2)
    assert level == pytest.approx(0.5) and np.isinf(deep).all()
    # One in ten runs is not, either.
    found = record("a", {2: 50.0}, seeds=range(20))
    found.curves[checks.curve_name(2, 7)] = [[0, 100.0], [200, 40.0]]
    level, _, deep = checks.compare(found, 2)
    assert level == pytest.approx(0.5) and np.isinf(deep).sum() == 1


def verdict_on(found, words):
    (match,) = [v for v in checks.verdicts(found) if words in v.statement]
    return match.verdict


def test_depth_accelerates_where_it_does_on_all_data():
    fast, slow = {2: 50.0, 3: 200.0}, {2: 150.0, 3: 95.0}
    for other, four, two in ((fast, "HOLDS", "FAILS"), (slow, "FAILS", "FAILS")):
        found = [record(n, t, p=p) for p in (2, 4) for n, t in (("a", fast), ("b", other))]
        assert verdict_on(found, "For p = 4") == getattr(claims, four)
        assert verdict_on(found, "For p = 2") == getattr(claims, two)
    both = [record("a", slow, p=2), record("b", slow, p=2)]
    assert verdict_on(both, "For p = 2") == claims.HOLDS
    assert verdict_on([record("a", fast)], "For p = 4") == claims.NOT_RUN


@pytest.mark.parametrize(
    "times, single, expected",
    [
        ((80, 50, 20), 100.0, claims.HOLDS),
        ((80, 80, 50), 100.0, claims.HOLDS),
        ((80, 50, 50), 100.0, claims.HOLDS),
        ((80, 20, 50), 100.0, claims.FAILS),
        ((80, 80, 80), 100.0, claims.FAILS),
        ((80, 50, 1), 5.0, claims.OPEN),  # The last to a loss of 0.025, the others of 0.5.
    ],
)
def test_the_advantage_grows_with_the_condition_number(times, single, expected):
    found = [
        record("conditioned", {1: one, 2: float(t), 3: one}, condition_number=condition)
        for condition, t, one in zip((1e1, 1e2, 1e10), times, (100.0, 100.0, single))
    ]
    assert verdict_on(found[::-1], "condition number") == expected
    assert verdict_on(found[:1], "condition number") == claims.NOT_RUN
    two = claims.HOLDS if times[1] < times[0] else claims.FAILS
    assert verdict_on(found[:2], "condition number") == two


@pytest.mark.parametrize(
    "four, expected", [(None, claims.HOLDS), (120.0, claims.HOLDS), (90.0, claims.FAILS)]
)
def test_four_layers_are_slow_if_they_take_twice_as_long(four, expected):
    found = [record("full", {2: 50.0, 3: 50.0, 4: four})]
    assert verdict_on(found, "From 3 to 4") == expected
    assert verdict_on([], "From 3 to 4") == claims.NOT_RUN


def test_the_table_has_a_word_on_each_problem():
    rows = checks.table([record("a", {2: 50.0, 3: 25.0}), record("b", {2: 200.0, 3: None}, p=2)])
    assert rows[0]["depth accelerates"] == "4.0 times, depth 3"
    assert rows[0]["depth 2"] == "2.00: 100 (100 to 100) at 0.1, depth 1 200 at 0.1, to 0.5"
    assert rows[1]["depth accelerates"] == "no: 0.50 times at best"
    assert "never" in rows[1]["depth 3"]
    (row,) = checks.table([record("c", {2: 105.0, 3: None})])
    assert row["depth accelerates"] == "no"


def test_where_no_run_of_depth_1_arrives_a_deeper_one_does_or_not():
    lost = record("a", {1: None, 2: None, 3: 50.0})
    assert set(checks.speedups(lost, 2)) == {0} and set(checks.speedups(lost, 3)) == {np.inf}


SMALL = {
    "steps": 90,
    "rates": [0.001, 0.01, 0.1, 10.0],
    "powers": [4],
    "problems": ["full"],
    "condition_numbers": [1000.0],
    "tasks": ["machine", "pol"],
    "refinement": 1,
    "tasks_seeds": 1,
}


def command(tmp_path, *arguments):
    path = tmp_path / "small.yaml"
    values = yaml.safe_load((cli.ROOT / "configs" / "robustness.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**values, **SMALL}))
    shared = ["--config", str(path), "--quiet", "--seeds", "3", "4"]
    arms = [] if "--arms" in arguments else ["--arms", "variants"]
    robustness.main([*shared, *arms, *arguments])


def once(function):
    """A function that gives what it gave at first, whatever it is given."""
    first = []
    return lambda *given: (first or first.append(function(*given)) or first)[0]


def test_from_end_to_end_and_resumed(small_ethanol, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    # Each by itself takes seconds: one is measured, and stands for the other.
    monkeypatch.setattr(robustness, "measure", once(robustness.measure))
    command(tmp_path)
    folder = tmp_path / "runs/robustness/results"
    finished = {record.panel: record for record in records.read_records(folder)}
    assert set(finished) == {"full l4", "condition_1e+03 l4"}
    for each in finished.values():
        depths = each.settings["depths"]
        assert depths == ([1, 2, 3, 4] if each.panel.startswith("full") else [1, 2, 3])
        # The rate that diverges is not the best.
        rates = each.results["rates"]
        assert set(rates) == {*"1234"} and set(rates.values()) <= {0.001, 0.01, 0.1}
        assert set(each.curves) == {checks.curve_name(d, s) for d in rates for s in (3, 4)}
        assert all(curve[0][0] == 0 for curve in each.curves.values())
        ends = {checks.end(curve, 90) for curve in each.curves.values()}
        assert min(ends) < 0.1 * each.results["at_zero"]
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {v["verdict"] for v in summary["verdicts"]} == {claims.NOT_COMPARABLE}
    assert (folder / "figure.png").stat().st_size > 10_000
    assert not list(tmp_path.rglob("*.npz"))
    # Again, one being lost: only that is run.
    request.getfixturevalue("no_figure_files")
    path = folder / "records" / f"{finished['full l4'].name}.json"
    path.unlink()
    ran = []
    monkeypatch.setattr(
        robustness,
        "measure",
        lambda run, *rest: (
            ran.append(run.panel) or (finished[run.panel].curves, finished[run.panel].results)
        ),
    )
    command(tmp_path, "--resume")
    assert ran == ["full l4"]
    assert records.read_record(path).results == finished["full l4"].results
    assert records.read_record(path).curves == finished["full l4"].curves


@pytest.mark.slow
def test_a_task_from_end_to_end(small_ethanol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command(tmp_path, "--arms", "tasks")
    folder = tmp_path / "runs/robustness/results"
    (found,) = records.read_records(folder)  # That of `pol` is in no folder.
    assert found.panel == "task machine l4" and found.results["seeds"] == [3]
    assert set(found.curves) == {checks.curve_name(depth, 3) for depth in (1, 2, 3)}
    assert found.results["kurtosis"] == pytest.approx(3.69, abs=0.01)
    assert (folder / "figure.png").stat().st_size > 10_000
    # Where there is a folder with such a file, it is to be used.
    (tmp_path / "pol.csv").write_text("1,2\n")
    with pytest.raises(SystemExit):
        command(tmp_path, "--arms", "tasks", "--resume", "--data-dir", str(tmp_path))
