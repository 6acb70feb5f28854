"""Commands refuse bad arguments, folders and configurations, and say which and what would do."""

import subprocess
import sys

import pytest
import yaml

from reproduce.harness import cli

FIGURE = "reproduce.figure5_right"
PLAIN = (cli.ROOT / "configs" / "figure5_right.yaml").read_text()
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, name in zip("abcdefgh", "bcdefghi")
)
SMOKE = ("--smoke", "--quiet")


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--seeds", "abc"], ("--seeds", ">= 0", "abc")),
        (["--seeds", "-1"], ("--seeds", ">= 0", "-1")),
        (["--seeds", "9" * 30], ("--seeds", "below 1e9")),
        (["--seeds"], ("--seeds", "expected at least one")),
        (["--steps", "x"], ("--steps", "int", "'x'")),
        (["--steps=-5"], ("`steps` must be positive", "-5")),
        (["--steps", "9" * 12], ("`steps`", "at most")),
        (["--arms", "nope"], ("--arms", "nope", "no_l2")),
        (["--shard", "3/2"], ("--shard", "I/N", "3/2")),
        (["--shard", "9" * 5000], ("--shard", "I/N")),
        (["--bogus"], ("unrecognized", "--bogus")),
        (
            ["--tutorial-seeds", "--arms", "no_l2"],
            ("--tutorial-seeds", "arms original, overparameterized only"),
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_arguments(arguments, says, command_refuses):
    command_refuses(FIGURE, arguments, *says)


# Others are in test_config.py.
@pytest.mark.parametrize(
    "override, says",
    [
        ("x.steps=3", ("unknown key `x`",)),
        ("steps.x=3", ("`steps`", "type int", "x")),
        ("l2=!!python/name:os.system", ("--set l2", "tag")),
        ("steps=" + "9" * 5000, ("--set steps", "digits")),
        ("k" * 5000 + "=1", ("unknown key `kkk",)),
        ("momentum=2", ("`momentum` must lie in", "2.0")),
        ("l2=-1", ("`l2` must not be negative", "-1")),
        ("half_window=-1", ("`half_window` must not be",)),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_overrides(override, says, command_refuses):
    command_refuses(FIGURE, ["--set", override], *says)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--config", "x.yaml"], ("x.yaml", "No such file")),
        (["--config", "."], ("Is a directory",)),
        (["--config", "/dev/zero"], ("/dev/zero", "longer than")),
        (["--data-dir", "x"], ("x does not exist", "Name an")),
        (["--data-dir", ""], ("--data-dir", "path is empty")),
        (["--out", ""], ("--out", "path is empty")),
        (["--config="], ("--config", "path is empty")),
        (["--data-dir", "~nobody-at-all/x"], ("Name an",)),
        (["--data-dir", "x" * 5000], ("Name an existing",)),
        (["--data-dir", __file__], ("is not a folder", "Name an")),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_folders_and_files(arguments, says, command_refuses):
    command_refuses(FIGURE, arguments, *says)


def test_a_file_for_a_results_folder(command_refuses):
    command_refuses("reproduce.figure1", ["--out", __file__], __file__, "folder")


@pytest.mark.parametrize(
    "content, says",
    [
        ("", ("must hold `key: value` lines",)),
        ("- 1\n", ("must hold `key: value` lines", "[1]")),
        (b"steps: \xff\n", ("save it as UTF-8",)),
        ("steps: 3\n".encode("utf-16"), ("save it as UTF-8",)),
        ("steps: \0\n", ("special characters are not allowed",)),
        ("steps: [1,\n", ("line 2",)),
        ("steps:\n\t- 1\n", ("line 2", r"'\t'")),
        ("# comment\n" * 100_000, ("longer than 100000",)),
        ('!!python/object/apply:os.system ["touch ran"]', ("is not allowed",)),
        ("a: !!python/object:os.x {}", ("tag", "is not allowed")),
        ("a: !!python/module:antigravity", ("tag", "is not allowed")),
        ("a: !!binary aGk=", ("tag", "is not allowed")),
        (LAUGHS, ("limit of 10000",)),
        ("a: &a [*a]", ("line 1", "recursive aliases")),
        ("&a {b: *a}", ("line 1", "recursive aliases")),
        ("[" * 1200, ("line 1, column", "nest")),
        ("- " * 5000, ("line 1, column", "nest")),
        (PLAIN + "steps: 4\n", ("line", "duplicate key steps")),
        ("? [a]\n: 1\n", ("line 1", "unhashable key")),
        ("1: 2\n", ("unknown key `1`",)),
        ("steps: " + "9" * 5000, ("4300 digits",)),
        ("steps: 0x" + "f" * 5000, ("no decimal",)),
        ("steps: !!int x", ("a tag is not allowed",)),
        ("a: 1\n---\nb: 2\n", ("another document",)),
        (PLAIN + "stepz: 1\n", ("unknown key `stepz`", "mean `steps`")),
        ("steps: 3\n", ("the key", "is missing")),
        (PLAIN.replace("l2: 5.0e-4", "l2: yes"), ("`l2`", "float", "True")),
        (PLAIN.replace("momentum: 0.9", "momentum:"), ("`momentum`", "None")),
        (PLAIN.replace("steps: 8593", "steps: '3'"), ("`steps`", "int", "'3'")),
        (PLAIN.replace("steps: 8593", "steps: [3]"), ("`steps`", "int", "[3]")),
    ],
    ids=lambda value: repr(value[-30:]) if isinstance(value, (str, bytes)) else "",
)
def test_configurations(content, says, command_refuses, tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    command_refuses(FIGURE, ["--config", path], "my.yaml", *says)


def _panel(**changes):
    return lambda values: values["panels"][0].update(changes)


def _series(**changes):
    """An edit of the first series of the first panel, which stay alone."""

    def edit(values):
        panel = values["panels"][0]
        values["panels"] = [{**panel, "series": [{**panel["series"][0], **changes}]}]

    return edit


@pytest.mark.parametrize(
    "figure, edit, says",
    [
        ("figure2", _panel(series=[[1]]), ("`panels[0].series[0]`", "type Series")),
        ("figure2", _panel(p=3), ("`p` must be an even integer", "3")),
        ("figure2", _panel(p=1000), ("`p` must be an even integer", "1000")),
        ("figure2", _panel(name="x"), ("x: one of its series", "curves.csv")),
        ("figure2", lambda v: v.update(panels=[]), ("`panels` must be at least one",)),
        ("figure2", lambda v: v["panels"].append(v["panels"][0]), ("no two the same",)),
        ("figure2", _panel(series=[]), ("series` must be at least one",)),
        ("figure2", _series(rule="x"), ("`rule` must be one of", "'x'")),
        ("figure2", _series(optimizer="x"), ("`optimizer` must be one of", "'x'")),
        ("figure2", _series(start="x"), ("`start` must be one of", "'x'")),
        ("figure2", _series(depth=0), ("`depth` must be positive", "0")),
        ("figure2", _series(depth=10**9), ("`depth` times", "must be at most")),
        ("figure2", _series(width=10**8), ("`width` squared", "at most")),
        ("figure2", _series(plotted=3.0), ("`plotted` must be one of `rates`",)),
        ("robustness", lambda v: v.update(powers=[3]), ("`p` must",)),
        ("robustness", lambda v: v.update(problems=["x"]), ("`problems` must be of full",)),
        ("robustness", lambda v: v.update(tasks=["x"]), ("`tasks` must be of airfoil",)),
        ("robustness", lambda v: v.update(refinement=0), ("`refinement` must be positive",)),
        ("robustness", lambda v: v.update(depths=[1, 2]), ("`depths` must have 1, 2 and 3",)),
        (
            "robustness",
            lambda v: v.update(selection_seeds=[]),
            ("`selection_seeds` must be at least one",),
        ),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, tuple) else "",
)
def test_values_that_make_no_sense(figure, edit, says, command_refuses, tmp_path):
    values = yaml.safe_load((cli.ROOT / "configs" / f"{figure}.yaml").read_text())
    edit(values)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(values))
    command_refuses(f"reproduce.{figure}", ["--config", tmp_path / "my.yaml", *SMOKE], *says)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, says",
    [
        ([FIGURE, "--set", "steps=x"], "`steps` must be of type int"),
        ([FIGURE, "--config", "/dev/zero"], "longer than"),
        (["reproduce.data", "--data-dir", "/nowhere"], "does not exist"),
    ],
    ids=["value", "without end", "no data"],
)
def test_processes(arguments, says):
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cli.ROOT)
    line = done.stderr.strip().split("\n")[-1]
    assert done.returncode == 2 and line.startswith("error: ") and says in line
