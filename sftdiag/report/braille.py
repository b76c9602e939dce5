"""A canvas of braille dots, two by four a character, for curves in the terminal.

Written here because importing a plotting library takes longer than analyzing a small log does.
"""

from __future__ import annotations

_BLANK = 0x2800
# Bits of Unicode's braille patterns, by row and column of the dot in its character.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_UPPER = 0x01 | 0x08 | 0x02 | 0x10


def _in_ascii(cell: int) -> str:
    dots = cell - _BLANK
    if not dots & ~_UPPER:
        return "'"
    return ":" if dots & _UPPER else "."


class Canvas:
    """A grid of ``width`` by ``height`` characters; x and y are given as shares from 0 to 1."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._cells = [[_BLANK] * width for _ in range(height)]
        self._marks: dict[tuple[int, int], str] = {}

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a straight line of dots."""
        column0, row0 = self._dot(x0, y0)
        column1, row1 = self._dot(x1, y1)
        steps = max(abs(column1 - column0), abs(row1 - row0), 1)
        for step in range(steps + 1):
            column = round(column0 + (column1 - column0) * step / steps)
            row = round(row0 + (row1 - row0) * step / steps)
            self._cells[row // 4][column // 2] |= _BITS[row % 4][column % 2]

    def mark(self, x: float, y: float, character: str) -> None:
        """Put a character over the dots."""
        column, row = self._dot(x, y)
        self._marks[row // 4, column // 2] = character

    def rows(self, *, ascii_only: bool = False) -> list[str]:
        """Return the canvas, top row first; in ASCII a character tells upper and lower half."""
        shown = _in_ascii if ascii_only else chr
        return [
            "".join(
                self._marks.get((y, x), shown(cell) if cell != _BLANK else " ")
                for x, cell in enumerate(row)
            )
            for y, row in enumerate(self._cells)
        ]

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        column = round(min(max(x, 0.0), 1.0) * (2 * self.width - 1))
        row = round((1.0 - min(max(y, 0.0), 1.0)) * (4 * self.height - 1))
        return column, row
