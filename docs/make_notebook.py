"""Write docs/guide.ipynb from docs/guide.md: python docs/make_notebook.py"""

import json
import pathlib
import re

FOLDER = pathlib.Path(__file__).parent


def cells(text):
    """Markdown and code cells of a page, in its order."""
    for part in re.split(r"^(```python\n.*?^```\n)", text, flags=re.DOTALL | re.MULTILINE):
        code = part.startswith("```python")
        source = part.removeprefix("```python\n").removesuffix("```\n").strip("\n")
        if code:
            yield {"cell_type": "code", "execution_count": None, "outputs": [], "source": source}
        elif source:
            yield {"cell_type": "markdown", "source": source}


def main():
    """Write the notebook."""
    text = (FOLDER / "guide.md").read_text(encoding="utf-8")
    notebook = {
        "cells": [
            {**cell, "id": f"cell-{number}", "metadata": {}, "source": cell["source"]}
            for number, cell in enumerate(cells(text))
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    content = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "guide.ipynb").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
