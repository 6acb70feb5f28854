"""The errors that end a command with one line and status 2, for which no program is at fault."""

LONGEST = 200  # characters of another library's message: PyYAML's quote a whole text


class CommandError(Exception):
    """What ends a command; the message is for the person who gave it, and names the remedy."""


class UsageError(CommandError):
    """A request that cannot be met; the message says why and what can be asked for."""


class ConfigError(CommandError):
    """A configuration that cannot be used; the message names the key and the remedy."""


class DataError(CommandError):
    """The data cannot be had as asked; the message names the file or folder and the remedy."""


class RecordsError(CommandError):
    """A results folder that cannot be used; the message names it and the remedy."""


def one_line(error):
    """The beginning of a message, or of an error's, as one line that can be printed.

    >>> one_line(OSError("no space\\n  left"))
    'no space left'
    """
    printable = "".join(each if each.isprintable() else " " for each in str(error))
    text = " ".join(printable.split()) or type(error).__name__
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
