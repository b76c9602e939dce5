"""The training loss jumps within one record and stays up: it doubles, or the accuracy halves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite

from sftdiag.findings import Detection, Scalar
from sftdiag.records import LogRecord
from sftdiag.signals.climb import ABOVE_START
from sftdiag.signals.leap import LEAP, LONG, LOWEST
from sftdiag.signals.noise import cautious_noise, mean, median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals

SUDDEN, LOST, DOUBLED = "sudden", "sudden_lost", "doubled"
"""The variants: a jump alone, one whose evaluation says that what was learned is lost, and one so
high that no token accuracy is needed."""

CALM_ROWS = 10
"""Rows whose medians are the level: eight second differences for its noise."""

NOISE_FACTOR = 6.0
"""Noise units above the level, of each of the rows: SFT102's for a window's mean."""

LEVEL_SHARE = 0.25
"""Rise of each row as a share of the level."""

ACCURACY_SHARE = 0.5
"""Of the level's token accuracy, below which each row is: the rows of length grouping differ by
less, and a loss that is only scaled does not move it."""

LEAST_ACCURACY = 0.1
"""Below it a half of the accuracy is within its noise."""

ROWS = 5
"""Rows in a row: a spike has three, and one more may be its way back."""


_Row = tuple[int, float, float, float | None]
"""Step, loss, token accuracy and gradient norm: one is made of every row, so it is no Value."""


class SuddenJump:
    """Follows the train rows one by one; needs ``mean_token_accuracy``."""

    def __init__(self) -> None:
        self._calm: deque[_Row] = deque(maxlen=CALM_ROWS)
        self._high: list[_Row] = []
        self._top = 0.0

    def look(self, record: LogRecord, *, lost: bool) -> tuple[int, dict[str, Scalar]] | None:
        """Return the step before the jump and its numbers at the last of its first rows.

        Args:
            record: the next one.
            lost: whether its loss is.
        """
        metrics = record.metrics
        accuracy = metrics.get("mean_token_accuracy")
        if accuracy is None or lost or not isfinite(accuracy):
            self._calm.clear()
            return None
        if accuracy > self._top:
            self._top = accuracy
        norm = metrics.get("grad_norm")
        if norm is not None and not isfinite(norm):
            norm = None
        row = (record.step, metrics["loss"], accuracy, norm)
        usual = accuracy >= ACCURACY_SHARE * self._top
        if usual or len(self._calm) < CALM_ROWS or not self._is_high(row):
            if self._high:
                self._calm.extend(self._high)
                self._high = []
            self._calm.append(row)
            return None
        self._high.append(row)
        if len(self._high) < ROWS:
            return None
        found = self._calm[-1][0], _numbers(self._calm, self._high)
        self._calm.clear()
        self._high = []
        return found

    def passes(self, rows: Rows) -> bool:
        """Return whether none of these rows is one of a jump."""
        accuracies = rows.get("mean_token_accuracy")
        if accuracies is None:
            return True
        return min(accuracies) >= ACCURACY_SHARE * max(self._top, max(accuracies))

    def take(self, rows: Rows) -> None:
        """Take in rows that passed."""
        accuracies = rows.get("mean_token_accuracy")
        if accuracies is None:
            self._calm.clear()
            return
        self._top = max(self._top, max(accuracies))
        self._calm.extend(self._high)
        self._high = []
        norms: Sequence[float | None] = rows.get("grad_norm") or [None] * rows.count
        last = slice(-CALM_ROWS, None)
        columns = (rows.steps[last], rows.losses[last], accuracies[last], norms[last])
        self._calm.extend(zip(*columns, strict=True))

    def _is_high(self, row: _Row) -> bool:
        _, loss, accuracy, _ = row
        usual = median([known for _, _, known, _ in self._calm])
        if usual < LEAST_ACCURACY or accuracy >= ACCURACY_SHARE * usual:
            return False
        losses = [calm for _, calm, _, _ in self._calm]
        level = median(losses)
        rise = max(NOISE_FACTOR * cautious_noise(losses), LEVEL_SHARE * level)
        return level > 0.0 and loss - level > rise


class Doubling:
    """Follows the losses alone: a few rows at a multiple of the highest of those before.

    Of 15,000 places in labelled healthy runs with eight rows before, the next three were never
    above 1.16 times their highest; length grouping makes it 1.4 on generated ones.
    """

    def __init__(self) -> None:
        self._calm: deque[float] = deque(maxlen=CALM_ROWS)
        self._high: list[float] = []
        self._step = 0

    def passes(self, rows: Rows) -> bool:
        """Return whether none of these rows is one of a jump."""
        lowest = min(rows.low, min(self._calm, default=rows.low))
        return rows.high <= LEAP * max(LOWEST, lowest)

    def take(self, rows: Rows) -> None:
        """Take in rows that passed."""
        self._calm.extend((*self._high, *rows.losses[-CALM_ROWS:]))
        self._high = []
        self._step = rows.steps[-1]

    def look(self, record: LogRecord) -> tuple[int, dict[str, Scalar]] | None:
        """Return the step before the jump and its numbers at the last of its first rows.

        Args:
            record: the next one whose loss is not lost.
        """
        loss = record.metrics["loss"]
        calm = self._calm
        # The last one alone says it of most rows.
        if len(calm) < CALM_ROWS or loss <= LEAP * calm[-1] or loss <= LEAP * max(LOWEST, *calm):
            if self._high:
                calm.extend(self._high)
                self._high = []
            calm.append(loss)
            self._step = record.step
            return None
        self._high.append(loss)
        if len(self._high) < LONG:
            return None
        before = list(self._calm)
        self._calm.clear()
        numbers: dict[str, Scalar] = {
            "loss_lowest": median(before),
            "loss_recent": median(self._high),
            "noise": cautious_noise(before),
        }
        self._high = []
        return self._step, numbers


def lost_by_evaluation(signals: Signals, jump: Detection) -> dict[str, Scalar] | None:
    """Return the main series' losses before the jump and now, where they say that all is lost.

    It lay below the train loss of the start, as what was learned shows, and lies clearly above both
    that and its own highest: rows of another kind alone leave the evaluation below the start, and a
    set that never came below it says nothing. None where one of these is not so, or not known.
    """
    points, start = signals.main_evaluations, jump.evidence["loss_start"]
    before = [point.loss for point in points if point.step <= jump.onset_step]
    if not isinstance(start, float) or not before or points[-1].step <= jump.onset_step:
        return None
    recent = points[-1].loss
    if not before[-1] < start or recent <= ABOVE_START * max(start, *before):
        return None
    return {
        "eval_series": signals.main_series,
        "eval_loss_before": before[-1],
        "eval_loss_recent": recent,
        "eval_step": points[-1].step,
    }


def _numbers(calm: Sequence[_Row], high: Sequence[_Row]) -> dict[str, Scalar]:
    _, losses, accuracies, norms = zip(*calm, strict=True)
    steps, recent, accuracies_recent, norms_recent = zip(*high, strict=True)
    return {
        "loss_lowest": median(losses),
        "loss_recent": median(recent),
        "noise": cautious_noise(losses),
        "jump_step": steps[0],
        "accuracy_before": median(accuracies),
        "accuracy_recent": median(accuracies_recent),
        "grad_norm_before": mean(norms),
        "grad_norm_recent": mean(norms_recent),
    }
