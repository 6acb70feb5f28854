"""Write docs/supported.md: python -m tests.tfoverparam.zoo.table"""

import collections
import importlib.util
import pathlib

from tfoverparam import linear_maps

from tests.tfoverparam.zoo import registry

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "supported.md"
HEAD = """# What `overparameterize` takes in

For models of every kind, how much of the parameters of their kernels becomes products of factors.
A kernel is here any weight that is more than a vector, embeddings and biases apart: what a layer
multiplies by in a way of its own counts too. What is left is named. For each model a test converts
it, trains it for a step and collapses it, and compares outputs, classes and methods
(`tests/tfoverparam/test_zoo.py`); of NASNetLarge, which is large, only the kernels are counted. The
models are small, without pretrained weights.

Depthwise kernels are left by default: the matrices that they are have one column each, one for a
channel. So there are two shares: of all kernels, and of those that are not depthwise.
`filter=lambda each: True` takes them in too, and embeddings; what is left then is in the last
column in bold.

This table is written by `python -m tests.tfoverparam.zoo.table`.

| Model | Kind | Parameters of kernels | Factorized | Of those not depthwise | Left as they are |
|---|---|---:|---:|---:|---|
"""
NEXT = "## What converting takes"


def row(name, entry, model):
    """The line of a model."""
    count = registry.count(model)
    cells = (
        name,
        entry.kind,
        f"{count.kernels:,}",
        f"{100 * count.share:.1f} %",
        f"{100 * count.share_but_depthwise:.1f} %",
        left(model),
    )
    return f"| {' | '.join(cells)} |"


def left(model):
    """What is not factorized: classes of layers, and how many kernels of each."""
    maps = {each.path: each for each in linear_maps(model)}
    names = collections.Counter()
    for kernel in registry.kernels(model):
        found = maps.get(kernel.path)
        if found is None:
            names[f"**`{kernel.name}`**, which a layer of its own multiplies by"] += 1
        elif found.reason is not None:
            names[f"**{type(found.layer).__name__}**: {found.reason}"] += 1
        elif not found.is_default:
            of = "" if found.variable == "kernel" else f"`{found.variable}` of "
            names[of + type(found.layer).__name__] += 1
    return ", ".join(f"{count} {name}" for name, count in names.items())


def main():
    """Write the page."""
    rows = []
    for name, entry in registry.the_zoo().items():
        if entry.needs is not None and importlib.util.find_spec(entry.needs) is None:
            raise SystemExit(f"The table needs {entry.needs}: pip install -e '.[hub]'")
        rows.append(row(name, entry, entry.make()[0]))
    # What else is on the page is written by another script.
    _, mark, rest = PAGE.read_text(encoding="utf-8").partition(NEXT)
    PAGE.write_text(HEAD + "\n".join(rows) + "\n\n" + mark + rest, encoding="utf-8")


if __name__ == "__main__":
    main()
