"""A configuration with one key of every type, and how a refusal of one should read."""

import dataclasses

from reproduce.harness import config


@dataclasses.dataclass(frozen=True)
class Section:
    rates: list[float]
    names: list[str]
    width: int = 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """One key of every type that a configuration can have."""

    steps: int
    rate: float
    name: str
    verbose: bool
    limit: float | None
    sections: list[Section]
    inner: Section | None = None

    def __post_init__(self):
        config.check_positive(self, ("steps",))


def check_message(message, start):
    """One line, not too long to be read, that begins as it should."""
    assert message.startswith(start), message
    assert message.isprintable() and len(message) < 500, repr(message[:1000])
