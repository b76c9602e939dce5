"""Progress: how far a search is, and how long it may still take."""

from __future__ import annotations

import time
from collections.abc import Callable

from sftdiag.values import Value


class Standing(Value):
    """How far a search is.

    Attributes:
        step: the step under way.
        done: trials that this call has run.
        left: trials that are still to come, by what the steps may ask for.
        share: of the trial under way.
        seconds_left: by the trials so far; None before the first ended.
    """

    step: str
    done: int
    left: int
    share: float
    seconds_left: float | None

    @property
    def of_all(self) -> float:
        """The share of the whole search that is done."""
        return (self.done + self.share) / max(1, self.done + self.left)


Tell = Callable[[Standing], None]


class Progress:
    """Counts trials and tells a callback."""

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._step = ""
        self._here = self._later = 0
        self._times: list[float] = []
        self._began = time.monotonic()

    def begin(self, step: str, here: int, later: int) -> None:
        """Take in that a step begins, for which so many trials are to come, and later so many."""
        self._step, self._here, self._later = step, here, later

    def count(self, wanted: int) -> None:
        """Take in how many trials a step asks for now; it may ask for more after these."""
        self._here = max(self._here, wanted)
        self._began = time.monotonic()
        self.moved(0.0)

    def ended(self, seconds: float) -> None:
        """Take in that a trial ended."""
        self._times.append(seconds)
        self._here = max(0, self._here - 1)
        self.moved(0.0)

    def moved(self, share: float) -> None:
        """Tell how far the trial under way is."""
        if self._tell is None:
            return
        left = self._here + self._later
        usual = sum(self._times) / len(self._times) if self._times else None
        if usual is None and share > 0:
            usual = (time.monotonic() - self._began) / share
        seconds = None if usual is None else max(0.0, usual * (left - share))
        self._tell(Standing(self._step, len(self._times), left, share, seconds))
