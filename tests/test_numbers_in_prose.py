"""Every number in the prose of a page or in a configuration's comment is that of a file.

`NUMBERS` says of each from where. A number that has no source fails, and so does any other number
in its place: each is falsified, one at a time. (Section 6 of the guide has a test of its own,
`test_guide_numbers.py`; what the report writes is compared in `tests/reproduce/test_report.py`.)
"""

import configparser
import functools
import json
import pathlib
import re

import numpy as np
import pytest
from scipy import stats

from reproduce import paper
from reproduce.claims import figure5_right
from reproduce.harness import records
from tfoverparam.matrix_functions import tracked_steps

ROOT = pathlib.Path(__file__).parents[1]
UNITS = ("steps", "seconds")


@functools.cache
def finished(figure):
    return records.read_records(ROOT / "results" / figure)


def of(figure, series, panel=""):
    return [r for r in finished(figure) if r.series == series and r.panel == panel]


def at(figure, panel, series, iteration, digits):
    """A median over the seeds, where all have a point."""
    values = [dict(map(tuple, r.curves[panel]))[iteration] for r in of(figure, series, panel)]
    return f"{np.median(values):.{digits}f}"


def papers(panel, series, iteration, digits):
    return f"{dict(map(tuple, paper.points(panel, series)))[iteration]:.{digits}f}"


def convnet(series, digits):
    """The median of the last losses."""
    ends = [r.curves[figure5_right.PANEL][-1][1] for r in of("figure5_right", series)]
    return f"{np.median(ends):.{digits}f}"


def crossing():
    """To the next ten iterations."""
    summary = json.loads((ROOT / "results/figure5_right/summary.json").read_text(encoding="utf-8"))
    (measured,) = (
        v["measured"] for v in summary["verdicts"] if "starts higher and crosses" in v["statement"]
    )
    first, *_ = re.findall(r"\d+", measured)
    return first


def mlp_with_factors():
    """How many times sooner in steps, and in seconds."""
    summary = json.loads((ROOT / "results/networks/summary.json").read_text(encoding="utf-8"))
    said = {each["statement"]: each["measured"] for each in summary["verdicts"]}
    words = "With SGD and momentum, factors reach the plain network's validation loss in fewer"
    return [re.findall(r"mlp ([\d.]+) \(", said[f"{words} {unit}"])[0] for unit in UNITS]


def errors():
    return [
        f"{np.median([r.results['test_error'] for r in of('figure5_right', name)]):.1f}"
        for name in ("original", "overparameterized")
    ]


def within():
    """The last iteration in which a single layer of Figure 5 (left) diverges."""
    runs = of("figure5_left", "1-layer", "fig5L_l4")
    return str(max(r.results["diverged_at"] for r in runs if r.results["diverged_at"]))


def options():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]


def pythons():
    low, high = re.findall(r"3\.(\d+)", options()["python_requires"])
    return [f"3.{low}", f"3.{int(high) - 1}"]


def keras_version():
    """The newest tested, with which was measured."""
    page = (ROOT / "docs/matrices.md").read_text(encoding="utf-8")
    return re.findall(r"\| Keras \| \S+ \| (\d+\.\d+)", page)


def scientific(value):
    """As it is written: 1e-5."""
    digits, exponent = f"{value:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def relative_step():
    """Of `benchmarks/end_to_end.py`, which this does not import."""
    source = (ROOT / "benchmarks/end_to_end.py").read_text(encoding="utf-8")
    (step,) = re.findall(r'"--step-size", type=float, default=(\S+)\)', source)
    return [f"{float(step):g}"]


def step_on_a_card():
    source = (ROOT / "benchmarks/gpu.py").read_text(encoding="utf-8")
    return [f"{float(step):g}" for step in re.findall(r"moved = kernel \+ (\S+) \*", source)]


# Of each page: words, with {} for each number, and where the numbers come from.
NUMBERS = {
    "configs/figure2.yaml": [
        (
            "from the optimum of {} after 100,000 iterations and of {} after 250,000; for p = 4 at "
            "the plotted rate {} after 250,000",
            lambda: [
                at("figure2", "fig2L_l2", "2-layer w1", 100_000, 3),
                at("figure2", "fig2L_l2", "2-layer w1", 250_000, 3),
                at("figure2", "fig2R_l4", "2-layer w1", 250_000, 2),
            ],
        ),
        ("At {} the networks are run too", lambda: ["2.5e-4"]),
    ],
    "configs/figure3.yaml": [
        (
            "from the optimum of {} after 100,000 iterations and of {} after a million",
            lambda: [
                at("figure3", "fig3L_l2", "1-layer", 100_000, 3),
                at("figure3", "fig3L_l2", "1-layer", 1_000_000, 4),
            ],
        )
    ],
    "configs/figure4_left.yaml": [
        (
            "from the optimum of {} after 100,000 iterations; the paper's plot has {} there",
            lambda: [
                at("figure4_left", "fig4L_l4", "AdaGrad 1-layer lr=0.01", 100_000, 2),
                papers("fig4L_l4", "AdaGrad 1-layer", 100_000, 2),
            ],
        )
    ],
    "configs/figure4_right.yaml": [
        (
            "from the optimum of {} after 100,000 iterations; the paper's plot has {} there",
            lambda: [
                at("figure4_right", "fig4R_l4", "Adam 1-layer", 100_000, 4),
                papers("fig4R_l4", "Adam 1-layer", 100_000, 4),
            ],
        )
    ],
    "configs/figure5_left.yaml": [("diverge within {} steps", lambda: [within()])],
    "configs/figure5_right.yaml": [
        ("the original ends near {},", lambda: [convnet("original", 1)]),
        ("crosses it near iteration {} and", lambda: [crossing()]),
        ("ends near {}; test", lambda: [convnet("overparameterized", 2)]),
        ("test error {} to {} per cent", errors),
        (
            "true standard deviation {}",
            lambda: [f"{0.1 * stats.truncnorm(-2, 2).std():.4f}"],
        ),
    ],
    "configs/horizon.yaml": [],
    "configs/networks.yaml": [],
    "configs/robustness.yaml": [],
    "README.md": [
        ("Python {} to {},", pythons),
        ("loss {} times sooner in steps, but {} times as soon by the clock", mlp_with_factors),
    ],
    "docs/guide.md": [
        ("with Keras {} on", keras_version),
        ("too ({})", keras_version),
    ],
    "docs/end_to_end.md": [
        ("is above {} (after", lambda: [scientific(tracked_steps.NEAR["float32"])]),
        ("an estimated error above {}.", lambda: [scientific(tracked_steps.WRONG)]),
        ("are all above {} % of", lambda: [f"{100 * tracked_steps.SPREAD:g}"]),
        ("few steps at relative steps of {}.", relative_step),
        ("with relative steps of {}:", relative_step),
        ("one step of {} away from its bases", step_on_a_card),
    ],
    "docs/linear_networks.md": [
        ("That takes {} times fewer multiply-adds", lambda: [f"{2 * 2565 * 128 / 128**2:.0f}"]),
    ],
}


def prose(page):
    """What is neither code, nor a table, nor what a script writes; of a configuration, comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".yaml"):
        return " ".join(line.partition("#")[2].strip() for line in text.splitlines())
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!-- (\w+): .*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    if page == "docs/guide.md":  # Section 6 has its own test.
        before, rest = text.split("## 6. ")
        text = before + "## 7. " + rest.split("## 7. ")[1]
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    return " ".join(re.sub(r"`[^`]*`", "", " ".join(lines)).split())


def spans(page, text):
    """From the place of each number that has a source to that source's number; None: no place."""
    found = {}
    for words, numbers in NUMBERS[page]:
        pattern = re.escape(words).replace(r"\{\}", r"(\d[\d.]*(?:e-?\d+)?)")
        matches = list(re.finditer(pattern, text))
        for group, number in enumerate(numbers(), start=1):
            place = matches[0].span(group) if len(matches) == 1 else None
            found[place] = number
    return found


def falsehoods(page, text):
    """Numbers that are not those of their sources, or have none."""
    known = spans(page, text)
    false = [n for place, n in known.items() if place is None or text[slice(*place)] != n]
    places = {place[0] for place in known if place}
    return false + [
        each[0] for each in re.finditer(r"\d+\.\d+", text) if each.start() not in places
    ]


@pytest.mark.parametrize("page", NUMBERS)
def test_numbers_are_those_of_their_sources(page):
    assert falsehoods(page, prose(page)) == []


@pytest.mark.parametrize("page", [page for page, numbers in NUMBERS.items() if numbers])
def test_each_falsified_number_is_noticed(page):
    text = prose(page)
    for start, end in spans(page, text):
        number = text[start:end]
        digits = [i for i, character in enumerate(number) if character.isdigit()]
        for i in (digits[0], digits[-1]):
            other = number[:i] + str((int(number[i]) + 1) % 10) + number[i + 1 :]
            assert falsehoods(page, text[:start] + other + text[end:]) != [], number
    assert falsehoods(page, text + " It is 1.5 times as fast.") == ["1.5"]


def test_all_configurations_are_looked_at():
    assert {path.name for path in (ROOT / "configs").iterdir()} == {
        page.removeprefix("configs/") for page in NUMBERS if page.startswith("configs/")
    }
