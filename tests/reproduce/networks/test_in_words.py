"""What is said of the comparisons, of curves made by hand."""

import pytest

from reproduce.claims import comparison, networks_in_words as words
from tests.reproduce.networks.by_hand import exactly, five, plain, record, trained


@pytest.fixture
def seconds(monkeypatch):
    found = {}
    monkeypatch.setattr(comparison, "seconds_a_step", lambda: found)
    monkeypatch.setattr(words, "machines", lambda: ["CPU", "GPU"])
    return found


def said(*groups):
    """The paragraphs, from their first words to the rest."""
    found = words.paragraphs(comparison.measured([each for group in groups for each in group]))
    return dict(each.removeprefix("**").split("**", 1) for each in found)


def test_nothing_is_said_of_plain_networks_alone_or_of_the_anchor(seconds):
    assert said(plain(), plain("ethanol"), five("factors", 1.6, workload="ethanol")) == {}
    # Where Muon moves nothing it is Adam.
    muon = [*plain("residual_convnet", "muon")]
    muon += five("factors", 1.6, workload="residual_convnet", optimizer="muon")
    assert said(muon) == {}
    assert said(muon, plain(), five("factors", 1.6)) == said(plain(), five("factors", 1.6))
    # Without a second set of plain runs, nothing is known of chance.
    assert said(plain()[:5], five("factors", 1.6)) == {}


def test_where_methods_are_sooner_and_where_not(seconds):
    seconds["mlp"] = seconds["gpt"] = {"sgd": exactly(plain=1.0, factors=1.5, rule=4.0)}
    networks = [*plain(), *plain("gpt"), *plain("gpt", "adamw")]
    factors = [*five("factors", 1.6), *five("factors", 0.8, workload="gpt")]
    rule = [*five("rule", 1.6), *five("rule", 0.1, workload="gpt")]
    found = said(networks, factors, rule)
    assert found["SGD and momentum"] == (
        ", in steps to the target:\n\n- Factors are sooner on mlp (2.00 times); no sooner on gpt "
        "(1.00 times); ends lower on mlp (2.00 times); at the training loss sooner on mlp (2.00 "
        "times); by the clock sooner on mlp.\n- The rule is sooner on mlp (2.00 times); later on "
        "gpt (never); ends lower on mlp (2.00 times); ends higher on gpt (8.00 times); at the "
        "training loss sooner on mlp (2.00 times) and later on gpt (never); by the clock "
        "sooner on none."
    )
    assert "Adam" not in found
    assert found["In short"].endswith(
        ": of 2 comparisons factors are sooner in 1, no sooner in 1, by the clock sooner in 1; "
        "of 2 comparisons the rule is sooner in 1, later in 1, by the clock sooner in 0."
    )
    assert found["By chance alone"].startswith(" some 0.2 of these 4 comparisons in steps")
    # Of seconds nothing is said where they were not measured.
    seconds.pop("gpt")
    found = said(networks, factors)
    assert "clock" not in found["SGD and momentum"] + found["In short"]


def test_what_is_not_known_is_called_undecided(seconds):
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    found = said(lost, five("factors", 1.6))["SGD and momentum"]
    assert "Factors are undecided on mlp (" in found and "sooner" not in found
    few = [record("factors", seed, 0.1 if seed < 4 else 0.8) for seed in range(1, 6)]
    found = said(plain(), few)["SGD and momentum"]
    assert "later on mlp (2 of 5 runs get there)" in found


def test_the_advice_is_where_it_pays_by_the_clock(seconds):
    assert "Our advice:" not in said(plain(), five("factors", 1.6))
    seconds["mlp"] = {"sgd": exactly(plain=1.0, factors=1.5)}
    paid = said(plain(), five("factors", 1.6))["Our advice:"]
    assert "Of 1 comparisons by the clock, on networks of this size (CPU or GPU)," in paid
    assert "it paid for factors on mlp with SGD and momentum (1.33 times), nowhere else" in paid
    seconds["mlp"]["sgd"] = exactly(plain=1.0, factors=3.0)
    advice = said(plain(), five("factors", 1.6))["Our advice:"]
    assert "leave the network as it is." in advice and "none was sooner" in advice
    assert "The training loss" not in advice
    seconds["mlp"]["sgd"] = exactly(plain=1.0, factors=1.5)
    advice = said(plain(), trained("factors", 1.6))["Our advice:"]
    assert "none was sooner" in advice
    assert advice.endswith(
        "The training loss is there sooner by the clock for factors on mlp with SGD and momentum "
        "(1.33 times)."
    )


def selection(method, paces, **kwargs):
    return [record(method, 0, pace, rate=rate, **kwargs) for rate, pace in paces.items()]


def test_gains_by_the_rate(seconds):
    # The last loss is 1 / (100 pace).
    tuned = selection("plain", {0.1: 0.4, 0.2: 0.8, 0.5: 0.5})
    of_factors = selection("factors", {0.05: 0.1, 0.1: 1.2, 0.2: 0.6, 0.5: 0})
    records = [*plain(rate=0.2), *five("factors", 1.0), *tuned, *of_factors]
    (row,) = words.rates(comparison.measured(records))
    assert (row["lowest rate of both"], row["rate of the plain network"]) == ("0.1", "0.2")
    assert row["there"] == pytest.approx(3.0)
    assert row["there, too"] == pytest.approx(0.75)
    assert row["each at its own"] == pytest.approx(1.25)  # of all seeds
    assert said(records)["Is it the rate?"].endswith(
        " tried with (1 of the comparisons), then with each at its own most of that gain is gone "
        "in 1 (factors on mlp with SGD and momentum, 3.00 there and 1.25 at their own)."
    )
    close = selection("factors", {0.05: 0.1, 0.1: 1.2, 0.2: 1.6, 0.5: 0})
    kept = said([*plain(rate=0.2), *five("factors", 1.6, rate=0.2), *tuned, *close])[
        "Is it the rate?"
    ]
    assert kept.endswith(
        "most of it stays in 1 (factors on mlp with SGD and momentum, 3.00 there and 2.00 at their "
        "own)."
    )
    # Of several, the largest is named.
    more = [
        *plain(rate=0.2, workload="gpt"),
        *five("factors", 1.0, workload="gpt"),
        *selection("plain", {0.1: 0.4, 0.2: 0.8}, workload="gpt"),
        *selection("factors", {0.1: 0.8}, workload="gpt"),
    ]
    assert said([*records, *more])["Is it the rate?"].endswith(
        "(2 of the comparisons), then with each at its own most of that gain is gone in 2 (the "
        "largest: factors on mlp with SGD and momentum, 3.00 there and 1.25 at their own)."
    )
    # Where there is no gain at the lowest rate, there is none to explain.
    worse = selection("factors", {0.05: 0.1, 0.1: 0.3, 0.2: 1.6, 0.5: 0})
    records = [*plain(rate=0.2), *five("factors", 1.0, rate=0.2), *tuned, *worse]
    assert "Is it the rate?" not in said(records)
    # The plain network's best rate may be one that the method does not survive.
    lost = [
        *plain(rate=0.2),
        *five("factors", 1.0),
        *tuned,
        *selection("factors", {0.1: 1.2, 0.2: 0}),
    ]
    assert words.rates(comparison.measured(lost))[0]["there, too"] is None
    apart = [*plain(rate=0.2), *five("factors", 1.0), *tuned, *selection("factors", {0.01: 1.2})]
    assert words.rates(comparison.measured(apart)) == []


def test_the_penalty_and_grafting(seconds):
    penalized = [*plain("tutorial_convnet"), *plain("tutorial_convnet_no_l2")]
    factors = trained("factors", 1.6, workload="tutorial_convnet")
    without = five("factors", 1.0, workload="tutorial_convnet_no_l2")
    found = said(penalized, factors, without)
    assert found["Is it the penalty?"] == (
        " How many times as soon the tutorial's ConvNet is with factors at the training loss, of "
        "which the penalty is a part:\n\n- With SGD and momentum 2.00 times with the penalty, "
        "1.25 times without; to the validation loss 1.00 times and 1.25 times."
    )
    assert "Is it the penalty?" not in said(penalized, factors)
    adam = [
        [*plain(name, "adamw"), *five("factors", 1.6, workload=name, optimizer="adamw")]
        for name in ("tutorial_convnet", "tutorial_convnet_no_l2")
    ]
    both = said(*adam, penalized, factors, without)["Is it the penalty?"].split("\n- With ")[1:]
    assert [each.split()[0] for each in both] == ["SGD", "Adam"]  # whichever was done first
    question = "Does grafting remove the rule's gain?"
    for grafted, word in ((0.8, "it goes"), (1.6, "it stays")):
        both = said(plain(), five("rule", 1.6), five("grafted_rule", grafted))
        assert both[question] == (
            f" By network: {word} on mlp with SGD and momentum (without it 2.00 times sooner, with "
            f"it {grafted / 0.8:.2f} times)."
        )
    both = said(plain(), five("rule", 0.8), five("grafted_rule", 1.6))
    assert both[question].startswith(" By network: there is none on mlp with SGD")
    both = said(plain(spread=0.1), five("rule", 1.6), five("grafted_rule", 1.6))
    assert both[question].startswith(" By network: undecided on mlp with SGD")
    gpt = [
        *plain("gpt"),
        *five("rule", 1.6, workload="gpt"),
        *five("grafted_rule", 0.8, workload="gpt"),
    ]
    both = said(plain(), five("rule", 1.6), five("grafted_rule", 1.6), gpt)
    assert both[question].startswith(" By network: it stays on mlp with SGD")
    assert "; it goes on gpt with SGD" in both[question]
    assert question not in said(plain(), five("rule", 1.6))


def test_another_optimizer(seconds):
    muon = five("plain", 4.0, optimizer="muon")
    noise = [record("plain", seed, 4.0, optimizer="muon") for seed in range(6, 11)]
    seconds["mlp"] = {"muon": exactly(plain=2.0)}
    found = said(plain(), five("factors", 1.6), muon, noise, five("factors", 5.0, optimizer="muon"))
    assert found["Or another optimizer?"] == (
        " Last validation losses:\n\n- mlp: 0.0025 Muon plain in 200 s, 0.00625 SGD and momentum "
        "factors, 0.0125 SGD and momentum plain."
    )
    assert "Kernels that it moves: 1 on ethanol, 2 on mlp" in found["What is Muon?"]
    found = said(plain(), five("factors", 1.6))
    assert "Or another optimizer?" not in found and "What is Muon?" not in found
