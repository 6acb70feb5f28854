"""Bad inputs over all that takes any: each must be refused, in words, in time, and run no code.

    python -m tools.reliability.bad_inputs --write
    python -m tools.reliability.bad_inputs --verbose     prints each input, and what it was told

The inputs are in `inputs/`, a list for each part of the program.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tools.reliability import table  # noqa: E402
from tools.reliability.inputs import commands, data_files, library, model_files  # noqa: E402
from tools.reliability.inputs.bad_input import refusal  # noqa: E402

NAME = "bad_inputs"
INPUTS = [*commands.CASES, *data_files.CASES, *library.CASES, *model_files.CASES]


def main(arguments=None):
    """The command."""
    parser = table.parser(NAME, __doc__)
    parser.add_argument("--verbose", action="store_true", help="print every input and its message")
    options = parser.parse_args(arguments)
    outcomes = {}
    for bad in INPUTS:
        held, message = refusal(bad)
        outcomes.setdefault(bad.kind, []).append(held)
        if options.verbose or not held:
            mark = "" if held else "NOT HELD: "
            message = " ".join(message.split())
            if len(message) > 400:  # Keras shows the whole of a model's description.
                message = f"{message[:150]} … {message[-250:]}"
            print(f"{mark}{bad.kind}; {bad.what[:90]}\n    {message}", flush=True)
    table.report(NAME, rows(outcomes), options.write)


def rows(outcomes):
    """A `table.Row` for each kind of input, and their sum.

    Args:
        outcomes: From a kind to a list of truth values: which of its inputs were refused.
    """
    found = [table.Row(kind, len(held), sum(held)) for kind, held in outcomes.items()]
    total = table.Row(
        "all bad inputs", sum(row.tried for row in found), sum(row.held for row in found)
    )
    return [*found, total]


if __name__ == "__main__":
    main()
