"""Run the guide, and write it with its outputs as a notebook.

    python -m tools.site.guide            write docs/guide.ipynb

The site's guide (`tools.site.hooks`) is the same run, made when the site is built.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide.md"
NOTEBOOK = ROOT / "docs" / "guide.ipynb"


def cells(text):
    """Pairs `(is_code, source)` of a page in Markdown, in its order."""
    for part in re.split(r"^(```python\n.*?^```\n)", text, flags=re.DOTALL | re.MULTILINE):
        is_code = part.startswith("```python")
        source = part.removeprefix("```python\n").removesuffix("```\n").strip("\n")
        if source:
            yield is_code, source


def execute(text):
    """Run the Python blocks of a page in an empty folder, one after the other.

    Args:
        text: The page, in Markdown.

    Returns:
        A list of `(is_code, source, output, pictures)`, one per cell; `output` is the text that
        the block prints, `pictures` are the figures that it leaves open, as SVG.
    """
    import matplotlib

    matplotlib.use("Agg")
    names, result = {"__name__": "__main__"}, []
    with tempfile.TemporaryDirectory() as folder, _within(folder):
        for is_code, source in cells(text):
            printed = io.StringIO()
            if is_code:
                with contextlib.redirect_stdout(printed):
                    exec(compile(source, "guide.md", "exec"), names)
            result.append((is_code, source, printed.getvalue(), _pictures() if is_code else []))
    return result


@contextlib.contextmanager
def _within(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _pictures():
    from matplotlib import pyplot

    found = []
    for number in pyplot.get_fignums():
        file = io.StringIO()
        # Without a date: the same run gives the same file.
        pyplot.figure(number).savefig(file, format="svg", metadata={"Date": None})
        found.append(file.getvalue()[file.getvalue().index("<svg") :])
    pyplot.close("all")
    return found


def notebook(executed):
    """The notebook of `execute`'s result, a dict."""
    made, count = [], 0
    for number, (is_code, source, output, pictures) in enumerate(executed):
        cell = {"id": f"cell-{number}", "metadata": {}, "source": source}
        if is_code:
            count += 1
            printed = {"output_type": "stream", "name": "stdout", "text": output}
            drawn = [
                {"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": picture}}
                for picture in pictures
            ]
            outputs = [*([printed] if output else []), *drawn]
            cell |= {"cell_type": "code", "execution_count": count, "outputs": outputs}
        else:
            cell |= {"cell_type": "markdown"}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def main():
    """Write the notebook."""
    executed = execute(GUIDE.read_text(encoding="utf-8"))
    content = json.dumps(notebook(executed), indent=1, ensure_ascii=False) + "\n"
    NOTEBOOK.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
