"""Losses of exactly 0: what they stand for.

A cross entropy is never 0 but where no label reached it, where it was learned away below what the
log rounds to, or where the trainer writes 0 for a NaN (``logging_nan_inf_filter``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite, log

from sftdiag.records import LogRecord
from sftdiag.signals.noise import median
from sftdiag.signals.rows import Rows
from sftdiag.signals.schedule import Schedule
from sftdiag.signals.streak import Streak
from sftdiag.vocabularies import LARGEST_VOCABULARY

LEARNED_LOSS = 0.01
"""A loss that was below this before it read 0 got there by learning: older trainers round to four
decimals, and memorising runs pass through 0.01 (corpus: 18 of 18)."""

BEFORE = 8
"""Losses above 0 kept, for what came before a 0."""

LEAP = 3.0
"""Times the losses before, from which a loss has left its course: the rows of a healthy run differ
by less from their median, and two zeros right behind it leave no doubt."""

LEAP_ROWS = 3
"""Last records among which the leap is looked for: the window in which a run broke averages what
came before and after."""

LEAST_BEFORE = 2
"""Losses that a leap is measured against, at the least."""

HUGE = log(LARGEST_VOCABULARY)
"""No blind guess costs more: weights that say so are broken, whatever came before."""

LEARNED, MASKED, BLANK, CONTRADICTED, HIDDEN = (
    "learned",
    "masked",
    "blank",
    "contradicted",
    "hidden",
)
"""What a 0 may be: learned away; without a gradient, so without a label; without a logged gradient;
beside a gradient that a loss of 0 cannot have; one of the last two, and a witness says a NaN."""

NAN_KINDS = (CONTRADICTED, HIDDEN)
"""Those that stand for a loss that was not finite."""

LEAPT, STILL, EVALUATED = "leap", "still", "evaluation"
"""Witnesses of a hidden NaN: the loss leapt before; the schedule is held; an evaluation is NaN."""


class Zeros:
    """Follows the train losses one by one.

    Attributes:
        streak: the zeros in a row up to now.
        returned: after an earlier 0 the loss came back: rows without a label come and go, a NaN
            in the weights does not.
        witness: what says that these zeros hide a NaN, or None.
        usual: the median of the losses before the leap, where that is the witness, or None.
        loss_before: the highest of the last losses before the zeros, or None.
    """

    def __init__(self) -> None:
        self.streak = Streak()
        self.returned = False
        self.witness: str | None = None
        self.usual: float | None = None
        self._losses: deque[float] = deque(maxlen=BEFORE)

    def add(self, record: LogRecord, before: int | None, schedule: Schedule) -> str | None:
        """Take the next train record in.

        Args:
            record: the record.
            before: the step of the train record before it.
            schedule: of the learning rate, which may be held.

        Returns:
            What its loss of 0 is; None for any other loss.
        """
        loss = record.metrics["loss"]
        if loss != 0.0 or record.loss_is_lost():
            if loss != 0.0 and isfinite(loss):
                self.passed(loss)
            self.streak.records = 0
            self.witness = None
            return None
        self.streak.add(record.step, before)
        if self._losses and min(self._losses) < LEARNED_LOSS:
            return LEARNED
        grad_norm = record.get("grad_norm")
        if grad_norm == 0.0:
            return MASKED
        if self.witness is None:
            self.witness = self._witness(schedule.still_steps)
        if self.witness is not None:
            return HIDDEN
        return BLANK if grad_norm is None else CONTRADICTED

    def passed(self, loss: float) -> None:
        """Take in a finite loss other than 0."""
        if self.streak.records:
            self.returned = True
            self.streak.end()
        self.witness = None
        self._losses.append(abs(loss))

    def take(self, rows: Rows) -> None:
        """Take in rows whose losses are above 0."""
        self.returned = self.returned or self.streak.records > 0
        self.streak.end()
        self.witness = None
        self._losses.extend(rows.losses[-BEFORE:])

    def evaluated(self, losses: Mapping[str, float]) -> None:
        """Take an evaluation in: one that is not finite says what the zeros before it were."""
        lost = any(not isfinite(loss) for loss in losses.values())
        if lost and self.streak.records and self._losses and self.witness is None:
            self.witness = EVALUATED

    @property
    def loss_before(self) -> float | None:
        """The highest of the last losses before the zeros, or None."""
        return max(list(self._losses)[-LEAP_ROWS:], default=None)

    def _witness(self, still_steps: int) -> str | None:
        if self.returned or not self._losses:
            return None
        losses = list(self._losses)
        top = max(range(max(0, len(losses) - LEAP_ROWS), len(losses)), key=losses.__getitem__)
        leapt = top >= LEAST_BEFORE and losses[top] > LEAP * median(losses[:top])
        if leapt or losses[top] > HUGE:
            self.usual = median(losses[:top]) if top else None
            return LEAPT
        return STILL if still_steps > 0 else None
