"""The note length-grouping of SFT103: a saw-tooth of the train loss, 50 optimizer steps long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf, sqrt
from operator import mul, sub

from sftdiag.findings import Detection, Severity
from sftdiag.records import LogRecord
from sftdiag.signals.climb import WINDOW_STEPS
from sftdiag.signals.rows import Rows

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
    """Correlates the train loss with itself one period of length grouping earlier.

    Attributes:
        due: the step from which to look again; infinite once the note is told.
    """

    def __init__(self) -> None:
        self.due = self._due_then = 0.0

    def note(
        self, code: str, record: LogRecord, steps: Sequence[int], losses: Sequence[float]
    ) -> Sequence[Detection]:
        """Look again; return the note once the saw-tooth is sure.

        Args:
            code: the detector's.
            record: the newest train row.
            steps: of the last KEPT_ROWS rows, oldest first, with it.
            losses: their losses.
        """
        self.due = float(record.step + WINDOW_STEPS)
        first_step = steps[0]
        again = _correlated(first_step, record.step, [*losses])
        if again is None:
            return ()
        self.due = inf
        evidence = {"correlation": again, "period": WINDOW_STEPS, "loss": record.metrics["loss"]}
        return (
            Detection(
                code, "length-grouping", Severity.INFO, record.step, first_step, "loss", evidence
            ),
        )

    def passes(self, rows: Rows, steps: Iterable[int], losses: Iterable[float]) -> bool:
        """Return whether the saw-tooth is not sure after any of these rows.

        Args:
            rows: the rows.
            steps: of the last KEPT_ROWS rows before, oldest first.
            losses: their losses.
        """
        self._due_then = self.due
        if rows.steps[-1] < self.due:
            return True
        all_steps, all_losses = [*steps, *rows.steps], [*losses, *rows.losses]
        before = len(all_steps) - rows.count
        while (due := bisect_left(rows.steps, self._due_then)) < rows.count:
            self._due_then = float(rows.steps[due] + WINDOW_STEPS)
            end = before + due + 1
            first = max(0, end - KEPT_ROWS)
            last = all_steps[end - 1]
            if _correlated(all_steps[first], last, all_losses[first:end]) is not None:
                return False
        return True

    def take(self) -> None:
        """Take in the rows that passed."""
        self.due = self._due_then


def _correlated(first_step: int, last_step: int, losses: Sequence[float]) -> float | None:
    """Return how alike the last periods are, where they are surely a saw-tooth's."""
    every = (last_step - first_step) / max(1, len(losses) - 1)
    if last_step - first_step < PERIODS * WINDOW_STEPS - every:
        return None
    period = round(WINDOW_STEPS / every) if every > 0 else 0
    if period < ROWS_A_PERIOD:
        return None
    rest = _without_trend(losses, period)
    again = _correlation(rest, period)
    if again < max(AGAIN, SURE / sqrt(len(rest))):
        return None
    if _correlation(rest, period // 2) > OPPOSITE or _correlation(rest, period // 10) < CLOSE:
        return None
    return again


def _without_trend(values: Sequence[float], period: int) -> list[float]:
    """Return each value less the mean of the period around it, where there is a whole one."""
    half = period // 2
    width = 2 * half + 1
    moves = map(sub, values[width:], values)
    totals = accumulate(moves, initial=sum(values[:width]))
    return [value - total / width for value, total in zip(values[half:], totals, strict=False)]


def _correlation(rest: Sequence[float], lag: int) -> float:
    """Return the correlation of a series around 0 with itself ``lag`` values earlier."""
    later, earlier = rest[lag:], rest[: len(rest) - lag]
    size = sqrt(sum(map(mul, later, later), 0.0) * sum(map(mul, earlier, earlier), 0.0))
    return sum(map(mul, later, earlier)) / size if size else 0.0
