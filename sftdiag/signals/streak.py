"""Records in a row of one kind, counted in optimizer steps."""

from __future__ import annotations


class Streak:
    """How long something has been so, in records and in the steps that these stand for.

    A record stands for the steps since the one before it (logging_steps). Of a streak that begins
    with the log, the first record is taken to stand for as many as the others.
    """

    def __init__(self) -> None:
        self.records = 0
        self.onset = 0
        self._last = 0
        self._before: int | None = None

    def add(self, step: int, before: int | None) -> None:
        """Take in a record of the kind; ``before`` is the step of the train record before it."""
        if not self.records:
            self.onset, self._before = step, before
        self.records += 1
        self._last = step

    def take(self, other: Streak) -> None:
        """Be what another streak is now."""
        self.records, self.onset = other.records, other.onset
        self._last, self._before = other._last, other._before

    def end(self) -> None:
        """The kind is over."""
        self.records = 0

    @property
    def shown_steps(self) -> int:
        """Steps from the first of the records to the last."""
        return self._last - self.onset if self.records else 0

    @property
    def steps(self) -> int:
        """The optimizer steps that the records stand for."""
        if not self.records:
            return 0
        shown = self.shown_steps
        if self._before is not None:
            return shown + max(1, self.onset - self._before)
        each = shown // (self.records - 1) if self.records > 1 else 1
        return shown + max(1, min(each, self.onset))
