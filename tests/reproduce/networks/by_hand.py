"""Runs whose curves are made by hand."""

import json

from reproduce.harness.records import Record


def record(method, seed, pace, workload="mlp", optimizer="sgd", phase=None, rate=0.1, last=None):
    """A run whose validation loss is 1 / (pace * step), its training loss twice that.

    Its last test loss is half of that of validation.
    """
    curve = [[0, 9.0], *([t, 1 / (pace * t)] for t in range(10, 101, 10) if pace)]
    phase = phase or ("measurement" if 1 <= seed <= 5 else "noise" if seed else "selection")
    held_out = workload != "ethanol"
    curves = {"training_loss": [[t, 2 * value] for t, value in curve]}
    if held_out:
        curves["validation_loss"] = curve
    settings = {
        "workload": workload,
        "optimizer": optimizer,
        "method": method,
        "phase": phase,
        "learning_rate": rate,
        "steps": 100,
        "validation_size": 10 if held_out else 0,
    }
    settings = json.loads(json.dumps(settings))  # as they come from a file
    results = {"diverged_at": 5 if pace == 0 else None, "test_error": 2.0}
    if held_out and pace:
        results["test_loss"] = curve[-1][1] / 2
    series = f"{optimizer} {method} lr={rate:g}"
    return Record(series, seed, rate, settings, curves, results, {}, workload)


def plain(workload="mlp", optimizer="sgd", spread=0.0, rate=0.1):
    """Ten runs, whose paces are apart by `spread` from one to the next."""
    return [
        record("plain", seed, 0.8 + spread * (seed - 5.5), workload, optimizer, rate=rate)
        for seed in range(1, 11)
    ]


def five(method, pace, **kwargs):
    return [record(method, seed, pace, **kwargs) for seed in range(1, 6)]


def trained(method, pace, **kwargs):
    """Five runs whose training loss falls at this pace, and whose validation loss at 0.8."""
    runs = five(method, 0.8, **kwargs)
    for each, other in zip(runs, five(method, pace, **kwargs)):
        each.curves["training_loss"] = other.curves["training_loss"]
    return runs


def exactly(**seconds):
    """Quartiles and median that are all the same."""
    return {method: [value] * 3 for method, value in seconds.items()}
