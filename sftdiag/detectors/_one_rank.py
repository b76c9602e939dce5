"""A loss that is NaN on one of N ranks: the mean over the ranks falls by 1/N, and nothing else.

transformers' ``logging_nan_inf_filter`` acts on each rank: from a NaN on, a rank adds the mean of
the steps that it has summed up for the next row, which is 0 in all rows but the one in which it
happens. That row lies anywhere between; from the next on the logged loss is (N - 1)/N of what it
would be. Entropy and accuracy are of the same tokens: hard rows and learning move them with the
loss, so that the loss as a multiple of them is steadier than the loss, and falls by (N - 1)/N all
the same.

Cannot see it in a log without both. Loss and gradient norm alone were tried on 691 stored and
generated logs, as if of 2, 4 and 8 ranks, for falls that last three rows: 56 false alarms. Without
the rows about an epoch's beginning 5 are left, and 561 of 2,073 falls that were put in are found.
Live, each step's own loss says it (``StepSignals``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import exp, log, sqrt

from sftdiag.findings import Scalar
from sftdiag.records import LogRecord
from sftdiag.signals.noise import cautious_noise, median
from sftdiag.signals.stream import Signals

CALM_ROWS = 24
"""Rows before the fall that say how noisy a series is: ``unsure_factor`` is 1.1 from there on."""

FEWEST_CALM_ROWS = 6
"""The fewest: four second differences, which ``unsure_factor`` makes 2.8 times as large."""

TREND_ROWS = 8
"""The last of them, which say where a series was going."""

LAST = 3
"""The last of those, whose median is where it stood."""

LOW_ROWS = 4
"""Rows after the fall in which it is looked for: more tell its size better, and the trend worse."""

LONG_ROW = 5
"""Optimizer steps from which one row is enough: as many steps in a row were low, on as many
batches. Of shorter ones it takes two: a single odd batch falls as far."""

CLEAR = 8.0
"""Errors that the fall, and that of one rank more or less, are apart at the least: else its size
says nothing."""

AGREES = 3.0
"""Standard errors by which a level may miss what it should be."""

STANDS_STILL = 0.25
"""Share of the loss's fall by which all else may move; more where its noise is larger."""

LEARNED = 0.5
"""Share by which entropy and 1 - accuracy fall with the loss when a model learns, about: however
noisy they are, they have to stand stiller."""

LEAST_ACCURACY = 0.3
"""Token accuracy from which 1 - accuracy falls with the loss; below it hardly moves."""


_DULL = log(1 - LEAST_ACCURACY)


class _Course:
    """Where a series was going: between where it stood and its line drawn on."""

    def __init__(self, low: float, high: float, error: float) -> None:
        self.low, self.high, self.error = low, high, error

    def passed(self, now: float) -> float:
        """Return how far a level lies outside."""
        return now - self.high if now > self.high else min(0.0, now - self.low)


class OneRank:
    """Follows the finite train rows one by one; needs a known number of ranks."""

    def __init__(self) -> None:
        self._rows: deque[LogRecord] = deque(maxlen=CALM_ROWS + 1 + LOW_ROWS)

    def follows(self, signals: Signals) -> bool:
        """Return whether the run has several ranks, the loss of one of which may be hidden."""
        ranks, hidden = signals.context.world_size, signals.context.logging_nan_inf_filter
        return ranks is not None and ranks >= 2 and hidden is not False

    def look(self, signals: Signals, record: LogRecord) -> tuple[int, dict[str, Scalar]] | None:
        """Return the first step of the fall and its numbers as soon as its rows show it."""
        ranks = signals.context.world_size
        if ranks is None or not self.follows(signals):
            return None
        if record.metrics["loss"] <= 0.0:
            self._rows.clear()
            return None
        self._rows.append(record)
        rows = list(self._rows)
        for low in range(1, LOW_ROWS + 1):
            for mixed in (0, 1):
                end = len(rows) - low - mixed
                if end < FEWEST_CALM_ROWS:
                    return None
                if low == 1 and record.step - rows[-2].step < LONG_ROW:
                    continue
                numbers = _fall(rows[max(0, end - CALM_ROWS) : end], rows[end:], mixed, ranks)
                if numbers is not None:
                    return rows[end].step, numbers
        return None


def _fall(
    calm: Sequence[LogRecord], after: Sequence[LogRecord], mixed: int, ranks: int
) -> dict[str, Scalar] | None:
    """Return the numbers of a fall to (N - k)/N behind the calm rows; None where it is none."""
    before, now = calm[-1].metrics["loss"], after[-1].metrics["loss"]
    # Before anything is computed: not even half of one rank's part is missing.
    if now > (1 - 1 / (2 * ranks)) * before:
        return None
    lost = None
    for name in ("entropy", "mean_token_accuracy"):
        k = _lost_beside(name, calm, after, mixed, ranks)
        if k is None:
            continue
        if k == 0 or (lost is not None and k != lost):
            return None
        lost = k
    if lost is None and _tells(calm, after[mixed:], mixed, ranks):
        lost = _lost_beside(None, calm, after, mixed, ranks)
    if not lost or not _all_else_stands(calm, after[mixed:], mixed, _part(lost, ranks)):
        return None
    return {"loss_before": before, "loss": now, "lost_ranks": lost, "world_size": ranks}


def _lost_beside(
    name: str | None,
    calm: Sequence[LogRecord],
    after: Sequence[LogRecord],
    mixed: int,
    ranks: int,
) -> int | None:
    """Return on how many ranks the loss is lost, going by its multiples of another measure, if any.

    0 where they fell to no such part, None where they are not there or too noisy to tell.
    """
    rows = [*calm, *after]
    others = [0.0] * len(rows) if name is None else _logs(name, rows)
    if not others or _is_dull(name, others):
        return None
    ratios = [a - b for a, b in zip(_logs("loss", rows), others, strict=True)]
    before, low = ratios[: len(calm)], ratios[len(calm) + mixed :]
    course, now = _course(before, len(low) + mixed, len(low)), sum(low) / len(low)
    fell = course.passed(now)
    lost = round((1 - exp(fell)) * ranks)
    if not 0 < lost < ranks:
        return 0
    apart = min(
        _part(a, ranks) - _part(b, ranks)
        for a, b in pairwise((lost - 1, lost, lost + 1))
        if b < ranks
    )
    part, width = _part(lost, ranks), course.high - course.low
    if apart - width < CLEAR * course.error or width > STANDS_STILL * abs(part):
        return None
    # The first low row is as low as the last: a level that goes down row by row is learning.
    for row, value in enumerate(low, start=1 + mixed):
        its = _course(before, row, 1)
        if abs(its.passed(value - part)) > AGREES * its.error:
            return 0
    if abs(course.passed(now - part)) > AGREES * course.error:
        return 0
    allowed = 2 * AGREES * course.error
    if mixed and not now - allowed <= ratios[len(calm)] <= course.high + allowed:
        return 0
    return lost


def _tells(calm: Sequence[LogRecord], low: Sequence[LogRecord], mixed: int, ranks: int) -> bool:
    """Return whether entropy or accuracy would show that a fall by one part was learned."""
    for name in ("entropy", "mean_token_accuracy"):
        values = _logs(name, [*calm, *low])
        if values and not _is_dull(name, values):
            course = _course(values[: len(calm)], len(low) + mixed, len(low))
            if AGREES * course.error <= LEARNED * -_part(1, ranks):
                return True
    return False


def _is_dull(name: str | None, values: Sequence[float]) -> bool:
    """Return whether it is an accuracy so low that it hardly moves as the model learns."""
    return name == "mean_token_accuracy" and median(values[-TREND_ROWS:]) > _DULL


def _part(lost: int, ranks: int) -> float:
    """Return the logarithm of what is left of a loss."""
    return log(1 - lost / ranks)


def _course(before: Sequence[float], ahead: int, rows: int) -> _Course:
    """Return where a series was going, for the mean of some rows that end so many rows ahead.

    By the halves of its last rows, and by the last four alone: a model that learns its rows by
    heart goes down faster and faster.
    """
    trend = before[-TREND_ROWS:]
    last, half = median(trend[-LAST:]), len(trend) // 2
    middle = ahead - (rows - 1) / 2
    slope = (median(trend[-half:]) - median(trend[:half])) / (len(trend) - half)
    first, second = sum(before[-4:-2]) / 2, sum(before[-2:]) / 2
    levels = (
        last,
        last + slope * (middle + (LAST - 1) / 2),
        second + (second - first) / 2 * (middle + 1 / 2),
    )
    error = cautious_noise(before) * sqrt(1 / LAST + 1 / rows)
    return _Course(min(levels), max(levels[:2]), error)


def _all_else_stands(
    calm: Sequence[LogRecord], low: Sequence[LogRecord], mixed: int, part: float
) -> bool:
    """Return whether the loss fell by that part, and all else stands still, as far as is known."""
    for name in ("loss", "entropy", "mean_token_accuracy", "grad_norm"):
        values = _logs(name, [*calm, *low])
        if values:
            before, after = values[: len(calm)], values[len(calm) :]
            course = _course(before, len(low) + mixed, len(low))
            now = sum(after) / len(after) - (part if name == "loss" else 0.0)
            noise = AGREES * course.error
            if name != "grad_norm":
                noise = min(noise, LEARNED * abs(part))
            if abs(course.passed(now)) > max(STANDS_STILL * abs(part), noise):
                return False
    return True


def _logs(name: str, rows: Sequence[LogRecord]) -> list[float]:
    """Return the logarithm of a metric that falls as the model learns, in these rows.

    Nothing where one of them lacks it, or has none.
    """
    values = [row.finite(name) for row in rows]
    known = [value for value in values if value is not None]
    if name == "mean_token_accuracy":
        known = [1 - value for value in known]
    return [log(value) for value in known] if len(known) == len(rows) and min(known) > 0 else []
