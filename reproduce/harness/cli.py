"""One command line for every figure."""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import sys

from tqdm import tqdm

from reproduce.harness import config as configuration
from reproduce.harness import interrupts
from reproduce.harness.errors import CommandError, UsageError
from reproduce.harness.records import ResultsFolder, slug

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
RESUMABLE = "Finished runs are kept; add --resume to go on from them."
REPEATABLE = "Nothing is kept; start the same command again."


def parser(figure, description, arms, default_arms):
    """The arguments that all figures share; a figure adds its own to the result.

    Args:
        figure: Name of the figure: of its module, its configuration and its results folder.
        description: What `--help` says first.
        arms: Names of all arms. `default_arms`: those that run unless told otherwise.
    """
    result = argparse.ArgumentParser(
        prog=f"python -m reproduce.{figure}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add(
        "--config",
        type=path,
        default=CONFIGS / f"{figure}.yaml",
        metavar="FILE",
        help=f"configuration (default: configs/{figure}.yaml, where every knob is explained)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one key of the configuration; may be given several times",
    )
    add(
        "--arms",
        nargs="+",
        choices=arms,
        default=list(default_arms),
        metavar="ARM",
        help=f"what to run, of: {', '.join(arms)} (default: {' '.join(default_arms)})",
    )
    add(
        "--seeds",
        nargs="+",
        type=_seed,
        default=[0],
        metavar="N",
        help="one run per arm and seed (default: 0)",
    )
    add("--steps", type=int, metavar="N", help="iterations a run, in place of the configuration's")
    add(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="where the data is: a TensorFlow Datasets folder, or the original files "
        "(default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--data",
        choices=("auto", "real", "stand-in"),
        default="auto",
        help="auto: the real data if it can be had, else a small stand-in, said loudly; "
        "real: nothing but the real data (default: auto)",
    )
    add(
        "--out",
        type=path,
        metavar="DIR",
        help=f"results folder (default: runs/{figure}/results, or under runs/smoke or "
        "runs/stand-in)",
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
    add("--quiet", action="store_true", help="print the results only")
    return result


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
        raise argparse.ArgumentTypeError(
            f"a seed is an integer >= 0 and below 1e9, not {text:.40}"
        )
    return int(text)


def _shard(text):
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, of = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= of:
        raise argparse.ArgumentTypeError(f"a share is I/N with 1 <= I <= N, not {text:.40}")
    return number, of


def shard(arguments, runs):
    """The share of a dict of runs that `--shard` asks for: every N-th of them."""
    number, of = arguments.shard
    return dict(list(runs.items())[number - 1 :: of])


def load_config(arguments, config_class):
    """The configuration that the command line asks for.

    Raises:
        ConfigError: If it cannot be read, or a value makes no sense.
    """
    overrides = list(arguments.set)
    if arguments.steps is not None:
        overrides.append(f"steps={arguments.steps}")
    config = configuration.load(arguments.config, config_class, overrides)
    return dataclasses.replace(config, steps=config.smoke_steps) if arguments.smoke else config


def results_folder(arguments, figure, dataset, settings, **more):
    """The folder for results: `--out`, or one under `runs/` that says what they are.

    Its results are of one data set and configuration, and of one value of each of `more`.

    Raises:
        RecordsError: If it holds others, or holds any without --resume.
    """
    folder = arguments.out or log_root(arguments, figure, dataset) / "results"
    identity = {
        "figure": figure,
        "data": {"source": dataset.source, "fingerprint": dataset.fingerprint},
        "config": configuration.as_dict(settings),
        **more,
    }
    return ResultsFolder(folder, identity, resume=arguments.resume)


def check_data(folder, dataset):
    """Raise a UsageError if the folder holds runs on other data, copied from another machine."""
    for record in folder.records():
        found = record.provenance.get("data")
        if found and found["fingerprint"] != dataset.fingerprint:
            raise UsageError(
                f"{record.name} in {folder.path} was made from other data ({found['source']}) than "
                f"this machine has ({dataset.source}). Take its record away, or give both machines "
                "the same data."
            )


def log_root(arguments, figure, dataset):
    """Where the logs of the runs go, for TensorBoard: `runs/<figure>`, or in it with `--out`."""
    kinds = ["smoke"] * arguments.smoke + ["stand-in"] * (dataset.source != "real")
    # Those of each results folder apart: who may write the one may write the other.
    out = [slug(str(arguments.out).strip("/"))] if arguments.out else []
    return pathlib.Path("runs", *kinds, figure, *out)


def progress_bar(arguments, description, steps):
    """A bar with the time left, on a terminal; nothing elsewhere."""
    hide = arguments.quiet or not sys.stderr.isatty()
    return tqdm(total=steps, desc=description, unit="it", disable=hide, dynamic_ncols=True)


@contextlib.contextmanager
def reported_errors(interrupted=RESUMABLE):
    """End the program with one clear line where the request, not the program, is at fault.

    Args:
        interrupted: What to say, after Ctrl-C, of how to go on.
    """
    interrupts.say(interrupted)
    try:
        yield
    except CommandError as error:
        sys.exit(_fail(f"error: {error}", 2))
    except KeyboardInterrupt:  # Where it has something to tidy up, or this is not a command.
        sys.exit(_fail(f"\nInterrupted. {interrupted}", 130))
    finally:
        interrupts.ignore_from_now_on()


def _fail(message, status):
    print(message, file=sys.stderr, flush=True)
    return status


def quiet_tensorflow():
    """Make TensorFlow Keras's backend, without its start-up messages; call before either's import.

    Ends the program with 2 where $KERAS_BACKEND asks for another backend. What Keras's own
    configuration file says of it is overruled.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend
    if backend != "tensorflow":
        message = "error: the experiments need TensorFlow (tfoverparam itself does not); unset "
        sys.exit(_fail(f"{message}KERAS_BACKEND, which is {backend!r}", 2))
