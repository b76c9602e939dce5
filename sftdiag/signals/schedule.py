"""The learning rate's steps: does it stand still where it moved at every record; where it rises."""

from __future__ import annotations

from operator import ne

from sftdiag.signals.rows import Rows

MOVED = 4
"""Records in a row at which the rate moved before one that stands still is news: schedules that
hold a value for some records, and logs that round the rate, do not move at each of so many."""


class RateRise:
    """The learning rate rose with the newest train row: how it was before.

    One is made of every row of a warm-up, so it is no Value.

    Attributes:
        step: the last row before with a rate.
        rate: that row's.
        peak: the highest rate before.
        goes_on: it had risen with that row, too.
    """

    __slots__ = ("goes_on", "peak", "rate", "step")

    def __init__(self, step: int, rate: float, peak: float, *, goes_on: bool) -> None:
        self.step, self.rate, self.peak, self.goes_on = step, rate, peak, goes_on


class Schedule:
    """Follows the logged rate. A trainer holds the schedule where an optimizer step was skipped."""

    def __init__(self) -> None:
        self._step = 0
        self._rate: float | None = None
        self._moves = 0
        self._moved = False
        self._since: int | None = None

    def add(self, step: int, rate: float | None) -> None:
        """Take the next train record's rate in; None where it logs none."""
        if rate is None:
            return
        last, before = self._rate, self._step
        self._rate, self._step = rate, step
        self._moved = last is not None and rate != last
        if last is None:
            return
        if self._moved:
            self._moves = 1 if self._since is not None else self._moves + 1
            self._since = None
        elif self._since is None:
            self._since = before

    def take(self, rows: Rows) -> None:
        """Take in the rates of train rows that log one."""
        rates = rows.get("learning_rate")
        if rates is None:
            return
        if self._rate is not None and all(map(ne, rates, [self._rate, *rates])):
            self._moves = rows.count + (0 if self._since is not None else self._moves)
            self._rate, self._step = rates[-1], rows.steps[-1]
            self._moved, self._since = True, None
            return
        for step, rate in zip(rows.steps, rates, strict=True):
            self.add(step, rate)

    @property
    def moved(self) -> bool:
        """Whether the rate of the newest record is another than that of the record before."""
        return self._moved

    @property
    def still_steps(self) -> int:
        """Steps over which a rate that had moved at every record has stood still; 0 where not."""
        still = self._since is not None and self._moves >= MOVED and bool(self._rate)
        return self._step - self._since if still and self._since is not None else 0
