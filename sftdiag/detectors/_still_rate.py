"""A learning rate of exactly 0: all along, or from a step on with much of the plan left."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite

from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import Signals
from sftdiag.signals.trend import LEAST_VALUES, fall_of

ZERO_ROWS = 3
"""Rows, the second and third with a rate of exactly 0, that settle it: a linear warm-up begins at 0
and leaves it with the next step, and no optimizer moves a weight by 0 times anything."""

ENDED_ROWS = 2
"""Rows in a row at 0 after a rate above it: a schedule with restarts touches 0 in one."""

PLAN_LEFT = 0.1
"""Share of the plan that must be left: schedules that are planned for a little less than the run,
or a last log row beyond the last step, waste no more."""

LEARNT = 0.1
"""Fall of the loss from row to row, as a share, at which a rate of 0 is not believed where every
row falls so: some loggers round the rate. One row alone may be that much lower by its batch."""


class StillRate:
    """Follows the learning rate of the train rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.since = 0
        self._zeros = 0
        self._later_above = False

    def take(self, record: LogRecord) -> bool:
        """Take in a train row; return whether ``never_rose`` or ``ended`` may hold after it."""
        rate = record.metrics.get("learning_rate")
        if rate is not None and isfinite(rate):
            self.rows += 1
            if rate > 0.0:
                self._zeros = 0
                if self.rows > 1:
                    self._later_above = True
            else:
                if not self._zeros:
                    self.since = record.step
                self._zeros += 1
        return not self._later_above or self._zeros >= ENDED_ROWS

    def passes(self, rows: Rows) -> bool:
        """Return whether after each of these rows the rate is neither 0 nor was always."""
        if rows.get("learning_rate") is not None:
            return self._later_above
        return self._zeros == 0 and (self.rows < ZERO_ROWS or self._later_above)

    def take_all(self, rows: Rows) -> None:
        """Take in rows that passed."""
        if rows.get("learning_rate") is not None:
            self.rows += rows.count
            self._zeros = 0

    @property
    def at_zero(self) -> bool:
        """Whether the last row's rate was 0."""
        return self._zeros > 0

    def never_rose(self, signals: Signals) -> bool:
        """Return whether the rate was 0 in every row after the first, which is settled now."""
        if self.rows < ZERO_ROWS or self._later_above:
            return False
        rows = [loss for _, loss in signals.recent]
        if len(rows) > LEAST_VALUES:
            return not fall_of(rows).lower > 0.0
        falls = all(later < (1 - LEARNT) * loss for loss, later in pairwise(rows))
        return len(rows) < ZERO_ROWS or not falls

    def ended(self, signals: Signals) -> bool:
        """Return whether the rate has come down to 0 with a good part of the plan left."""
        plan = signals.max_steps
        if not self._later_above or self._zeros < ENDED_ROWS or not plan:
            return False
        return self.since < (1 - PLAN_LEFT) * plan and signals.last_step < plan
