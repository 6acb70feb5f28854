"""Bad inputs of the command line: arguments, `--set`, folders, configurations."""

import subprocess
import sys

import yaml

from reproduce.harness import cli
from tests.reliability.inputs.bad_input import BadInput, command, written

FIGURE = "reproduce.figure5_right"
ROOT = cli.CONFIGS.parent
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, name in zip("abcdefgh", "bcdefghi")
)
SMOKE = ("--data", "stand-in", "--smoke", "--quiet")


def _command(kind, what, arguments, *says, module=FIGURE):
    def give(folder):
        command(module, *arguments)

    return BadInput(kind, what, give, says, (SystemExit,))


def _yaml(kind, what, content, *says):
    def give(folder):
        path = written(folder / "my.yaml", content)
        command(FIGURE, "--config", path)

    return BadInput(kind, what, give, ("my.yaml", *says), (SystemExit,))


def _edited(what, edit, *says, figure="figure2"):
    """A figure's own configuration, changed by a function of its values."""

    def give(folder):
        values = yaml.safe_load((cli.CONFIGS / f"{figure}.yaml").read_text())
        edit(values)
        path = written(folder / "my.yaml", yaml.safe_dump(values))
        command(f"reproduce.{figure}", "--config", path, *SMOKE)

    kind = "configuration: values that make no sense"
    return BadInput(kind, what, give, says, (SystemExit,))


def _process(what, arguments, *says):
    """The same in a process of its own: its status, and what it writes."""

    def give(folder):
        done = subprocess.run(
            [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT
        )
        print(done.stderr, file=sys.stderr)
        raise SystemExit(done.returncode)

    return BadInput("processes of their own", what, give, says, (SystemExit,), slow=True)


def _series(**changes):
    """An edit of the first series of the first panel, which stay alone."""

    def edit(values):
        panel = values["panels"][0]
        values["panels"] = [{**panel, "series": [{**panel["series"][0], **changes}]}]

    return edit


def _panel(**changes):
    return lambda values: values["panels"][0].update(changes)


ARGUMENTS, SET = "command line: arguments", "command line: `--set`"
FOLDERS = "command line: folders and files"
NOT_PLAIN, NO_TEXT = "YAML: tags, bombs, recursion, duplicates", "YAML: files that are none"
TYPES = "configuration: wrong types, unknown and missing keys"
SENSE = "configuration: values that make no sense"
PLAIN = (cli.CONFIGS / "figure5_right.yaml").read_text()

CASES = [
    _command(ARGUMENTS, "a seed that is a word", ["--seeds", "abc"], "--seeds", ">= 0", "abc"),
    _command(ARGUMENTS, "a seed below zero", ["--seeds", "-1"], "--seeds", ">= 0", "-1"),
    _command(ARGUMENTS, "a seed of 30 digits", ["--seeds", "9" * 30], "--seeds", "below 1e9"),
    _command(ARGUMENTS, "no seed", ["--seeds"], "--seeds", "expected at least one"),
    _command(ARGUMENTS, "steps that are a word", ["--steps", "x"], "--steps", "int", "'x'"),
    _command(ARGUMENTS, "steps below zero", ["--steps=-5"], "`steps` must be positive", "-5"),
    _command(ARGUMENTS, "a billion steps and more", ["--steps", "9" * 12], "`steps`", "at most"),
    _command(ARGUMENTS, "an unknown arm", ["--arms", "nope"], "--arms", "nope", "no_l2"),
    _command(ARGUMENTS, "share 3 of 2", ["--shard", "3/2"], "--shard", "I/N", "3/2"),
    _command(ARGUMENTS, "a share of 5000 digits", ["--shard", "9" * 5000], "--shard", "I/N"),
    _command(ARGUMENTS, "an unknown argument", ["--bogus"], "unrecognized", "--bogus"),
    _command(ARGUMENTS, "an unknown source", ["--data", "fake"], "--data", "fake", "stand-in"),
    _command(
        ARGUMENTS,
        "arguments that exclude each other",
        ["--tutorial-seeds", "--arms", "no_l2"],
        "--tutorial-seeds",
        "arms original, overparameterized only",
    ),
    _command(SET, "no value", ["--set", "steps"], "--set takes key=value", "'steps'"),
    _command(SET, "no key", ["--set", "=3"], "--set takes key=value", "'=3'"),
    _command(SET, "an unknown key", ["--set", "stepz=3"], "`stepz`", "mean `steps`"),
    _command(SET, "an unknown section", ["--set", "x.steps=3"], "unknown key `x`"),
    _command(SET, "a section of a number", ["--set", "steps.x=3"], "`steps`", "type int", "x"),
    _command(SET, "half of a list", ["--set", "steps=["], "--set steps", "cannot be set"),
    _command(SET, "a broken number", ["--set", "steps=1.5"], "`steps`", "type int", "1.5"),
    _command(SET, "not a number", ["--set", "l2=.nan"], "`l2`", "type float", "nan"),
    _command(SET, "an infinite number", ["--set", "l2=.inf"], "`l2`", "type float", "inf"),
    _command(SET, "an object", ["--set", "l2=!!python/name:os.system"], "--set l2", "tag"),
    _command(SET, "5000 digits", ["--set", "steps=" + "9" * 5000], "--set steps", "digits"),
    _command(SET, "a key of 5000 letters", ["--set", "k" * 5000 + "=1"], "unknown key `kkk"),
    _command(FOLDERS, "no configuration", ["--config", "x.yaml"], "x.yaml", "No such file"),
    _command(FOLDERS, "a folder for a configuration", ["--config", "."], "Is a directory"),
    _command(FOLDERS, "no data folder", ["--data-dir", "x"], "x does not exist", "Name an"),
    _command(FOLDERS, "an empty data folder", ["--data-dir", ""], "--data-dir", "path is empty"),
    _command(FOLDERS, "an empty results folder", ["--out", ""], "--out", "path is empty"),
    _command(FOLDERS, "an empty configuration", ["--config="], "--config", "path is empty"),
    _command(FOLDERS, "the home of nobody", ["--data-dir", "~nobody-at-all/x"], "Name an"),
    _command(FOLDERS, "a path of 5000 letters", ["--data-dir", "x" * 5000], "Name an existing"),
    _command(
        FOLDERS, "a file for a data folder", ["--data-dir", __file__], "is not a folder", "Name an"
    ),
    _command(
        FOLDERS, "a file for a results folder", [*SMOKE, "--out", __file__], __file__, "folder"
    ),
    _yaml(NO_TEXT, "an empty file", "", "must hold `key: value` lines"),
    _yaml(NO_TEXT, "a list", "- 1\n", "must hold `key: value` lines", "[1]"),
    _yaml(NO_TEXT, "bytes that are no UTF-8", b"steps: \xff\n", "save it as UTF-8"),
    _yaml(NO_TEXT, "UTF-16", "steps: 3\n".encode("utf-16"), "save it as UTF-8"),
    _yaml(NO_TEXT, "zero bytes", "steps: \0\n", "special characters are not allowed"),
    _yaml(NO_TEXT, "half of a list", "steps: [1,\n", "line 2"),
    _yaml(NO_TEXT, "tabs", "steps:\n\t- 1\n", "line 2", r"'\t'"),
    _yaml(NO_TEXT, "a megabyte", "# comment\n" * 100_000, "longer than 100000"),
    _command(NO_TEXT, "a file without end", ["--config", "/dev/zero"], "/dev/zero", "longer than"),
    _yaml(NOT_PLAIN, "a call", '!!python/object/apply:os.system ["touch ran"]', "is not allowed"),
    _yaml(NOT_PLAIN, "an object", "a: !!python/object:os.x {}", "tag", "is not allowed"),
    _yaml(NOT_PLAIN, "a module", "a: !!python/module:antigravity", "tag", "is not allowed"),
    _yaml(NOT_PLAIN, "bytes", "a: !!binary aGk=", "tag", "is not allowed"),
    _yaml(NOT_PLAIN, "a billion laughs", LAUGHS, "limit of 10000"),
    _yaml(NOT_PLAIN, "a list within itself", "a: &a [*a]", "line 1", "recursive aliases"),
    _yaml(NOT_PLAIN, "a mapping within itself", "&a {b: *a}", "line 1", "recursive aliases"),
    _yaml(NOT_PLAIN, "5000 lists, each in another", "[" * 5000, "line 1, column", "nest"),
    _yaml(NOT_PLAIN, "5000 items, each in another", "- " * 5000, "line 1, column", "nest"),
    _yaml(NOT_PLAIN, "a key twice", PLAIN + "steps: 4\n", "line", "duplicate key steps"),
    _yaml(NOT_PLAIN, "a list for a key", "? [a]\n: 1\n", "line 1", "unhashable key"),
    _yaml(NOT_PLAIN, "a number for a key", "1: 2\n", "unknown key `1`"),
    _yaml(NOT_PLAIN, "an integer of 5000 digits", "steps: " + "9" * 5000, "4300 digits"),
    _yaml(NOT_PLAIN, "a hexadecimal of 5000 digits", "steps: 0x" + "f" * 5000, "no decimal"),
    _yaml(NOT_PLAIN, "a word that should be an integer", "steps: !!int x", "a tag is not allowed"),
    _yaml(NOT_PLAIN, "two documents", "a: 1\n---\nb: 2\n", "another document"),
    _yaml(TYPES, "an unknown key", PLAIN + "stepz: 1\n", "unknown key `stepz`", "mean `steps`"),
    _yaml(TYPES, "a missing key", "steps: 3\n", "the key", "is missing"),
    _yaml(TYPES, "a truth value", PLAIN.replace("l2: 5.0e-4", "l2: yes"), "`l2`", "float", "True"),
    _yaml(TYPES, "a word", PLAIN.replace("momentum: 0.9", "momentum: x"), "`momentum`", "'x'"),
    _yaml(TYPES, "nothing", PLAIN.replace("momentum: 0.9", "momentum:"), "`momentum`", "None"),
    _yaml(TYPES, "quotes", PLAIN.replace("steps: 8593", "steps: '3'"), "`steps`", "int", "'3'"),
    _yaml(TYPES, "a list", PLAIN.replace("steps: 8593", "steps: [3]"), "`steps`", "int", "[3]"),
    _edited("a list for a section", _panel(series=[[1]]), "`panels[0].series[0]`", "type Series"),
    _edited("an odd power", _panel(p=3), "`p` must be an even integer", "3"),
    _edited("too large a power", _panel(p=1000), "`p` must be an even integer", "1000"),
    _edited("an unknown panel", _panel(name="x"), "x: one of its series", "paper_curves.csv"),
    _edited("no panel", lambda values: values.update(panels=[]), "`panels` must be at least one"),
    _edited("a panel twice", lambda v: v["panels"].append(v["panels"][0]), "no two the same"),
    _edited("no series", _panel(series=[]), "series` must be at least one"),
    _edited("an unknown rule", _series(rule="x"), "`rule` must be one of", "'x'"),
    _edited("an unknown optimizer", _series(optimizer="x"), "`optimizer` must be one of", "'x'"),
    _edited("an unknown start", _series(start="x"), "`start` must be one of", "'x'"),
    _edited("depth 0", _series(depth=0), "`depth` must be positive", "0"),
    _edited("a billion layers", _series(depth=10**9), "`depth` times", "must be at most"),
    _edited("layers of a hundred million", _series(width=10**8), "`width` squared", "at most"),
    _edited("a rate that is not run", _series(plotted=3.0), "`plotted` must be one of `rates`"),
    _command(SENSE, "dropout 1", ["--set", "dropout=1.0"], "`dropout` must lie in [0, 1)", "1.0"),
    _command(SENSE, "momentum 2", ["--set", "momentum=2"], "`momentum` must lie in", "2.0"),
    _command(SENSE, "a penalty below 0", ["--set", "l2=-1"], "`l2` must not be negative", "-1"),
    _command(SENSE, "a window below 0", ["--set", "half_window=-1"], "`half_window` must not be"),
    _command(
        SENSE,
        "a batch larger than the data",
        ["--set", "batch_size=100000", *SMOKE],
        "`batch_size` must be smaller",
    ),
    _edited(
        "an odd power on other data",
        lambda v: v.update(powers=[3]),
        "`p` must",
        figure="robustness",
    ),
    _edited(
        "an unknown problem",
        lambda v: v.update(problems=["x"]),
        "`problems` must be of full",
        figure="robustness",
    ),
    _edited(
        "depths without one that is compared",
        lambda v: v.update(depths=[1, 2]),
        "`depths` must have 1, 2 and 3",
        figure="robustness",
    ),
    _edited(
        "no seed to select by",
        lambda v: v.update(selection_seeds=[]),
        "`selection_seeds` must be at least one",
        figure="robustness",
    ),
    _process("a value of the wrong type", [FIGURE, "--set", "steps=x"], "`steps`", "int"),
    _process("a file without end", [FIGURE, "--config", "/dev/zero"], "longer than"),
    _process("no data", ["reproduce.data", "--data-dir", "/nowhere"], "does not exist"),
    _process("an unknown argument", ["reproduce.figure2", "--bogus"], "unrecognized"),
]
