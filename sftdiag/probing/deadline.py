"""Time of the probes: what is left of it, what the next piece of work may take, where it ends.

The time of a probe begins where the model is taken, or where the probe before it ended, and what
comes behind its last question is kept free. Nothing is begun that, by what was measured before, may
take longer than what is left. One call of the model, on the shortest prompt or text, is made in any
case: nothing is known before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import StoppingCriteria

RECENT_STEPS = 8
"""Token steps of which the longest is what the next may take. Beside six busy processes on two
cores a step in five of a small model took three times the one before it: with the last step alone
one generation in twenty ended 10 ms late, with the longest of 8 it ended in time. All of them are
too many: a single hiccup would be kept free again and again."""

TRIAL = 0.2
"""Share of the time left that a trial call may take: what the budget may be missed by."""

GROWTH = 2
"""Times what was measured from which a larger call tells more about the whole one."""


class OutOfTimeError(Exception):
    """The time budget is over."""


class Deadline:
    """When a probe must be over.

    Args:
        seconds: from its beginning.
        since: its beginning, on the clock of :func:`now`; now if None.
    """

    def __init__(self, seconds: float, since: float | None = None) -> None:
        self._end = (now() if since is None else since) + seconds

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._end - now()


class Budget:
    """The time of each probe of one callback, all evaluations long.

    Args:
        seconds: for each probe, at each evaluation.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since = now()
        self._taking, self._returning = 0.0, 0.0
        self._ends: dict[str, float] = {}

    @contextmanager
    def covering(self, taking: Any) -> Iterator[None]:
        """Take the model by entering a context and give it back by leaving it, on the clock."""
        self._since = now()
        with taking:
            self._taking = now() - self._since
            yield
            over = now()
        self._returning = now() - over

    def deadline(self, name: str) -> Deadline:
        """Return when a probe must have asked its last question.

        The rest is for what comes behind it: its own end, as long as that took last time, and
        giving the model back, which undoes what taking it did, and took about as long last time.
        """
        reserve = self._ends.get(name, 0.0) + max(self._taking, self._returning)
        return Deadline(self.seconds - reserve, self._since)

    @contextmanager
    def ending(self, name: str) -> Iterator[None]:
        """Measure how long the end of a probe takes, behind its last question."""
        began = now()
        yield
        self._ends[name] = now() - began

    def next(self) -> None:
        """End a probe: the time of the next one begins."""
        self._since = now()


class Pace:
    """How long calls of the model take at most, from those that were measured.

    A call takes a fixed time and one that grows with its tokens: one on fewer tokens takes no
    longer, and one on k times as many no more than k times as long.
    """

    def __init__(self) -> None:
        self._largest = 0
        self._calls: list[tuple[int, float]] = []

    @contextmanager
    def call(self, tokens: int) -> Iterator[None]:
        """Measure a call; it must have waited for the device when this ends."""
        began = now()
        yield
        took = now() - began
        self._largest = max(self._largest, tokens)
        if not any(t <= took and t * tokens <= took * n for n, t in self._calls):
            self._calls.append((tokens, took))

    def of(self, tokens: int) -> float:
        """Return the seconds that a call takes at most; 0 where none was measured."""
        return min((t * max(1.0, tokens / n) for n, t in self._calls), default=0.0)

    def trial(self, left: float) -> int:
        """Return the tokens of a call that fits and tells more of larger ones; 0 where none does.

        Args:
            left: seconds that are left.
        """
        seconds = TRIAL * left
        most = max((int(n * seconds / t) for n, t in self._calls if 0 < t <= seconds), default=0)
        return most if most >= GROWTH * self._largest else 0


class LastStep(StoppingCriteria):
    """Ends generation where one more token may not fit into the time.

    Args:
        deadline: when it must be over.
        first: what the first step behind the prompt takes, until steps are known.

    Attributes:
        cut: whether it ended the generation.
    """

    def __init__(self, deadline: Deadline, first: float) -> None:
        self.cut = False
        self._deadline, self._first = deadline, first
        self._last: float | None = None
        self._steps: deque[float] = deque(maxlen=RECENT_STEPS)

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """See StoppingCriteria."""
        input_ids[0, -1].item()  # waits for the device: until then the step is only queued
        at = now()
        if self._last is not None:
            self._steps.append(at - self._last)
        self._last = at
        self.cut = self._deadline.left < max(self._steps, default=self._first)
        return torch.full((input_ids.shape[0],), self.cut, device=input_ids.device)


def now() -> float:
    """Return the time on the clock of the budget, in seconds."""
    return time.monotonic()
