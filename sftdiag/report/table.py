"""Words in columns: Chinese characters take two columns of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width

GAP = "  "


def joined(words: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Return a row of a table, each word as wide as its column."""
    return GAP.join(padded(w, n, right=r) for w, n, r in zip(words, widths, right, strict=True))


def padded(word: str, width: int, *, right: bool = False) -> str:
    """Return the word with spaces after it, or before it."""
    space = " " * (width - columns(word))
    return space + word if right else word + space


def columns(text: str) -> int:
    """Return the columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
