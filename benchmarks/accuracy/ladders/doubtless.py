"""Faults that are beyond doubt: how many rows that show them may pass until they are named."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.accuracy.ladders.power import outcomes
from benchmarks.accuracy.ladders.rungs import EVERY, MIX, Cell

SHARE = 0.95
"""Share of the runs that must be named within the limit, on every logging_steps."""


class Limit(NamedTuple):
    """A fault of one size and the rows within which it must be named."""

    disease: str
    size: float
    within: int
    rows: tuple[int, ...] = (10, 50, 200)


LIMITS = (
    Limit("NaN after a jump", 30.0, 2),
    Limit("zero after a jump", 30.0, 2),
    Limit("rate zero", 1.0, 3),
    Limit("steps skipped", 1.0, 3),
    Limit("leap at row 2", 10.0, 3),
    Limit("leap at row 5", 3.0, 3),
    Limit("leap at row 50", 3.0, 3, (200,)),
    Limit("blind guess", 0.0, 5),
)
"""A row is a log row, so logging_steps steps. One row before a leap is one draw: three times it can
be a low first batch, ten times cannot."""

ENFORCED = True
"""Whether the quick version fails on them; else it only says which do not hold."""


class Held(NamedTuple):
    """A limit, and of how many runs how many were named within it."""

    limit: Limit
    every: int
    within: int
    runs: int

    @property
    def holds(self) -> bool:
        """Whether enough of them were."""
        return self.within >= SHARE * self.runs


def held(count: int = MIX) -> list[Held]:
    """Judge so many runs of every limit, row count and logging_steps."""
    wanted = {
        (limit, every): [
            Cell(limit.disease, limit.size, rows, every, number)
            for rows in limit.rows
            for number in range(count)
        ]
        for limit in LIMITS
        for every in EVERY
    }
    said = outcomes({cell: None for places in wanted.values() for cell in places})
    found = []
    for (limit, every), places in wanted.items():
        after = [said[cell].after for cell in places]
        hits = sum(rows is not None and rows <= limit.within for rows in after)
        found.append(Held(limit, every, hits, len(places)))
    return found
