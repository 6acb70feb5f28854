"""Which runs come next: rates, edges, seeds, shares."""

import math

import pytest

from reproduce import networks
from reproduce.harness import cli, config
from reproduce.harness.errors import ConfigError, UsageError
from reproduce.workloads import planning
from reproduce.workloads.planning import Group


@pytest.fixture
def settings():
    return config.load(cli.ROOT / "configs" / "networks.yaml", planning.Config)


def group_of(settings, method="factors", optimizer="adamw", workload="mlp"):
    (scale,) = (each for each in settings.workloads if each.name == workload)
    return Group(scale, optimizer, method, settings, (1, 2, 3, 4, 5))


def after(group, losses):
    """The rates of selection, and rate and seeds of what follows, when losses by rate are these."""
    ends = {group.run(rate, 0).name: loss for rate, loss in losses.items()}
    runs = group.known(ends)
    rates = [run.settings["learning_rate"] for run in runs if run.seed == 0]
    later = {(run.settings["learning_rate"], run.seed) for run in runs if run.seed}
    return rates, later


FIVE = [2e-4, 5e-4, 1e-3, 2e-3, 5e-3]


def test_first_there_are_five_rates_about_the_middle(settings):
    assert after(group_of(settings), {}) == (FIVE, set())
    assert after(group_of(settings), dict.fromkeys(FIVE[:4], 1.0)) == (FIVE, set())


def test_the_best_rate_is_measured_with_new_seeds(settings):
    losses = dict(zip(FIVE, (5, 4, 3, 2, 9)))
    assert after(group_of(settings), losses) == (FIVE, {(2e-3, seed) for seed in (1, 2, 3, 4, 5)})
    plain = group_of(settings, "plain")
    assert after(plain, losses) == (FIVE, {(2e-3, seed) for seed in range(1, 11)})


def test_while_the_best_is_at_an_edge_its_neighbor_is_tried(settings):
    losses = dict(zip(FIVE, (5, 4, 3, 2, 1)))
    assert after(group_of(settings), losses) == ([*FIVE, 1e-2], set())
    losses[1e-2] = 0.5
    assert after(group_of(settings), losses) == ([*FIVE, 1e-2, 2e-2], set())
    losses[2e-2] = math.inf
    _, later = after(group_of(settings), losses)
    assert {rate for rate, _ in later} == {1e-2}
    losses = dict(zip(FIVE, (1, 4, 3, 2, 5)))
    assert after(group_of(settings), losses)[0] == [1e-4, *FIVE]


def test_the_interval_up_to_a_rate_that_diverges_is_halved(settings):
    group = group_of(settings, workload="ethanol", optimizer="sgd")
    losses = dict(zip((2e-5, 5e-5, 1e-4, 2e-4, 5e-4), (5, 4, 3, 2, math.inf)))
    for new, loss in ((3.2e-4, 1.5), (4e-4, math.inf), (3.6e-4, 1.6)):
        assert after(group, losses) == (sorted([*losses, new]), set())
        losses[new] = loss
    assert after(group, losses) == (sorted(losses), {(3.2e-4, seed) for seed in (1, 2, 3, 4, 5)})
    possible = {run.name for run in group.possible()}
    assert {group.run(rate, seed).name for rate in losses for seed in (0, 5)} <= possible
    # Elsewhere it is not: beside rates that are only worse, or where all diverge.
    losses = dict(zip((2e-5, 5e-5, 1e-4, 2e-4, 5e-4), (5, 4, 3, 2, 9)))
    assert {rate for rate, _ in after(group, losses)[1]} == {2e-4}
    losses = dict.fromkeys(planning.RATES, math.inf)
    assert {rate for rate, _ in after(group, losses)[1]} == {1e-7}
    mlp = group_of(settings)
    losses = dict(zip(FIVE, (5, 4, 3, 2, math.inf)))
    assert {rate for rate, _ in after(mlp, losses)[1]} == {2e-3}


def test_where_all_diverge_lower_rates_are_tried_to_the_end(settings):
    losses = dict.fromkeys(planning.RATES, math.inf)
    rates, later = after(group_of(settings), losses)
    assert rates[0] == 1e-7 and rates[-1] == 5e-3
    assert {rate for rate, _ in later} == {1e-7}


def test_all_that_can_come_is_possible(settings):
    group = group_of(settings, "plain")
    possible = {run.name: run for run in group.possible()}
    losses = dict(zip(FIVE, (5, 4, 3, 2, 1)))
    for run in group.known({group.run(r, 0).name: loss for r, loss in losses.items()}):
        assert possible[run.name] == run
    assert len(possible) == 30 * 11


def test_the_required_runs(settings):
    arguments = cli.parse(networks.Networks(), [])
    runs = networks.Networks().plan(settings, arguments)
    assert len({run.name for run in runs}) == len(runs)
    noise = [run for run in runs if run.settings["phase"] == "noise"]
    assert (len(runs) - len(noise), len(noise)) == (600, 90)
    assert {run.settings["depth"] for run in runs} == {1, 2}


def test_a_share_has_all_runs_of_a_method(settings):
    experiment = networks.Networks()
    shares = []
    for number in (1, 2, 3):
        arguments = cli.parse(experiment, ["--shard", f"{number}/3"])
        runs = experiment.plan(settings, arguments)
        mine = cli.share(arguments, runs, experiment.share_of)
        shares.append({experiment.share_of(run) for run in mine})
    assert sum(map(len, shares)) == len(set.union(*shares)) == 60


def test_seeds_of_the_second_set_of_plain_runs_are_refused(settings):
    experiment = networks.Networks()
    experiment.check(cli.parse(experiment, []), settings)
    with pytest.raises(UsageError, match="Seeds 6, 7 are those of the second set"):
        experiment.check(cli.parse(experiment, ["--seeds", "5", "6", "7"]), settings)


@pytest.mark.parametrize(
    "change, message",
    [
        ("workloads[0].sgd=0.03", "1, 2 or 5 times a power of 10"),
        ("workloads[0].name=resnet", "must be of ethanol, mlp"),
        ("warmup=1.0", "must lie in [0, 1)"),
        ("workloads[0].halvings=-1", "`halvings` must be >= 0"),
        ("noise_seeds=[6, 6]", "no two the same"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ConfigError) as error:
        config.load(cli.ROOT / "configs" / "networks.yaml", planning.Config, [change])
    assert message in str(error.value)
