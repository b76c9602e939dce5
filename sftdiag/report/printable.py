"""What a document can hold: control characters and halves of characters are no text."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]"
)
"""All but what XML and HTML allow."""


def printable(text: str) -> str:
    """Return text in which a replacement character stands for each that a document cannot hold.

    Examples:
        >>> printable("a" + chr(0) + "b")
        'a�b'
    """
    return _UNPRINTABLE.sub("�", text)
