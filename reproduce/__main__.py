"""`python -m reproduce` lists what can be run."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
# Minutes that the plain command takes, roughly, on two CPU cores at 2.5 GHz.
COMMANDS = {
    "reproduce.theory": "2",
    "reproduce.figure1": "below 1",
    "reproduce.figure2": "5",
    "reproduce.figure3": "20",
    "reproduce.figure4_left": "10",
    "reproduce.figure4_right": "2",
    "reproduce.figure5_left": "2",
    "reproduce.figure5_right": "20",
    "reproduce.horizon": "50",
    "reproduce.robustness": "60",
    "reproduce.networks": "900",
    "reproduce.data": "1",
    "reproduce.verify": "10",
    "reproduce.report": "below 1",
}


def first_line(module):
    """The first line of a module's docstring, read without importing what it needs."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return str(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))).splitlines()[0]


def main():
    """Print every command, its expected minutes and what it does."""
    print("Run from a checkout; every command has --help.\n")
    print(f"{'command':<36}{'minutes':<9}what it does")
    for module, minutes in COMMANDS.items():
        print(f"{'python -m ' + module:<36}{minutes:<9}{first_line(module)}")


if __name__ == "__main__":
    main()
