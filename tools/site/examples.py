"""Docstrings for mkdocstrings: Keras writes `Example:`, of which Griffe reads the plural only."""

import re

import griffe


class Examples(griffe.Extension):
    """Makes `Example:` a section of its own, so that its lines are code, with outputs."""

    def on_instance(self, *, obj, **_):
        """Called for each object that has been collected."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.M
            )
            obj.docstring.value = _indented(obj.docstring.value)


def _indented(text):
    """Keras's sections have unindented doctests, which Griffe takes for the end of a section."""
    before, mark, rest = text.partition("Examples:\n")
    if not mark or not re.match(r"\n*>>> ", rest):
        return text
    lines, body = rest.lstrip("\n").splitlines(), []
    while lines and not re.match(r"\w[\w ]*:$", lines[0]):
        body.append(lines.pop(0))
    indented = "\n".join(f"    {line}".rstrip() for line in body)
    return f"{before}{mark}{indented}\n\n" + "\n".join(lines)
