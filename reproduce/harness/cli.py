"""One command line for every experiment."""

import argparse
import contextlib
import copy
import dataclasses
import pathlib
import re
import shutil
import sys

from reproduce.harness import config as configuration
from reproduce.harness import process
from reproduce.harness.errors import CommandError, DataError, UsageError
from reproduce.harness.records import read_records

ROOT = pathlib.Path(__file__).parents[2]
RESUMABLE = "Finished runs are kept; add --resume to go on from them."
REPEATABLE = "Nothing is kept; start the same command again."


def parse(experiment, arguments=None):
    """The arguments of an experiment's command.

    Args:
        experiment: A `reproduce.experiment.Experiment`.
        arguments: List of texts; None: those of the process.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m reproduce.{experiment.name}",
        description=experiment.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if experiment.config_class is None:
        # It is done anew each time.
        parser.set_defaults(smoke=False, everything=False, resume=True)
    else:
        _add_runs(parser.add_argument, experiment)
    parser.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help=f"results folder (default: runs/{experiment.name}/results, or under runs/smoke)",
    )
    parser.add_argument("--quiet", action="store_true", help="print the results only")
    experiment.add_options(parser)
    return parser.parse_args(arguments)


def _add_runs(add, experiment):
    """The arguments of experiments that have a configuration, data and runs."""
    name, arms = experiment.name, experiment.arms
    add(
        "--config",
        type=path,
        default=_config_path(experiment),
        metavar="FILE",
        help=f"configuration (default: configs/{name}.yaml, where every knob is explained)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one key of the configuration; may be given several times",
    )
    if arms:
        add(
            "--arms",
            nargs="+",
            choices=list(arms),
            default=list(experiment.default_arms),
            metavar="ARM",
            help=f"what to run, of: {', '.join(arms)} "
            f"(default: {' '.join(experiment.default_arms)})",
        )
    add(
        "--seeds",
        nargs="+",
        type=_seed,
        default=list(experiment.seeds),
        metavar="N",
        help=f"one run per arm and seed (default: {' '.join(map(str, experiment.seeds))})",
    )
    add(
        "--everything",
        action="store_true",
        help=f"all runs that are committed under results/{name}, in place of --arms and --seeds",
    )
    add("--steps", type=int, metavar="N", help="iterations a run, in place of the configuration's")
    add(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="where the data is, if not in this checkout: a TensorFlow Datasets folder, or the "
        "original files (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--resume",
        action="store_true",
        help="keep the finished runs of the results folder, run what is missing",
    )
    add(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="do the I-th of N shares of the runs, for N processes or machines; with one results "
        "folder for all, or all their records copied into one, run the command once more with "
        "--resume and without --shard to conclude",
    )
    add("--smoke", action="store_true", help="a few iterations only: does everything work here?")


def path(text):
    """The type of an argument that is a file or folder.

    The empty text, which is what a shell makes of a variable that is not set, would be the current
    folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; was a variable not set?")
    return pathlib.Path(text)


def _seed(text):
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"a seed is an integer >= 0 and below 1e9, not {text:.40}")
    return int(text)


def _shard(text):
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, of = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= of:
        raise argparse.ArgumentTypeError(f"a share is I/N with 1 <= I <= N, not {text:.40}")
    return number, of


def settings(experiment, arguments):
    """The configuration that the command line asks for; None of an experiment without one.

    Raises:
        ConfigError: If it cannot be read, or a value makes no sense.
        UsageError: If what is asked for cannot be.
    """
    found = None
    if experiment.config_class is not None:
        overrides = list(arguments.set)
        if arguments.steps is not None:
            overrides.append(f"steps={arguments.steps}")
        found = configuration.load(arguments.config, experiment.config_class, overrides)
        if arguments.smoke:
            found = dataclasses.replace(found, steps=found.smoke_steps)
    experiment.check(arguments, found)
    return found


def is_shortened(experiment, settings):
    """Whether the runs are shorter than those of the experiment's own configuration."""
    if settings is None:
        return False
    own = configuration.load(_config_path(experiment), experiment.config_class)
    return settings.steps < own.steps


def _config_path(experiment):
    return ROOT / "configs" / f"{experiment.name}.yaml"


def asked_for(experiment, arguments, settings, records=()):
    """The runs that the command line asks for, as far as finished ones tell, a list of `Run`.

    Of these, if it asks for a share: see `share`.
    """
    if not arguments.everything:
        runs = experiment.next_runs(settings, arguments, records)
        return share(arguments, runs, experiment.share_of)
    committed = read_records(ROOT / "results" / experiment.name)
    seeds = sorted({record.seed for record in committed})
    names = {record.name for record in committed}
    runs = experiment.everything(settings, with_values(arguments, seeds=seeds))
    runs = [run for run in runs if run.name in names]
    return share(arguments, runs, experiment.share_of)


def how_to_go_on(experiment):
    """What is said after Ctrl-C."""
    return REPEATABLE if experiment.config_class is None else RESUMABLE


def command(experiment):
    """The command that makes all that is committed of an experiment."""
    more = "" if experiment.config_class is None else " --everything"
    return f"python -m reproduce.{experiment.name}{more}"


def with_values(arguments, **values):
    """A copy of the arguments with other values of some."""
    changed = copy.copy(arguments)
    for name, value in values.items():
        setattr(changed, name, value)
    return changed


def share(arguments, runs, share_of):
    """The share of a list of runs that `--shard` asks for: every N-th of them.

    Args:
        share_of: A function of a run; runs of which it returns the same go to the same share.
    """
    number, of = getattr(arguments, "shard", (1, 1))
    mine = set(list(dict.fromkeys(map(share_of, runs)))[number - 1 :: of])
    return [run for run in runs if share_of(run) in mine]


def results_path(experiment, arguments):
    """The results folder: `--out`, or one under `runs/` that says what it holds."""
    smoke = ["smoke"] if arguments.smoke else []
    return arguments.out or pathlib.Path("runs", *smoke, experiment.name, "results")


def clear_smoke(experiment, arguments):
    """Remove what an earlier `--smoke` has left in its own folder, of no value to anybody."""
    if arguments.smoke and arguments.out is None and not arguments.resume:
        shutil.rmtree(results_path(experiment, arguments), ignore_errors=True)


def check_data(folder, experiment, dataset):
    """Raise a UsageError if the folder holds runs on other data, copied from another machine."""
    for record in folder.records():
        found = record.provenance.get("data")
        try:
            task = experiment.task(record.settings, dataset)
        except DataError:
            continue  # Of a finished run on data that this machine does not have.
        if found and found["fingerprint"] != task.fingerprint:
            raise UsageError(
                f"{record.name} in {folder.path} was made from other data than this machine has "
                f"({task.description}). Take its record away, or give both machines the same data."
            )


def about(minutes):
    """A number of minutes in words.

    >>> about(0.2), about(7.4), about(150)
    ('less than a minute', 'about 7 minutes', 'about 2.5 hours')
    """
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} minutes" if minutes < 100 else f"about {minutes / 60:.1f} hours"


@contextlib.contextmanager
def reported_errors(arguments, interrupted=RESUMABLE):
    """End the program with one clear line where the request, not the program, is at fault.

    Args:
        arguments: Those of a command's `main`; None: it is the program, and Ctrl-C ends it at once.
        interrupted: What to say, after Ctrl-C, of how to go on.
    """
    if arguments is None:
        process.end_on_ctrl_c(interrupted)
    try:
        yield
    except CommandError as error:
        sys.exit(_fail(f"error: {error}", 2))
    except KeyboardInterrupt:  # Where it has something to tidy up, or this is not a command.
        sys.exit(_fail(f"\nInterrupted. {interrupted}", 130))
    finally:
        process.ignore_ctrl_c()


def _fail(message, status):
    print(message, file=sys.stderr, flush=True)
    return status
