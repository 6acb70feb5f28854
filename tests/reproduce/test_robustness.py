"""When depth accelerates: the problems, the counting, the verdicts, and a run from end to end."""

import json

import numpy as np
import pytest
import yaml

from reproduce import claims, cli, data, records, robustness
from reproduce.claims import robustness as checks
from reproduce.data import variants


@pytest.fixture(scope="module")
def dataset():
    return data.load_ethanol(source="stand-in")


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
    assert robustness.iterations_to(curve, 1.0) == pytest.approx(100.0)
    assert robustness.iterations_to(curve, 0.1) == pytest.approx(1000.0)
    assert robustness.iterations_to(curve, 0.01) == np.inf
    assert robustness.iterations_to(curve, 6.0) == 1.0


def test_a_run_that_diverged_has_no_final_loss():
    assert robustness.final([[[0, 1.0], [9, 0.5]], [[0, 1.0]], [[0, 1.0], [9, 0.1]]], 9) == 0.5
    assert robustness.final([[[0, 1.0]], [[0, 1.0]], [[0, 1.0], [9, 0.1]]], 9) == np.inf
    assert robustness.final([[[9, 0.1]], [[9, 0.2]]], 9) == 0.2


def record(panel, times, **more):
    times = {"1": [100.0, 100.0, 100.0], **{str(d): [t] * 3 for d, t in times.items()}}
    return records.Record(
        series="all",
        seed=0,
        learning_rate=None,
        settings={"steps": 100},
        curves={},
        results={"iterations": times, "rates": dict.fromkeys(times, 0.1), "level": 0.5, **more},
        provenance={},
        panel=panel,
    )


def verdict_on(found, words):
    (match,) = [v for v in checks.verdicts(found) if words in v.statement]
    return match.verdict


def test_depth_accelerates_where_it_does_on_all_data():
    fast, slow = {2: 50.0, 3: 200.0}, {2: 150.0, 3: 95.0}
    for other, four, two in ((fast, "HOLDS", "FAILS"), (slow, "FAILS", "FAILS")):
        found = [record(f"{n} l{p}", t) for p in (2, 4) for n, t in (("a", fast), ("b", other))]
        assert verdict_on(found, "For p = 4") == getattr(claims, four)
        assert verdict_on(found, "For p = 2") == getattr(claims, two)
    assert verdict_on([record("a l2", slow), record("b l2", slow)], "For p = 2") == claims.HOLDS
    assert verdict_on([record("a l4", fast)], "For p = 4") == claims.NOT_RUN


@pytest.mark.parametrize(
    "times, expected",
    [((80, 50, 20), claims.HOLDS), ((80, 20, 50), claims.FAILS), ((80, 80, 80), claims.FAILS)],
)
def test_the_advantage_grows_with_the_condition_number(times, expected):
    found = [
        record(f"condition_{condition} l4", {2: float(t), 3: 100.0})
        for condition, t in zip(("1e+01", "1e+02", "1e+10"), times)
    ]
    assert verdict_on(found[::-1], "ill-conditioned") == expected
    assert verdict_on([], "ill-conditioned") == claims.NOT_RUN


@pytest.mark.parametrize(
    "four, expected", [(None, claims.HOLDS), (120.0, claims.HOLDS), (90.0, claims.FAILS)]
)
def test_four_layers_are_slow_if_they_take_twice_as_long(four, expected):
    found = [record("full l4", {2: 50.0, 3: 50.0, 4: four})]
    assert verdict_on(found, "From 3 to 4") == expected
    assert verdict_on([], "From 3 to 4") == claims.NOT_RUN


def test_the_table_has_a_word_on_each_problem():
    rows = checks.table(
        [record("a l4", {2: 50.0, 3: 25.0}), record("b l2", {2: 200.0, 3: None})]
    )
    assert rows[0]["depth accelerates"] == "4.0 times, depth 3"
    assert rows[0]["depth 2"] == "50 (50 to 50) at 0.1"
    assert rows[1]["depth accelerates"].startswith("no") and "never" in rows[1]["depth 3"]


SMALL = {
    "steps": 300,
    "rates": [0.001, 0.01, 0.1, 10.0],
    "powers": [2, 4],
    "problems": ["full", "log_target"],
    "condition_numbers": [10.0, 1000.0],
}


def command(tmp_path, *arguments):
    path = tmp_path / "small.yaml"
    values = yaml.safe_load((cli.CONFIGS / "robustness.yaml").read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**values, **SMALL}))
    shared = ["--config", str(path), "--data", "stand-in", "--quiet", "--seeds", "3", "4"]
    robustness.main([*shared, *arguments])


def test_from_end_to_end_and_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command(tmp_path)
    folder = tmp_path / "runs/stand-in/robustness/results"
    finished = {record.panel: record for record in records.read_records(folder)}
    assert set(finished) == {
        *(f"{problem} l{p}" for problem in ("full", "log_target") for p in (2, 4)),
        "condition_1e+01 l4",
        "condition_1e+03 l4",
    }
    for each in finished.values():
        results = each.results
        # The slowest depth gets there at the end, and the rate that diverges is not the best.
        ends = [end for depth, end in results["final"].items() if depth != "4" and end is not None]
        assert results["level"] == pytest.approx(max(ends), rel=1e-5)
        assert set(results["rates"].values()) <= {0.001, 0.01, 0.1}
        assert set(results["rates"]) == ({*"1234"} if each.panel.startswith("full") else {*"123"})
        assert all(t is None or t <= 300 for ts in results["iterations"].values() for t in ts)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert {v["verdict"] for v in summary["verdicts"]} == {claims.NOT_COMPARABLE}
    assert (folder / "figure.png").stat().st_size > 10_000
    assert not list(tmp_path.rglob("*.npz"))
    # Again, one being lost: only that is run, and comes out the same.
    path = folder / "records" / f"{finished['full l4'].name}.json"
    path.unlink()
    ran = []
    measure = robustness.measure
    monkeypatch.setattr(
        robustness, "measure", lambda panel, *rest: ran.append(panel.name) or measure(panel, *rest)
    )
    command(tmp_path, "--resume")
    assert ran == ["full l4"]
    assert records.read_record(path).results == finished["full l4"].results
