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
    assert found["Factors"] == (
        ", how many times sooner or lower:\n\n"
        "- to the target: sooner on the MLP (SGD 2.00); no different on 1\n"
        "- by the clock: sooner on the MLP (SGD 1.33); a step takes 1.50 times as long\n"
        "- last validation loss: lower on the MLP (SGD 2.00); no different on 1\n"
        "- last test loss: lower on the MLP (SGD 2.00); no different on 1\n"
        "- to the plain network's training loss: sooner on the MLP (SGD 2.00); no different on 1"
    )
    of_rule = found["The rule"].splitlines()[2:]
    assert of_rule[:3] == [
        "- to the target: sooner on the MLP (SGD 2.00); later on the GPT (SGD never)",
        "- by the clock: sooner on none; a step takes 4.00 times as long",
        "- last validation loss: lower on the MLP (SGD 2.00); higher on the GPT (SGD 0.12)",
    ]
    assert found["In short"] == (
        ", of 4 comparisons, each of a network, an optimizer and a method: to the target sooner on "
        "2, later on 1, no different on 1; the test loss lower on 2, higher on 1, no different on "
        "1. By the clock sooner on 1 of 4. By optimizer:\n\n- SGD and momentum, 4 comparisons: to "
        "the target sooner on 2, later on 1, no different on 1; the test loss lower on 2, higher "
        "on 1, no different on 1."
    )
    assert found["By chance alone"].startswith(" up to some 0.2 of 4 comparisons would be called")
    # Of seconds nothing is said where they were not measured.
    seconds.pop("gpt")
    found = said(networks, factors)
    assert "By the clock sooner on 1 of 1." in found["In short"]
    # Networks and optimizers with one effect are listed together.
    adam = {"optimizer": "adamw"}
    both = said(networks, factors, plain(**adam), five("factors", 1.2, **adam))
    assert "to the target: sooner on the MLP (SGD 2.00, Adam 1.50);" in both["Factors"]
    more = {"workload": "residual_convnet"}
    seconds["residual_convnet"] = {"sgd": exactly(plain=1.0, factors=3.0)}
    both = said(networks, factors, plain(**more), five("factors", 1.2, **more))
    assert "sooner on the MLP (SGD 2.00) and the residual ConvNet (SGD 1.50);" in both["Factors"]
    assert "a step takes 1.50 to 3.00 times as long" in both["Factors"]


def test_the_test_loss_is_one_of_its_own(seconds):
    factors = five("factors", 1.6)
    for each in factors:
        each.results["test_loss"] = 0.1
    found = said(plain(), factors)
    assert "last validation loss: lower on the MLP (SGD 2.00)" in found["Factors"]
    assert "last test loss: higher on the MLP (SGD 0.06)" in found["Factors"]
    assert "to the target sooner on 1; the test loss higher on 1." in found["In short"]
    runs = plain()
    for each in [*runs, *factors]:
        del each.results["test_loss"]
    without = said(runs, factors)
    assert "test loss" not in without["Factors"] + without["In short"]


def test_the_limits_are_said(seconds):
    found = said(plain(), plain("gpt"), five("factors", 1.6))["Not tried:"]
    assert found.startswith(" longer training than these steps: 100 of the MLP, 100 of the GPT.")


def test_what_is_not_known_is_called_undecided(seconds):
    lost = [record("plain", seed, 0.8 if seed < 7 else 0) for seed in range(1, 11)]
    found = said(lost, five("factors", 1.6))["Factors"]
    assert "to the target: undecided on 1\n" in found and "sooner on" not in found
    few = [record("factors", seed, 0.1 if seed < 4 else 0.8) for seed in range(1, 6)]
    assert "to the target: later on the MLP (SGD never)" in said(plain(), few)["Factors"]
    lost = [record("factors", seed, 0 if seed < 4 else 0.8) for seed in range(1, 6)]
    found = said(plain(), lost)["Factors"]
    assert "last validation loss: higher on the MLP (SGD diverged)" in found


def test_a_rate_may_end_at_a_cliff(seconds):
    words = "diverges for factors on the MLP with SGD: these may have a better one before."
    tuned = selection("factors", {0.05: 1.0, 0.1: 1.2, 0.2: 0, 0.5: 0})
    assert said(plain(), five("factors", 1.6), tuned)["By chance alone"].endswith(words)
    for above in ({0.2: 0.9, 0.5: 0}, {}):
        tuned = selection("factors", {0.05: 1.0, 0.1: 1.2, **above})
        assert "diverges" not in said(plain(), five("factors", 1.6), tuned)["By chance alone"]


def test_the_advice_is_where_it_pays_by_the_clock(seconds):
    assert "Our advice:" not in said(plain(), five("factors", 1.6))
    seconds["mlp"] = {"sgd": exactly(plain=1.0, factors=1.5)}
    paid = said(plain(), five("factors", 1.6))["Our advice:"]
    assert "Of 1 comparisons by the clock, on networks of this size (CPU or GPU)," in paid
    assert "it paid for factors on the MLP with SGD (1.33 times), nowhere else" in paid
    seconds["mlp"]["sgd"] = exactly(plain=1.0, factors=3.0)
    advice = said(plain(), five("factors", 1.6))["Our advice:"]
    assert "leave the network as it is, and try" in advice and "none was sooner" in advice
    assert "The training loss" not in advice
    seconds["mlp"]["sgd"] = exactly(plain=1.0, factors=1.5)
    advice = said(plain(), trained("factors", 1.6))["Our advice:"]
    assert "none was sooner" in advice
    assert advice.endswith(
        "The training loss is there sooner by the clock for factors on the MLP with SGD (1.33 "
        "times)."
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
    assert said(records)["Is it the rate?"] == (
        " At the lowest rate that both were tried with, the last validation loss is lower with the "
        "method in 1, of which the ratio is 3.00 there and 1.25 with each at its own (the most for "
        "factors on the MLP with SGD: 3.00 there, 1.25 at their own). Ratios are the plain "
        "network's loss by the method's, medians."
    )
    # Of several it is the median, and the largest is named.
    more = [
        *plain(rate=0.2, workload="gpt"),
        *five("factors", 1.0, workload="gpt"),
        *selection("plain", {0.1: 0.4, 0.2: 0.8}, workload="gpt"),
        *selection("factors", {0.1: 0.8}, workload="gpt"),
    ]
    both = said([*records, *more])["Is it the rate?"]
    assert "in 2, of which the ratio is 2.50 there and 1.25 with each at its own (the most" in both
    assert "the most for factors on the MLP with SGD: 3.00 there, 1.25 at" in both
    # What is gained only at another rate is said, too.
    worse = selection("factors", {0.05: 0.1, 0.1: 0.3, 0.2: 1.6, 0.5: 0})
    later = said([*plain(rate=0.2), *five("factors", 1.0, rate=0.2), *tuned, *worse])
    assert later["Is it the rate?"].startswith(
        " At the lowest rate that both were tried with, it is not lower in 1, of which the ratio "
        "is 0.75 there and 1.25 with each at its own (the most for factors on the MLP with SGD: "
        "0.75 there, 1.25 at their own)."
    )
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
    assert "Is it the rate?" not in said(apart)


def test_the_penalty_and_grafting(seconds):
    penalized = [*plain("tutorial_convnet"), *plain("tutorial_convnet_no_l2")]
    factors = trained("factors", 1.6, workload="tutorial_convnet")
    without = five("factors", 1.0, workload="tutorial_convnet_no_l2")
    found = said(penalized, factors, without)
    assert found["Is it the penalty?"].endswith(
        ":\n\n- SGD and momentum: training loss 2.00 (sooner) with the penalty, 1.25 (sooner) "
        "without; validation loss 1.00 (no different) with the penalty, 1.25 (sooner) without; "
        "last test loss 1.00 (no different) with the penalty, 1.25 (lower) without."
    )
    assert "Is it the penalty?" not in said(penalized, factors)
    adam = [
        [*plain(name, "adamw"), *five("factors", 1.6, workload=name, optimizer="adamw")]
        for name in ("tutorial_convnet", "tutorial_convnet_no_l2")
    ]
    both = said(*adam, penalized, factors, without)["Is it the penalty?"].split("\n- ")[1:]
    assert [each.split()[0] for each in both] == ["SGD", "Adam:"]  # whichever was done first


def test_grafting(seconds):
    question = "Does grafting remove the rule's gain?"
    for grafted, word in ((0.8, "1.00 (no different)"), (1.6, "2.00 (sooner)")):
        both = said(plain(), five("rule", 1.6), five("grafted_rule", grafted))
        assert both[question] == (
            " The rule is sooner in 1 of 1 comparisons: the MLP with SGD (2.00 without, "
            f"{word} with it). Where it is not, grafting is sooner on none."
        )
    both = said(plain(), five("rule", 0.8), five("grafted_rule", 1.6))
    assert both[question] == (
        " The rule is sooner in 0 of 1 comparisons. Where it is not, grafting is sooner on the MLP "
        "(SGD 2.00)."
    )
    assert question not in said(plain(), five("rule", 1.6))


def ten(method, pace, **kwargs):
    return [record(method, seed, pace, **kwargs) for seed in range(1, 11)]


def test_another_optimizer(seconds):
    muon = [*ten("plain", 4.0, optimizer="muon"), *five("factors", 5.0, optimizer="muon")]
    factors, rule = five("factors", 1.6), five("rule", 1.0)
    seconds["mlp"] = {"muon": exactly(plain=2.0)}
    found = said(plain(), factors, rule, muon)
    assert found["Or another optimizer?"].endswith(
        ":\n\n- The MLP: at the target of plain SGD plain Muon is 5.00 times sooner in steps; last "
        "losses 0.002 Muon factors, 0.0025 Muon plain in 200 s, 0.00625 SGD factors, 0.0125 SGD "
        "plain."
    )
    assert "It trains 2 of the MLP, 1 of the tutorial's ConvNet," in found["What is Muon?"]
    seconds["mlp"]["sgd"] = exactly(plain=1.0)
    found = said(plain(), factors, muon)["Or another optimizer?"]
    assert "plain Muon is 5.00 times sooner in steps, 2.50 by the clock; last" in found
    slow = ten("plain", 0.1, optimizer="adamw")
    found = said(plain(), factors, slow)["Or another optimizer?"]
    assert "at the target of plain SGD plain Adam never is; last losses" in found
    found = said(plain(), factors, slow, muon)["Or another optimizer?"]
    assert "plain Adam never is and plain Muon is 5.00" in found
    found = said(plain(), factors)
    assert "Or another optimizer?" not in found and "What is Muon?" not in found
    # Of networks without SGD only the last losses.
    found = said(slow, five("factors", 1.6, optimizer="adamw"), muon)["Or another optimizer?"]
    assert "- The MLP: last losses 0.002 Muon factors" in found
