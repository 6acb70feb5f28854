"""`summary.json`: what is worth knowing of a results folder."""

import collections
import dataclasses

from reproduce.harness import cli, config
from reproduce.harness.provenance import provenance


def summary(experiment, records, conclusion, settings, dataset, started):
    """What is worth knowing of a results folder, as plain values.

    Args:
        experiment: The `experiment.Experiment`. `settings`: its configuration, or None.
        records: All `harness.records.Record`s of the folder.
        conclusion: The `experiment.Conclusion` from them. Its `distances` are RMS of
            log10(ours/paper), a dict from series to a dict from seed to number; its `tables` a
            dict from a title to a list of rows, each a dict from column to value.
        dataset: The data.
        started: When the conclusion began, which is all the work where there are no records.
    """
    provenances = [record.provenance for record in records] or [provenance(dataset, started)]
    return {
        "figure": experiment.name,
        "title": experiment.title,
        "command": cli.command(experiment),
        "drawn": experiment.drawn,
        "data": {"description": dataset.description, "fingerprint": dataset.fingerprint},
        "config_digest": config.digest({} if settings is None else config.as_dict(settings)),
        "runs": len(records),
        "seconds": round(sum(provenance["seconds"] for provenance in provenances)),
        "devices": sorted({_device(provenance) for provenance in provenances}),
        "commits": sorted({str(provenance["commit"]) for provenance in provenances}),
        "uncommitted_changes": any(p["uncommitted_changes"] for p in provenances),
        "versions": _collected(provenance["versions"] for provenance in provenances),
        "rms_log10": {
            series: {str(seed): rms for seed, rms in sorted(by_seed.items())}
            for series, by_seed in conclusion.distances.items()
        },
        "verdicts": [dataclasses.asdict(verdict) for verdict in conclusion.verdicts],
        "tables": conclusion.tables,
    }


def _device(provenance):
    # Older records have a plural for one.
    return "CPU, 1 core" if provenance["device"] == "CPU, 1 cores" else provenance["device"]


def _collected(versions):
    found = collections.defaultdict(set)
    for version in versions:
        for package, number in version.items():
            found[package].add(number)
    return {package: ", ".join(sorted(numbers)) for package, numbers in found.items()}
