"""What other libraries say, as a part of our own messages."""

LONGEST = 200  # characters of it: PyYAML's quote a whole text, TFDS's have many lines


def one_line(error):
    """The beginning of a message, or of an error's, as one line that can be printed.

    >>> one_line(OSError("no space\\n  left"))
    'no space left'
    """
    printable = "".join(each if each.isprintable() else " " for each in str(error))
    text = " ".join(printable.split()) or type(error).__name__
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
