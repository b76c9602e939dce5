"""The note length-grouping of SFT103: a saw-tooth of the train loss, 50 optimizer steps long."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import sqrt

from sftdiag.findings import Detection, Severity
from sftdiag.records import LogRecord
from sftdiag.signals.climb import WINDOW_STEPS
from sftdiag.signals.stream import Signals

PERIODS = 4
"""Periods that must have been seen before the first look."""

ROWS_A_PERIOD = 10
"""Rows in a period at least: with fewer its shape cannot be told from another swing's."""

KEPT_ROWS = 256
"""Rows looked at: five periods of a log of every step."""

AGAIN = 0.3
"""Correlation of the loss with itself a period earlier, its trend taken away; at least
:data:`SURE` standard errors. The labelled grouped runs have 0.3 to 0.5."""

SURE = 4.0
"""Standard errors of a correlation, 1 / sqrt(rows): one look a period, some hundred a run."""

OPPOSITE = -0.1
"""Correlation half a period apart: -0.5 for a saw-tooth without noise."""

CLOSE = 0.1
"""Correlation a tenth of a period apart, where a faster swing has turned: 0.46 for a saw-tooth."""


class SawTooth:
    """Correlates the train loss with itself one period of length grouping earlier."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, float]] = deque(maxlen=KEPT_ROWS)
        self._next = 0
        self._noted = False

    def note(self, code: str, signals: Signals, record: LogRecord) -> Sequence[Detection]:
        """Take in a train row; return the note once the saw-tooth is sure."""
        if self._noted:
            return ()
        self._rows.append((record.step, record.metrics["loss"]))
        if record.step < self._next:
            return ()
        self._next = record.step + WINDOW_STEPS
        first_step = self._rows[0][0]
        every = (record.step - first_step) / max(1, len(self._rows) - 1)
        if record.step - first_step < PERIODS * WINDOW_STEPS - every:
            return ()
        period = round(WINDOW_STEPS / every) if every > 0 else 0
        if period < ROWS_A_PERIOD:
            return ()
        rest = _without_trend([loss for _, loss in self._rows], period)
        again = _correlation(rest, period)
        if again < max(AGAIN, SURE / sqrt(len(rest))):
            return ()
        if _correlation(rest, period // 2) > OPPOSITE or _correlation(rest, period // 10) < CLOSE:
            return ()
        self._noted = True
        evidence = {"correlation": again, "period": WINDOW_STEPS, "loss": record.metrics["loss"]}
        return (
            Detection(
                code, "length-grouping", Severity.INFO, record.step, first_step, "loss", evidence
            ),
        )


def _without_trend(values: Sequence[float], period: int) -> list[float]:
    """Return each value less the mean of the period around it, where there is a whole one."""
    half = period // 2
    total = sum(values[: 2 * half + 1])
    rest = []
    for middle in range(half, len(values) - half):
        rest.append(values[middle] - total / (2 * half + 1))
        if middle + half + 1 < len(values):
            total += values[middle + half + 1] - values[middle - half]
    return rest


def _correlation(rest: Sequence[float], lag: int) -> float:
    """Return the correlation of a series around 0 with itself ``lag`` values earlier."""
    later, earlier = rest[lag:], rest[: len(rest) - lag]
    size = sqrt(sum(a * a for a in later) * sum(b * b for b in earlier))
    return sum(a * b for a, b in zip(later, earlier, strict=True)) / size if size else 0.0
