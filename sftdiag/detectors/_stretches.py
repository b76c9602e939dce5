"""Stretches: the rows of a log, of which those that change nothing are taken in many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sftdiag.detectors.base import Detector
from sftdiag.signals.rows import LONGEST, SHORTEST, Entry, Lines, Rows, rows_of
from sftdiag.signals.stream import Signals


class Stretches:
    """Goes through a log's rows; rows that were taken in at once are passed over.

    Args:
        entries: the rows as written, or known by their columns; only of a list or of these can
            many be looked at.
    """

    def __init__(self, entries: Iterable[Entry] | Lines) -> None:
        self._entries = entries
        self._place = 0
        self._looked_until = 0
        self._most = LONGEST

    def __iter__(self) -> Iterator[Entry]:
        if not isinstance(self._entries, (list, Lines)):
            yield from self._entries
            return
        while self._place < len(self._entries):
            self._place += 1
            yield self._entries[self._place - 1]

    def taken(self, signals: Signals, detectors: Sequence[Detector]) -> bool:
        """Return whether the row just given, and all that it is like, were taken in at once.

        Where rows could not be, half as many are looked at next; the fewest come one by one.
        """
        start = self._place - 1
        if start < self._looked_until or not isinstance(self._entries, (list, Lines)):
            return False
        room = min(signals.room, self._most)
        if room < SHORTEST:
            return False
        rows, self._looked_until = rows_of(self._entries, start, room)
        if rows is None:
            return False
        while not _pass(signals, detectors, rows):
            # What changes something may come late in them.
            self._most = max(2 * SHORTEST, rows.count // 2)
            if rows.count < 2 * SHORTEST:
                self._looked_until = start + rows.count
                return False
            rows = rows.head()
        self._looked_until = start + rows.count
        self._most = min(LONGEST, 2 * self._most)
        for detector in detectors:
            detector.take(signals, rows)
        signals.take(rows)
        self._place = start + rows.count
        return True


def _pass(signals: Signals, detectors: Sequence[Detector], rows: Rows) -> bool:
    try:
        return signals.passes(rows) and all(d.passes(signals, rows) for d in detectors)
    except Exception:
        # One by one they show which detector fails, and the others go on.
        return False
