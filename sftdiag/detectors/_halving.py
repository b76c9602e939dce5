"""The train loss halves where an epoch begins and rests within: rows are known by heart."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

ROWS = 3
"""Train rows averaged on each side of an epoch's edge at most; an epoch may have fewer."""

HALF = 0.5
"""Drop at an edge, as a share of the loss before it: public runs that are fine have steps of up to
0.38, and what a row teaches about all others takes no edge."""

INSIDE = 2.0
"""Times the fall within the epoch before that the drop at its end must be: a steep descent halves
the loss everywhere."""


class Halvings:
    """Counts the epochs' edges at which the loss halved.

    Attributes:
        edges: how many did, in a row.
    """

    def __init__(self) -> None:
        self.edges = 0
        self._epoch: int | None = None
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=ROWS)
        self._before: tuple[float, float] | None = None

    def add(self, epoch: float, loss: float) -> None:
        """Take in a train row."""
        number = int(epoch)
        if number == self._epoch and len(self._first) == ROWS:
            self._last.append(loss)
            return
        if self._epoch is not None and number > self._epoch:
            self._measure()
            self._before = (_mean(self._first), _mean(self._last))
            self._first, self._last = [], deque(maxlen=ROWS)
        self._epoch = number
        if len(self._first) < ROWS:
            self._first.append(loss)
            if len(self._first) == ROWS:
                self._measure()
        self._last.append(loss)

    def passes(self, epochs: Sequence[float]) -> bool:
        """Return whether rows of these epochs go on in the epoch that is under way."""
        inside = self._epoch is not None and self._epoch <= min(epochs)
        begun = len(self._first) == ROWS or self._before is None
        return inside and int(max(epochs)) == self._epoch and begun

    def take(self, losses: Sequence[float]) -> None:
        """Take in rows that passed."""
        self._first += losses[: ROWS - len(self._first)]
        self._last.extend(losses[-ROWS:])

    def _measure(self) -> None:
        """Compare the epoch's first rows with the epoch before, once."""
        if self._before is None:
            return
        (start, end), self._before = self._before, None
        drop = end - _mean(self._first)
        halved = drop >= HALF * end > 0.0 and drop > INSIDE * (start - end)
        self.edges = self.edges + 1 if halved else 0


def _mean(rows: list[float] | deque[float]) -> float:
    return sum(rows) / len(rows)
