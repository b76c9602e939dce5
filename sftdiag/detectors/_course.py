"""The learning rate's course from step 0, and whether later rows repeat it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import acos, pi

ROWS = 64
"""Rows of the course kept: the first half as they were, of later ones every second when full."""

EXACT = 1e-3
"""Share of the peak by which a repeated rate may differ: logs round to three digits and more, and
the second run through a schedule is the first to the last bit."""

STRAIGHT = 0.01
"""Share of the peak by which a line between two points may miss the course; at the end of a warm-up
it misses by more, and any rate there would do."""

STARTS = 64
"""Steps tried between two records at which the schedule may have begun anew."""

NEAR_END = 0.02
"""Share of the planned steps by which a line through two logged rates may miss the planned end:
warm-up, rounding and one step's lag are less than a hundredth."""


class Rate:
    """A logged learning rate. One is made of every row, so it is no Value: half of the time."""

    __slots__ = ("rate", "step")

    def __init__(self, step: int, rate: float) -> None:
        self.step = step
        self.rate = rate


class Course:
    """What was logged of the schedule since step 0, as points with lines between them."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._rates: list[float] = []

    def add(self, row: Rate) -> None:
        """Take the next row in."""
        self._steps.append(row.step)
        self._rates.append(row.rate)
        if len(self._steps) == ROWS:
            self._thin_out()

    def extend(self, steps: Sequence[int], rates: Sequence[float]) -> None:
        """Take rows in, as one by one: their steps and rates."""
        place = 0
        while place < len(steps):
            room = ROWS - len(self._steps)
            self._steps += steps[place : place + room]
            self._rates += rates[place : place + room]
            place += room
            if len(self._steps) == ROWS:
                self._thin_out()

    def _thin_out(self) -> None:
        """Let every second of the later points go."""
        del self._steps[ROWS // 2 + 1 :: 2], self._rates[ROWS // 2 + 1 :: 2]

    @property
    def is_known(self) -> bool:
        """Whether the log shows the run from its first records on."""
        first = self._steps[:3]
        return len(first) == 3 and first[0] <= first[2] - first[1]

    def repeated_from(self, before: int, rows: Sequence[Rate], peak: float) -> int | None:
        """Return the step from which on these rows repeat the course, or None.

        Args:
            before: the step is this one or a later one, before the first row.
            rows: the rows, in order.
            peak: the run's highest rate, the unit of what may differ.
        """
        gap = rows[0].step - before
        tried = range(before, rows[0].step, max(1, gap // STARTS))
        return next((start for start in tried if self.repeats(start, rows, peak)), None)

    def repeats(self, start: int, rows: Sequence[Rate], peak: float) -> bool:
        """Return whether these rows repeat the course from this step on."""
        for row in rows:
            at = self._at(row.step - start)
            if at is None or abs(row.rate - at[0]) > EXACT * peak + at[1]:
                return False
        return True

    def sure_of(self, start: int, rows: Sequence[Rate], peak: float) -> list[tuple[Rate, float]]:
        """Return those of the rows that are not near a bend, with what each may differ by."""
        places = [(row, self._at(row.step - start)) for row in rows]
        return [
            (row, EXACT * peak + at[1])
            for row, at in places
            if at is not None and at[1] <= STRAIGHT * peak
        ]

    def _at(self, step: int) -> tuple[float, float] | None:
        """Return the rate at a step and by how much a line may miss it; None beyond the course."""
        steps, rates = self._steps, self._rates
        if step < steps[0]:
            slope = self._slope(0)
            if slope <= 0.0:
                # A warm-up shorter than the first record, or none.
                return rates[0], rates[0]
            origin = rates[0] - slope * steps[0]
            return max(0.0, origin + slope * step), abs(origin)
        if step > steps[-1]:
            return None
        place = bisect_left(steps, step)
        if steps[place] == step:
            return rates[place], 0.0
        left = place - 1
        slopes = [self._slope(at) for at in range(max(0, left - 1), min(left + 2, len(steps) - 1))]
        bend = (max(slopes) - min(slopes)) * (steps[place] - steps[left]) / 4
        return rates[left] + self._slope(left) * (step - steps[left]), bend

    def _slope(self, place: int) -> float:
        """Return the slope of the line from a point to the next."""
        steps, rates = self._steps, self._rates
        return (rates[place + 1] - rates[place]) / max(1, steps[place + 1] - steps[place])


def heads_for(end: int | None, before: Sequence[Rate], peak: float) -> bool:
    """Return whether rates were on the line, or the half cosine, that reaches 0 at this step."""
    if end is None or before[-1].step >= (1 - NEAR_END) * end:
        return False
    highest = max(range(len(before)), key=lambda index: before[index].rate)
    before = list(before)[highest:]
    return any(
        after < first and abs(reach - end) <= NEAR_END * end
        for first, after, reach in (
            _reach(before, [row.rate / peak for row in before]),
            _reach(before, [1 - acos(2 * min(1.0, row.rate / peak) - 1) / pi for row in before]),
        )
    )


def _reach(rows: Sequence[Rate], heights: Sequence[float]) -> tuple[float, float, float]:
    """Return the first and the last height, and the step at which a line through both is at 0."""
    first, last = heights[0], heights[-1]
    fall = first - last
    span = rows[-1].step - rows[0].step
    return first, last, rows[-1].step + last * span / fall if fall > 0.0 else 0.0
