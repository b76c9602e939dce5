"""A loss that is NaN on one of N ranks: the mean over the ranks falls by 1/N, and nothing else.

transformers' ``logging_nan_inf_filter`` acts on each rank: one whose loss is NaN adds 0 to the sum
that is then divided by the number of ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import sqrt

from sftdiag.findings import Scalar
from sftdiag.records import LogRecord
from sftdiag.signals.noise import MOVED_ACCURACY, cautious_noise, median
from sftdiag.signals.stream import Signals

CALM_ROWS = 8
"""Rows before the fall: six second differences for their noise."""

ROWS = 3
"""Rows since the fall, each at the lower level: within three records, and no single odd batch."""

CLEAR = 6.0
"""Times the noise of a row that the fall is, at the least: else its size says nothing."""

AGREES = 3.0
"""Standard errors by which the new level may miss (N - k)/N of the old one."""

STANDS_STILL = 0.25
"""Share of the loss's fall by which entropy and gradient norm may move, as a share of themselves: a
model that has learned so much has moved them by as much."""


class OneRank:
    """Follows the finite train rows one by one; needs a known number of ranks."""

    def __init__(self) -> None:
        self._calm: deque[LogRecord] = deque(maxlen=CALM_ROWS)
        self._low: list[LogRecord] = []

    def look(self, signals: Signals, record: LogRecord) -> tuple[int, dict[str, Scalar]] | None:
        """Return the first step of the fall and its numbers at the last of its first rows."""
        ranks = signals.context.world_size
        if ranks is None or ranks < 2 or signals.context.logging_nan_inf_filter is False:
            return None
        if len(self._calm) < CALM_ROWS or not self._falls(record, ranks):
            self._calm.extend((*self._low, record))
            self._low = []
            return None
        self._low.append(record)
        if len(self._low) < ROWS:
            return None
        found = self._numbers(ranks)
        self._calm.extend(self._low)
        self._low = []
        return found

    def _falls(self, record: LogRecord, ranks: int) -> bool:
        losses = [row.metrics["loss"] for row in self._calm]
        level = median(losses)
        least = max(CLEAR * cautious_noise(losses), level / (2 * ranks))
        return level - record.metrics["loss"] > least

    def _numbers(self, ranks: int) -> tuple[int, dict[str, Scalar]] | None:
        before = [row.metrics["loss"] for row in self._calm]
        after = [row.metrics["loss"] for row in self._low]
        level, now = median(before), sum(after) / len(after)
        error = cautious_noise(before) * sqrt(1 / len(before) + 1 / len(after))
        lost = round((1 - now / level) * ranks) if level > 0 else 0
        if not 0 < lost < ranks or abs(now - level * (1 - lost / ranks)) > AGREES * error:
            return None
        # The levels of two numbers of ranks must lie apart by far more than the error.
        if level / ranks < CLEAR * error or not self._all_else_stands(lost / ranks):
            return None
        return self._low[0].step, {
            "loss_before": level,
            "loss": now,
            "lost_ranks": lost,
            "world_size": ranks,
        }

    def _all_else_stands(self, fall: float) -> bool:
        """Return whether entropy, accuracy and gradient norm stand still; one of the first must."""
        known = False
        for name in ("entropy", "mean_token_accuracy", "grad_norm"):
            before, after = _values(self._calm, name), _values(self._low, name)
            if not before or not after:
                continue
            level = sum(before) / len(before)
            moved = abs(sum(after) / len(after) - level)
            error = AGREES * cautious_noise(before) * sqrt(1 / len(before) + 1 / len(after))
            least = STANDS_STILL * fall * abs(level)
            if name == "mean_token_accuracy":
                least = MOVED_ACCURACY
            if moved > max(least, error):
                return False
            known = known or (name != "grad_norm" and error <= 2 * least)
        return known


def _values(rows: Iterable[LogRecord], name: str) -> list[float]:
    """Return a metric in these rows; nothing where one of them lacks it."""
    values = [row.finite(name) for row in rows]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []
