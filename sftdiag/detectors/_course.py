"""The learning rate's course from step 0, and whether later rows repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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
        self._points: list[Rate] = []

    def add(self, row: Rate) -> None:
        """Take the next row in."""
        points = self._points
        points.append(row)
        if len(points) == ROWS:
            del points[ROWS // 2 + 1 :: 2]

    def extend(self, rows: Sequence[Rate]) -> None:
        """Take rows in, as one by one."""
        place = 0
        while place < len(rows):
            room = ROWS - len(self._points)
            self._points += rows[place : place + room]
            place += room
            if len(self._points) == ROWS:
                del self._points[ROWS // 2 + 1 :: 2]

    @property
    def is_known(self) -> bool:
        """Whether the log shows the run from its first records on."""
        first = self._points[:3]
        return len(first) == 3 and first[0].step <= first[2].step - first[1].step

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
        points = self._points
        first = points[0]
        if step < first.step:
            slope = _slope(first, points[1])
            if slope <= 0.0:
                # A warm-up shorter than the first record, or none.
                return first.rate, first.rate
            origin = first.rate - slope * first.step
            return max(0.0, origin + slope * step), abs(origin)
        for index, (left, right) in enumerate(pairwise(points)):
            if step == left.step:
                return left.rate, 0.0
            if step < right.step:
                around = points[max(0, index - 1) : index + 3]
                slopes = [_slope(a, b) for a, b in pairwise(around)]
                bend = (max(slopes) - min(slopes)) * (right.step - left.step) / 4
                return left.rate + _slope(left, right) * (step - left.step), bend
        return (points[-1].rate, 0.0) if step == points[-1].step else None


def _slope(left: Rate, right: Rate) -> float:
    return (right.rate - left.rate) / max(1, right.step - left.step)


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
