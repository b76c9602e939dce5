"""The training loss leaps to a multiple of all that came before, and stays there.

Needs no window and no noise: the highest row so far bounds the noise from above. Of 173 labelled
healthy runs, three rows in a row were never above 1.06 times the highest row before them, 1.04 from
the second row on; of 1,000 generated ones never above 2.5 times a first row, 1.2 times the highest
of two.
"""

from __future__ import annotations

from math import log

from sftdiag.context import RunContext
from sftdiag.ranges import LARGEST_VOCABULARY, SMALLEST_VOCABULARY
from sftdiag.values import Value

LEAP = 2.0
"""Times the highest row before: what no length grouping makes, whose saw-teeth reach 1.5."""

ROWS = 3
"""Rows in a row that are enough: a single bad batch among few is one, two may be a long spike."""

ROWS_FROM_ONE = 5
"""The same after a single row, which may be a batch of easy rows by chance."""

ROWS_ABOVE_CHANCE = 2
"""The same where they are means over AVERAGED steps each, and above what a blind guess costs: so
many steps are no bad batch."""

AVERAGED = 5
"""Steps between rows from which a row is a mean whose noise is less than half of a batch's."""

BELOW_CHANCE = 0.5
"""Share of a blind guess's loss below which the model knew its text: what lies above a blind guess
right after it is damage, not noise."""

LOWEST = 0.5
"""Nats: a smaller loss hangs on few tokens, and doubles with a batch of other rows."""


class Leap(Value):
    """A leap: what it leapt from at which step, and the rows since."""

    highest: float
    step: int
    rows: tuple[float, ...]


class LeapWatch:
    """Follows the train rows one by one; constant work and state."""

    def __init__(self) -> None:
        self._before = 0
        self._highest = 0.0
        self._step = 0
        self._span = 0
        self._held: list[float] = []

    def look(self, step: int, loss: float, context: RunContext) -> Leap | None:
        """Take the next row in; return the leap at the last of the rows that it takes."""
        if not self._before or loss <= LEAP * max(self._highest, LOWEST):
            # What did not stay was a spike, and the next leap must be above it.
            self._highest = max(self._highest, loss, *self._held)
            self._before += 1 + len(self._held)
            self._held = []
            self._step = step
            return None
        if not self._held:
            self._span = step - self._step
        self._held.append(loss)
        if len(self._held) < self._needed(context):
            return None
        return Leap(self._highest, self._step, tuple(self._held))

    def _needed(self, context: RunContext) -> int:
        chance = context.chance_loss
        lowest = min(self._held)
        if self._span >= AVERAGED:
            most = chance if chance is not None else log(LARGEST_VOCABULARY)
            return ROWS_ABOVE_CHANCE if lowest > most else ROWS
        least = chance if chance is not None else log(SMALLEST_VOCABULARY)
        if self._before > 1 or self._highest < BELOW_CHANCE * least < least < lowest:
            return ROWS
        return ROWS_FROM_ONE
