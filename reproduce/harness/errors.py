"""The errors that end a command with one line and status 2, for which no program is at fault."""


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
