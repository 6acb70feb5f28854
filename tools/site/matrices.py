"""Write the tables of docs/matrices.md: python -m tools.site.matrices"""

import pathlib
import re

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PRECISIONS = ("float64", "float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
ROW = re.compile(r"^\| (\w+), (\w+): ([\w ]+) \| (\d+) \| (\d+) \| (\S+) \|", re.MULTILINE)
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def deviations(text):
    """From (backend, precision, quantity) to the deviation; raises where something did not hold."""
    found = {}
    for backend, precision, quantity, tried, held, deviation in ROW.findall(text):
        if tried != held:
            raise ValueError(f"{backend}, {precision}, {quantity}: {held} of {tried} held")
        found[backend, precision, quantity] = deviation
    return found


def tables(found, kinds):
    """From the name of a table to its rows, lists of cells."""

    def largest(row, column, index):
        cells = [d for key, d in found.items() if key[index] == row and key[1] == column]
        return max(cells, key=float)

    quantities = list(dict.fromkeys(quantity for *_, quantity in found))
    return {
        "backends": [
            ["", *PRECISIONS],
            *([name, *(largest(key, p, 0) for p in PRECISIONS)] for key, name in BACKENDS.items()),
        ],
        "quantities": [
            ["", *PRECISIONS],
            *([each, *(largest(each, p, 2) for p in PRECISIONS)] for each in quantities),
        ],
        "layers": [
            ["layer", "kernel", "factorized"],
            *(
                [
                    f"`{cls.__name__}`",
                    f"`{kind.variable}`",
                    "by default" if kind.is_default else "with a `filter`",
                ]
                for cls, of_class in kinds.items()
                for kind in of_class
            ),
        ],
    }


def written(page, made):
    """The page with its tables."""
    for name, (head, *rows) in made.items():
        lines = [head, ["---"] * len(head), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, rf"\g<1>{table}\n\g<2>", page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"The page has {count} places for {name}")
    return page


def made():
    """The page as it should be."""
    from tfoverparam.kernel_kinds import KINDS

    found = deviations((DOCS / "reliability.md").read_text(encoding="utf-8"))
    # Not those that somebody has registered.
    kinds = {cls: of_class for cls, of_class in KINDS.items() if cls.__module__[:6] == "keras."}
    return written((DOCS / "matrices.md").read_text(encoding="utf-8"), tables(found, kinds))


if __name__ == "__main__":
    (DOCS / "matrices.md").write_text(made(), encoding="utf-8")
