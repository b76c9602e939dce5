"""Later: log rows of a fast run wait a moment, and are judged many at once.

Each row judged costs a visit to every detector, whose code a step of training has long driven out
of the caches. Where nothing acts on what is found, rows may wait for seconds before somebody is
told of it; those in which anything sudden may stand never wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from sftdiag.live.made_step import Taken
from sftdiag.sources.every_step import beside

LONGEST = 5.0
"""Seconds that a row waits at most: nobody acts on a warning sooner, and detectors that are visited
as seldom cost a run less than a thousandth of its time."""

HIGHS = 16
"""Log rows whose highest losses bound what is usual: one may be a spike that lies above all of them
by more than their lowest lies below their middle, which no spike among them widens. Of rows that
say nothing new one in seventeen is the highest and one in a hundred so far above, some four
deviations above the level; a spike is one from ten on (SFT105)."""

KEPT = 2.5
"""Seconds after which steps that wait are in their file all the same: those that a run loses which
is killed in between are ordinary ones, and a file written as seldom costs next to nothing."""

Waiting = tuple[bytes, Mapping[str, Any]]
"""Steps, as rows of :mod:`sftdiag.sources.every_step`, and the log row that is their mean."""


class Aside:
    """What is done while the device computes, where it does so by itself.

    Behind a log row the device waits for the host, and each microsecond there is one of the run's;
    once the next step's passes are launched the host waits for the device, and has the time.

    Args:
        run: runs an action, whatever becomes of it.

    Attributes:
        actions: what is to be done, the oldest first.
    """

    def __init__(self, run: Callable[[Callable[[], None]], None]) -> None:
        self.actions: list[Callable[[], None]] = []
        self._run = run

    def do(self) -> None:
        """Do all that is to be done."""
        while self.actions:
            self._run(self.actions.pop(0))


class Later:
    """Keeps what waits, in one process.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._judged = self._kept = clock() - LONGEST
        self._highs: deque[float] = deque(maxlen=HIGHS)
        self._peak = 0.0
        self._waiting: list[tuple[Taken, Mapping[str, Any]]] = []

    def takes(self, steps: Taken, row: Mapping[str, Any]) -> bool:
        """Take in a usual log row and its steps, or say that those that wait have done so enough.

        Then, and of a row that is not usual, the caller judges them, and this one after them.
        """
        now = self._clock()
        if now - self._judged >= LONGEST:
            self._judged = now
            return False
        self._waiting.append((steps, row))
        return True

    def judged(self) -> None:
        """Note that what waits is judged now."""
        self._judged = self._clock()

    def keeps(self) -> bool:
        """Return whether it is time to write down what waits; it is then taken as written."""
        now = self._clock()
        if now - self._kept < KEPT:
            return False
        self._kept = now
        return True

    def rest(self) -> list[Waiting]:
        """Return what waits, oldest first, and keep it no longer."""
        waiting, self._waiting = self._waiting, []
        together: list[tuple[list[bytes], Mapping[str, Any]]] = []
        said: Mapping[str, Any] | None = None
        for steps, row in waiting:
            besides = beside(row)
            if together and besides == said:
                # Rows that say the same besides are one to whoever judges them.
                together[-1] = [*together[-1][0], steps.rows], row
            else:
                together.append(([steps.rows], row))
            said = besides
        return [(b"".join(rows), row) for rows, row in together]

    def is_usual(self, steps: Taken, row: Mapping[str, Any]) -> bool:
        """Return whether nothing sudden can stand in these steps, and the row is their mean.

        Such rows may wait; each row is asked about once.
        """
        if not steps or "loss" not in row or steps.last != row.get("step"):
            return False
        losses, norms, rates, skipped = steps.looked_at()
        high = max(losses)
        bound = self._bound(high)
        self._highs.append(high)
        # A warm-up is not waited for either.
        if not rates or None in rates:
            return False
        peak, self._peak = self._peak, max(self._peak, *rates)
        if self._peak > peak or skipped.count(None) < len(skipped):
            return False
        known = norms if norms.count(None) < len(norms) else ()
        if None in known:
            return False
        # A sum is finite where each of them is.
        if high > bound or not isfinite(sum(losses) + sum(known)):
            return False
        return min(losses) > 0.0 and min(known, default=1.0) > 0.0

    def _bound(self, high: float) -> float:
        """Return up to where the highest loss of a row is usual."""
        highs = self._highs
        highest = max(highs, default=0.0)
        if high <= highest or len(highs) < HIGHS:
            return highest
        lowest, *_, middle = sorted(highs)[: HIGHS // 2]
        return highest + middle - lowest
