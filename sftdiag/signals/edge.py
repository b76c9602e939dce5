"""The last jump of the train loss within one record, and signs of a resume in the log."""

from __future__ import annotations

from collections import deque
from math import isfinite

from sftdiag.signals.noise import cautious_noise, median
from sftdiag.signals.rows import Rows

CALM_ROWS = 8
"""Losses before a jump: their median is its level, six second differences their noise."""

RISE = 1.25
"""Times the highest of them that a jump rises to, at the least: SFT102's least rise of a level."""

NOISE_FACTOR = 6.0
"""Noise units above the level, of the one record: SFT102's for a window's mean."""

GAP = 3
"""Times the usual distance between two records from which rows are missing between them."""

TOKENS, MISSING_ROWS, WENT_BACK = "tokens", "missing_rows", "went_back"
"""Signs of a resume in the log: TRL's token count begins anew, rows are missing, steps go back."""


class Jump:
    """A jump: the steps before and after it, its level, noise and height, and what came since.

    One is made a jump, so it is no Value.
    """

    def __init__(
        self, before: int, step: int, level: float, noise: float, height: float, sign: str | None
    ) -> None:
        self.before = before
        self.step = step
        self.level = level
        self.noise = noise
        self.height = height
        self.highest = height
        self.sign = sign


class Edge:
    """Follows the finite train losses one by one.

    Attributes:
        jump: the last jump, or None.
    """

    def __init__(self) -> None:
        self.jump: Jump | None = None
        self._calm: deque[float] = deque(maxlen=CALM_ROWS)
        self._last = 0
        self._gap = 0
        self._tokens: float | None = None
        self._back = False

    def went_back(self) -> None:
        """The steps went back: what comes next was resumed."""
        self._back = True

    def add(self, step: int, loss: float, tokens: float | None) -> None:
        """Take the next finite loss in, and the row's count of tokens."""
        if tokens is not None and not isfinite(tokens):
            tokens = None
        gap, calm = step - self._last, self._calm
        if self.jump is not None:
            self.jump.highest = max(self.jump.highest, loss)
        # The last one alone says of most rows that they are no jump.
        few = len(calm) < CALM_ROWS or loss <= RISE * calm[-1]
        if not few and loss > RISE * max(calm) > 0.0:
            before = [*calm]
            level, noise = median(before), cautious_noise(before)
            if loss - level > NOISE_FACTOR * noise:
                sign = self._sign(gap, tokens)
                last = step - 1 if self._back else self._last
                self.jump = Jump(last, step, level, noise, loss, sign)
        calm.append(loss)
        self._last, self._gap, self._tokens, self._back = step, gap, tokens, False

    def passes(self, rows: Rows) -> bool:
        """Return whether none of these rows is a jump."""
        lowest = min(rows.low, min(self._calm, default=rows.low))
        if rows.high <= RISE * lowest:
            return True
        losses = [*self._calm, *rows.losses]
        # The last one alone says of most rows that they are no jump.
        return not any(
            losses[place] > RISE * losses[place - 1]
            and losses[place] > RISE * max(losses[place - CALM_ROWS : place])
            for place in range(max(CALM_ROWS, len(self._calm)), len(losses))
        )

    def take(self, rows: Rows) -> None:
        """Take in rows that passed."""
        if self.jump is not None:
            self.jump.highest = max(self.jump.highest, rows.high)
        self._calm.extend(rows.losses[-CALM_ROWS:])
        before, self._last = rows.steps[-2:]
        self._gap, self._tokens, self._back = self._last - before, rows.tokens, False

    def _sign(self, gap: int, tokens: float | None) -> str | None:
        if self._back:
            return WENT_BACK
        if tokens is not None and self._tokens is not None and tokens < self._tokens:
            return TOKENS
        return MISSING_ROWS if 0 < GAP * self._gap < gap else None
