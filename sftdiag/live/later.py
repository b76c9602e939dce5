"""Later: log rows of a fast run wait a moment, and are judged many at once.

Each row judged costs a visit to every detector, whose code a step of training has long driven out
of the caches. Where nothing acts on what is found, rows may wait for seconds before somebody is
told of it; those in which anything sudden may stand never wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from math import isfinite
from typing import Any

from sftdiag.sources.every_step import PLACES, UNKNOWN, WIDTH, beside, numbers_of

LONGEST = 5.0
"""Seconds that a row waits at most: nobody acts on a warning sooner, and detectors that are visited
as seldom cost a run less than a thousandth of its time."""

HIGHS = 16
"""Log rows whose highest loss bounds what is usual: one as high may be a spike. Of rows that say
nothing new one in seventeen is the highest."""

Waiting = tuple[bytes, Mapping[str, Any]]
"""Steps, as rows of :mod:`sftdiag.sources.every_step`, and the log row that is their mean."""


class Later:
    """Keeps what waits, in one process.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._judged = clock() - LONGEST
        self._highs: deque[float] = deque(maxlen=HIGHS)
        self._peak = 0.0
        self._waiting: list[Waiting] = []

    def takes(self, steps: bytes, row: Mapping[str, Any]) -> bool:
        """Take in a log row and its steps, if they may wait; else they are judged by the caller."""
        now = self._clock()
        usual = self._usual(steps, row)
        if not usual or now - self._judged >= LONGEST:
            self._judged = now
            return False
        last = self._waiting[-1] if self._waiting else None
        if last is not None and beside(last[1]) == beside(row):
            # Rows that say the same besides are one to whoever judges them.
            self._waiting[-1] = last[0] + steps, row
        else:
            self._waiting.append((steps, row))
        return True

    def rest(self) -> list[Waiting]:
        """Return what waits, oldest first, and keep it no longer."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _usual(self, steps: bytes, row: Mapping[str, Any]) -> bool:
        """Return whether nothing sudden can stand in these steps, and the row is their mean."""
        numbers = numbers_of(steps)
        losses, norms, rates, skipped = (numbers[PLACES[name] :: WIDTH] for name in _LOOKED_AT)
        if not losses or "loss" not in row or numbers[-WIDTH] != row.get("step"):
            return False
        high, before = max(losses), max(self._highs, default=0.0)
        self._highs.append(high)
        # A warm-up is not waited for either.
        peak, self._peak = self._peak, max(self._peak, *rates)
        if self._peak > peak or UNKNOWN in rates:
            return False
        # A sum is finite where each of them is.
        if high > before or not isfinite(sum(chain(losses, norms))):
            return False
        known = min(norms) > 0.0 or norms.count(UNKNOWN) == len(norms)
        return min(losses) > 0.0 and known and skipped.count(UNKNOWN) == len(skipped)


_LOOKED_AT = ("loss", "grad_norm", "learning_rate", "skipped")
"""What tells a NaN, a zero, a spike, a blow-up, a rate that jumps or only the log row knows, a step
that a guard skipped."""
