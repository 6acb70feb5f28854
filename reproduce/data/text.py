"""Tiny Shakespeare, as one text."""

import dataclasses
from pathlib import Path

from reproduce.data.store import read_original

_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclasses.dataclass(frozen=True, eq=False)
class TextData:
    """A text.

    Attributes:
        text: The characters.
        description: One line for the console and a figure's title.
        fingerprint: SHA-256, in hexadecimal, of the text in UTF-8.
        location: The file that it was read from.
    """

    text: str
    description: str
    fingerprint: str
    location: str


def load_tiny_shakespeare(data_dir: str | Path | None = None) -> TextData:
    """Loads the text of TFDS's `tiny_shakespeare`, whole; TFDS cuts it into 90, 5 and 5 %.

    Args:
        data_dir: An existing folder that may have, or have in `tiny_shakespeare`, `input.txt.gz` or
            `input.txt`, which are then read in place of the repository's. `None` means TFDS's own.

    Raises:
        DataError: If `data_dir` is not a folder, or the file is damaged.

    Example:

    >>> load_tiny_shakespeare().text[:14]
    'First Citizen:'
    """
    content, path = read_original(data_dir, "tiny_shakespeare", "input.txt", _SHA256)
    text = content.decode()
    description = f"Tiny Shakespeare ({len(text)} characters)"
    return TextData(text, description, fingerprint=_SHA256, location=str(path))
