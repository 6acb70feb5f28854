"""Recomputed starts of curves: what agrees, what is off, and what is refused."""

import contextlib
import dataclasses
import functools
import json
import shutil
import types

import keras
import numpy as np
import pytest

from reproduce import data, mnist_convnet, verify
from reproduce.data.mnist import Dataset
from reproduce.harness import cli, curves
from reproduce.harness.errors import DataError
from reproduce.harness.prefix import Prefix
from reproduce.harness.records import read_record, rebuilt
from reproduce.linear_networks import Run, initial_factors, losses
from reproduce.linear_networks import verification as networks
from reproduce.mnist_convnet import verification as convnets

STEPS = 12
COMMITTED = {  # for p = 4 in float32, for p = 2 in float64; a flow; one that diverges
    "figure2": ("fig2R_l4_2-layer_w1-seed-0", "fig2L_l2_3-layer_emulation-seed-0"),
    "figure3": ("fig3R_l4_2-layer-seed-0", "fig3L_l2_1-layer_lr=0.5-seed-0"),
    "robustness": ("no_high_leverage_l4_all-seed-0",),
}


@pytest.fixture
def results(tmp_path):
    """Some of the committed records."""
    for figure, names in COMMITTED.items():
        folder = tmp_path / figure / "records"
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(verify.RESULTS / figure / "records" / f"{name}.json", folder)
    return tmp_path


def verified(capsys, *arguments):
    """The lines that the command prints, as lists of words, without the header; and its status."""
    status = 0
    try:
        verify.main([*arguments, "--quiet"])
    except SystemExit as ended:
        status = ended.code
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]], status


@pytest.mark.slow
def test_the_committed_curves_are_those_of_the_code(results, capsys):
    lines, status = verified(capsys, *COMMITTED, "--results", str(results), "--iterations", "20")
    assert [(*line[:2], line[-1]) for line in lines] == [
        ("figure2", "fig2L_l2", "ok"),
        ("figure2", "fig2R_l4", "ok"),
        ("figure3", "fig3L_l2", "ok"),
        ("figure3", "fig3R_l4", "ok"),
        ("robustness", "no_high_leverage", "ok"),
    ]
    assert status == 0


@pytest.mark.parametrize("series", ["2-layer_w1", "3-layer_emulation", "3-layer_emulation_of_w1"])
def test_committed_curves_begin_at_the_starts_of_the_code(series):
    task = data.load_ethanol()
    record = read_record(verify.RESULTS / f"figure2/records/fig2L_l2_{series}-seed-1.json")
    factors = initial_factors(rebuilt(Run, record.settings), task.features.shape[1])
    product = functools.reduce(np.matmul, factors)
    (loss,) = losses(product, task.features, task.targets, 2)
    (first, *_) = record.curves["fig2L_l2"]
    assert first == [0, pytest.approx(loss - record.results["optimum"], rel=2e-5)]


@pytest.mark.slow
@pytest.mark.parametrize("decay_rate", [0.95, 1.0])
def test_a_sample_of_the_convnet_across_drops_of_the_rate(decay_rate, tmp_path, capsys):
    source = cli.ROOT / "tests" / "data" / "sample" / "figure5_right"
    folder = shutil.copytree(source, tmp_path / "figure5_right")
    (folder / "records" / "overparameterized-seed-0.json").unlink()
    path = folder / "records" / "original-seed-0.json"
    record = json.loads(path.read_text())
    assert record["settings"]["decay_rate"] == 0.95 and record["settings"]["steps"] == 80
    record["settings"]["decay_rate"] = decay_rate
    path.write_text(json.dumps(record))
    arguments = ("figure5_right", "--results", str(tmp_path), "--iterations", "80")
    lines, status = verified(capsys, *arguments)
    # What another rate does to the cross-entropy, rounding might; what it does to L2, it cannot.
    assert [line[-1] for line in lines[:3] if line[1] == "l2_term"] == [
        "ok" if decay_rate == 0.95 else "OFF"
    ]
    assert status == (decay_rate != 0.95)


@pytest.mark.slow
def test_a_value_that_is_changed_is_off(results, capsys):
    kept, other = (
        results / "figure2" / "records" / f"{name}.json" for name in COMMITTED["figure2"]
    )
    other.unlink()
    record = json.loads(kept.read_text())
    record["curves"]["fig2R_l4"][7][1] *= 1 + 1e-4
    kept.write_text(json.dumps(record))
    lines, status = verified(capsys, "figure2", "--results", str(results), "--iterations", "7")
    assert lines[0][-1] == "OFF" and status == 1
    assert " ".join(lines[-1]) == f"Off: figure2 fig2R_l4 {kept.stem}"


def test_results_of_other_data_are_refused(results, capsys):
    path = results / "figure2" / "records" / f"{COMMITTED['figure2'][0]}.json"
    record = json.loads(path.read_text())
    record["provenance"]["data"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit) as ended:
        verify.main(["figure2", "--results", str(results), "--quiet"])
    assert ended.value.code == 2
    assert f"is not the data that {path.stem} was made from" in capsys.readouterr().err


def test_a_record_that_does_not_say_is_of_the_data_that_its_folder_says(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {fingerprint: f}")
    record = types.SimpleNamespace(name="run", provenance={})
    dataset = types.SimpleNamespace(description="", location="", fingerprint="f")
    verify._check_data([record], dataset, tmp_path)
    dataset.fingerprint = "another"
    with pytest.raises(DataError, match="that run was made from"):
        verify._check_data([record], dataset, tmp_path)


def test_the_header_stands_over_its_columns(capsys):
    verify.main(["figure1", "--quiet"])
    header, line = capsys.readouterr().out.splitlines()
    assert header.endswith("  worst deviation  tolerance")
    ends = [header.index(name) + len(name) for name in ("points", "chaotic", "worst deviation")]
    assert [line[end - 1] for end in ends[:2]] == ["8", "0"]
    assert line[ends[2] - 1].isdigit() and [line[end] for end in ends] == [" "] * 3
    assert line.endswith("5.0e-06  ok") and line.index("  ok") == len(header)


@contextlib.contextmanager
def bar(description, total):
    yield types.SimpleNamespace(update=lambda count: None, n=0)


def descent(committed):
    """The prefix of a run that diverges, with this for its committed curve."""
    random = np.random.default_rng(0)
    task = types.SimpleNamespace(
        features=random.normal(size=(30, 4)), targets=random.normal(size=30)
    )
    run = Run(p=4, depth=1, learning_rate=0.5, seed=0)
    curve = networks.Recorded("panel", "run", run, committed)
    (prefix,) = networks.prefixes([curve], task, STEPS, bar)
    return prefix


def test_a_run_may_diverge_an_iteration_sooner_and_no_more():
    everything = [[t, 1.0] for t in range(STEPS + 1)]
    prefix = descent(everything)
    last = next(t for t, value in enumerate(prefix.recomputed) if np.isinf(value))
    assert 0 < last < STEPS - 1
    curve = [[t, value] for t, value in enumerate(prefix.recomputed[:last])]
    for later, off in ((0, False), (1, False), (2, True)):
        longer = curve + [[t, 1e38] for t in range(last, last + later)]
        panel = verify.Panel()
        panel.add(descent(longer))
        assert bool(panel.off) == off


@pytest.mark.parametrize("p, smallest, largest", [(2, 1e-17, 1e-14), (4, 1e-9, 1e-6)])
def test_a_number_is_moved_by_the_last_bit_of_its_precision(p, smallest, largest):
    curve = networks.Recorded("panel", "run", Run(p, 1, 0.1, seed=0), [])
    assert smallest < networks._nudged(curve).run.learning_rate / 0.1 - 1 < largest


def prefix(recomputed, moved=None):
    """Of a curve 1, 2, 4, recomputed twice, the second time with a number's last bit changed."""
    curve, others = (
        Prefix.of("panel", "curve", [(0, 1.0), (1, 2.0), (2, 4.0)], list(enumerate(values)))
        for values in (recomputed, moved or recomputed)
    )
    return curve.with_rounding([others], 200)


@pytest.mark.parametrize(
    "recomputed, moved, off, chaotic",
    [
        ([1.0, 2.0, 4.0], None, False, 0),
        ([1.0, 2.0, 4.00001], None, False, 0),
        ([1.0, 2.0, 4.001], None, True, 0),
        ([1.0, 2.0, np.inf], None, True, 0),
        # The last bit moves the second point by 1e-4: from there on, 200 times that is allowed.
        ([1.0, 2.0, 4.001], [1.0, 2.0002, 4.001], False, 0),
        ([1.001, 2.0, 4.0], [1.001, 2.0002, 4.0], True, 0),
        ([1.0, 2.0, 4.1], [1.0, 2.0002, 4.1], True, 0),
        # It moves the second by 1 %: what comes then says nothing.
        ([1.0, 2.0, 8.0], [1.0, 2.02, 8.0], False, 2),
        # It moves all of them: the curve is not verified.
        ([1.0, 2.0, 4.0], [1.1, 2.0, 4.0], True, 3),
    ],
)
def test_what_is_off(recomputed, moved, off, chaotic):
    panel = verify.Panel()
    panel.add(prefix(recomputed, moved))
    assert (bool(panel.off), panel.chaotic, panel.points) == (off, chaotic, 3 - chaotic)


HALF_WINDOW = 2
RECORD = verify.RESULTS / "figure5_right/records/second_network_overparameterized-seed-0.json"
TRAINING = rebuilt(
    mnist_convnet.Training, read_record(RECORD).settings, steps=STEPS, validation_size=10
)


@pytest.fixture(scope="module")
def images():
    """Noise, in place of MNIST."""
    random = np.random.default_rng(0)
    shapes = ((3000, 28, 28, 1), (3000,), (10, 28, 28, 1), (10,))
    arrays = [
        random.integers(0, high, shape).astype(dtype)
        for shape, high, dtype in zip(shapes, (256, 10) * 2, ("uint8", "int32") * 2)
    ]
    return Dataset(*arrays, description="noise", fingerprint="")


def convnet(series, diverged_at=None, steps=STEPS):
    """A finished record of one panel."""
    return types.SimpleNamespace(
        name="run",
        settings={**dataclasses.asdict(TRAINING), "steps": steps},
        curves={"loss": curves.smoothed(np.array(series), HALF_WINDOW)},
        results={"diverged_at": diverged_at},
    )


def again(record, images, iterations):
    return convnets.prefixes(record, HALF_WINDOW, images, iterations, bar)


@pytest.mark.slow
def test_a_convnet_that_was_rounded_otherwise_is_not_off(images):
    network = mnist_convnet.build_network(TRAINING)
    convnets._move(network, seed=STEPS)  # none of the starts that it is compared with
    losses, _ = mnist_convnet.descend(network, TRAINING, images)
    (prefix,) = again(convnet(losses[:, 0]), images, STEPS - 3)
    assert prefix.iterations == list(range(STEPS - 3 - HALF_WINDOW))
    assert not prefix.agrees() and 0 < max(prefix.rounding) < verify.LARGEST
    panel = verify.Panel()
    panel.add(prefix)
    assert not panel.off

    by_more = np.array(prefix.committed) * (1 + 2 * max(prefix.rounding))
    panel.add(dataclasses.replace(prefix, committed=list(by_more)))
    assert panel.off


@pytest.mark.parametrize(
    "committed, diverged_at, recomputed, off",
    [
        ([1, 2, 9, np.nan], 3, [1, 2, 9, np.nan], False),
        ([1, 2, 9, np.nan], 3, [1, 2, 9, 99], False),  # an iteration later
        ([1, 2, 9, np.nan], 3, [1, 2, np.inf, np.nan], False),  # sooner
        ([1, 2, 9, np.nan], 3, [1, np.nan, np.nan, np.nan], True),  # much sooner
        ([1, 2, np.nan, np.nan], 2, [1, 2, 3, 4], True),  # not at all
        ([1, 2, 9, np.nan], 3, [1, 5, 9, np.nan], True),
        ([1, 2, 9, np.nan], 3, [5, 4, np.nan, np.nan], True),
        # Whatever the missing value is taken to be, it would agree: nothing is verified.
        ([1, 2, np.nan, np.nan], 2, [9, np.nan, np.nan, np.nan], True),
        ([1, 2, 3, 4], None, [1, 2, 3, np.nan], True),
        ([np.nan, np.nan, np.nan, np.nan], 0, [1, 2, 3, 4], True),
    ],
)
def test_a_convnet_may_diverge_an_iteration_sooner_or_later(
    committed, diverged_at, recomputed, off, images, monkeypatch
):
    losses = np.array(recomputed, "float32")[:, None]
    monkeypatch.setattr(mnist_convnet, "build_network", lambda training: None)
    monkeypatch.setattr(mnist_convnet, "descend", lambda *_: (losses, []))
    monkeypatch.setattr(convnets, "_move", lambda network, seed: None)
    panel = verify.Panel()
    panel.add(*again(convnet(committed, diverged_at, steps=4), images, 4))
    assert bool(panel.off) == off


@pytest.mark.parametrize("is_right", [True, False])
def test_points_of_a_convnet_whose_window_is_recomputed(is_right, images, monkeypatch):
    # Those that deviate are compared with three starts that rounding has moved.
    moved = []
    committed = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]

    def descend(*_):
        return (1 + len(moved) / 10) * np.array(committed[:6], "float32")[:, None], []

    monkeypatch.setattr(mnist_convnet, "build_network", lambda training: None)
    monkeypatch.setattr(mnist_convnet, "descend", descend)
    monkeypatch.setattr(convnets, "_move", lambda network, seed: moved.append(seed))
    record = convnet(committed, steps=8)
    if not is_right:
        record.curves["loss"] = [[t, 2 * value] for t, value in record.curves["loss"]]
    (prefix,) = again(record, images, 6)
    assert prefix.iterations == list(range(6 - HALF_WINDOW)) and prefix.agrees() == is_right
    assert moved == ([] if is_right else [0, 1, 2])
    rounding = 0 if is_right else convnets.MARGIN * 0.3
    assert prefix.rounding == pytest.approx([rounding] * len(prefix.iterations))


def test_values_are_moved_by_rounding_up_or_down():
    network = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    before = network.layers[0].kernel.numpy().astype("float64")
    convnets._move(network, seed=0)
    moved = network.layers[0].kernel.numpy() / before - 1
    assert {*np.round(moved * 2**15, 2).ravel()} == {-1.0, 1.0}


def test_values_that_are_missing_are_taken_from_either_side():
    # The fourth may be anything: the medians of 1, 2, 3 and this are 1.5 to 2.5.
    series = np.array([1, 2, 3, np.nan, 9], "float32")
    committed = [(0, 1.0), (1, 2.2), (3, 3.0)]
    assert convnets._medians_until(3, series, 4, committed) == [(0, 1.5), (1, 2.2), (3, 2.5)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["figure6"], "no figure of figure1"),
        (["figure2", "--iterations", "0"], "must be positive"),
        (["figure2", "--results", "nowhere"], "holds no results"),
        (["figure1", "--results", "nowhere"], "holds no results"),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_one_clear_message(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        verify.main([*arguments, "--quiet"])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
