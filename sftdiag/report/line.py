"""Lines of text for a person, and how they reach a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from sftdiag.hints import Any
from sftdiag.values import Value

JOINERS = "\u200c\u200d"
"""Format characters that words and emoji are written with; the others turn or hide text."""


def visible(text: str) -> str:
    r"""Return text of the user's with line breaks and control characters as marks.

    Otherwise a row could move the cursor, change colours or turn the direction of what follows.

    Examples:
        >>> visible("one\n\x1b[31mred\u202e")
        'one⏎\\x1b[31mred\\u202e'
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\t":
        return "⏎" if character == "\n" else "⇥"
    import unicodedata  # a library of its own, for characters that few reports have

    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    if hidden and character not in JOINERS:
        return character.encode("unicode_escape").decode("ascii")
    return character


class Line(Value):
    """A line: its indent in columns and its (text, rich style) parts."""

    indent: int
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> str:
        """The line without styles."""
        return (" " * self.indent + "".join(text for text, _ in self.parts)).rstrip()


def write_lines(console: Any, shown: Iterable[Line]) -> None:
    """Write lines to a rich Console."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for line in shown:
        if line.parts and line.parts[0][0].startswith("- "):
            (first, style), *rest = line.parts
            grid = Table.grid()
            grid.add_row("- ", Text.assemble((first[2:], style), *rest))
            console.print(Padding(grid, (0, 0, 0, line.indent)))
        else:
            console.print(Padding(Text.assemble(*line.parts), (0, 0, 0, line.indent)))
