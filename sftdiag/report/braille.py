"""A canvas of braille dots, two by four a character, for curves in the terminal.

Written here because importing a plotting library takes longer than analyzing a small log does.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

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

    def line(self, points: Iterable[tuple[float, float]]) -> None:
        """Draw straight lines of dots from point to point; of a single one its dot."""
        dots = [self._dot(x, y) for x, y in points]
        for (column, row), (end, end_row) in pairwise([*dots[:1], *dots]):
            across, down = end - column, end_row - row
            steps = max(abs(across), abs(down), 1)
            # Where it begins the one before it ended.
            for step in range(1, steps + 1):
                x, y = round(column + across * step / steps), round(row + down * step / steps)
                self._cells[y // 4][x // 2] |= _BITS[y % 4][x % 2]

    def mark(self, x: float, y: float, character: str) -> None:
        """Put a character over the dots."""
        column, row = self._dot(x, y)
        self._marks[row // 4, column // 2] = character

    def rows(self, *, ascii_only: bool = False) -> list[str]:
        """Return the canvas, top row first; in ASCII a character tells upper and lower half."""
        shown = _in_ascii if ascii_only else chr
        rows = [[shown(cell) if cell != _BLANK else " " for cell in row] for row in self._cells]
        for (row, column), character in self._marks.items():
            rows[row][column] = character
        return ["".join(row) for row in rows]

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        column = round(min(max(x, 0.0), 1.0) * (2 * self.width - 1))
        row = round((1.0 - min(max(y, 0.0), 1.0)) * (4 * self.height - 1))
        return column, row
