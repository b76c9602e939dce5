"""Leap: the training loss at a multiple of all that came before, and staying there.

Needs no window and no estimate of the noise: the highest row so far bounds it. Of 181 healthy runs,
public and of GPUs, three rows in a row were never above 1.06 times the highest row before them; of
1,000 generated ones never above 2.5 times a first row, 1.2 times the highest of two.
"""

from __future__ import annotations

from collections import deque
from math import log

from sftdiag.context import RunContext
from sftdiag.signals.noise import median
from sftdiag.values import Value
from sftdiag.vocabularies import LARGEST_VOCABULARY, SMALLEST_VOCABULARY

UP = 1.75
"""Times the highest row before from which a row is up: saw-teeth of length grouping reach 1.5, and
three rows in a row of batches that differ by half reached 1.6 in one of 120 runs."""

LEAP = 2.0
"""The same of the rows' median: each of them is one draw, of which the lowest of three lies a sixth
below their level where batches are noisy."""

LEAP_FROM = {1: 6.0, 2: 3.0}
"""The same after one row or two, which may be easy by chance: of 10,000 generated healthy runs the
first was 5.1 times below the next three at most, the first two 2.5 times."""

ROWS = 3
"""Rows in a row that are enough where the last is still up as they are: a spike of so many has come
down by then."""

LONG = ROWS + 1
"""Rows in a row that are enough however they go: a spike has three, as SFT105 takes it."""

STAYS = 0.55
"""Share of the highest of ROWS rows at which the last has not come down: a spike that grows and
falls over three rows is down to half, two rows with 15 % noise differ by so much once in 100."""

FAR = 10.0
"""Times the highest row before at which the last of two rows in a row is enough, where it is above
a blind guess, too: the higher of two reached 3.5 times on generated healthy runs, 1.7 on others."""

ROWS_ABOVE_CHANCE = 2
"""The same where they are means over AVERAGED steps each, and above what a blind guess costs: so
many steps are no bad batch."""

AVERAGED = 5
"""Steps between rows from which a row is a mean whose noise is less than half of a batch's."""

BELOW_CHANCE = 0.5
"""Share of a blind guess's loss below which the model knew its text: what lies above a blind guess
right after it is damage, not noise."""

NO_START = 10.0
"""Times a blind guess that a first row, the mean of AVERAGED steps, is where the run blew up in
them: text that no model knows costs 2 to 3 times as much."""

LOWEST = 0.5
"""Nats: a smaller loss hangs on few tokens, and doubles with a batch of other rows."""

SWING, SWING_ABOVE = 8, 6
"""Rows looked back on, and how many of them must be up, where the loss swings between: spikes that
return are up in single rows."""

SWING_BEFORE = 3
"""Rows before the first that is up, at least, for a swing."""

CALM = 3
"""Rows in a row that are not up, after which a spike is over."""


def blew_up_within(loss: float, steps: int, context: RunContext) -> bool:
    """Return whether a first row, the mean of so many steps, is one of a run that has blown up."""
    chance = context.chance_loss or log(LARGEST_VOCABULARY)
    return steps >= AVERAGED and loss > NO_START * chance


class Leap(Value):
    """A leap: what it leapt from at which step, the rows that show it, and where it is now."""

    highest: float
    from_step: int
    level: float
    step: int


class LeapWatch:
    """Follows the train rows one by one; constant work and state."""

    def __init__(self) -> None:
        self._before = 0
        self._highest = 0.0
        self._step = 0
        self._span = 0
        self._seen: deque[float] = deque(maxlen=SWING)
        self._up = 0
        self._down = 0

    def look(self, step: int, loss: float, context: RunContext) -> Leap | None:
        """Take the next row in; return the leap at each row that shows one."""
        if loss <= 0.0:  # No label counted, or no likelihood: it says nothing of the level.
            return None
        up = loss > self._highest and loss > UP * max(self._highest, LOWEST) and self._before > 0
        if not self._seen and not up:
            if loss > self._highest:
                self._highest = loss
            self._before += 1
            self._step = step
            return None
        if not self._seen:
            self._span = step - self._step
        self._seen.append(loss)
        self._up, self._down = (self._up + 1, 0) if up else (0, self._down + 1)
        rows = list(self._seen)
        if self._down == CALM:
            # After few rows it is open which were the odd ones.
            self._settle(step, rows[-CALM:] if self._before >= SWING else rows)
            return None
        last = rows[-self._up :] if up else []
        high = LEAP * max(self._highest, LOWEST)
        swings = sum(row > high for row in rows) >= SWING_ABOVE and self._before >= SWING_BEFORE
        if not swings and not self._enough(last, context):
            if self._up >= SWING:
                self._settle(step, rows)
            return None
        level = last[-1] if len(last) == ROWS_ABOVE_CHANCE else median(rows if swings else last)
        return Leap(self._highest, self._step, level, step)

    def passes(self, high: float) -> bool:
        """Return whether rows up to this loss are no higher than any row before."""
        return not self._seen and self._before > 0 and high <= self._highest

    def take(self, step: int, count: int) -> None:
        """Take in so many rows that passed, the last one at this step."""
        self._before += count
        self._step = step

    def _calm(self, step: int, loss: float) -> None:
        self._highest = max(self._highest, loss)
        self._before += 1
        self._step = step

    def _settle(self, step: int, rows: list[float]) -> None:
        """Take rows as those of an undisturbed run: the spike is over, or the first were low."""
        for row in rows:
            self._calm(step, row)
        self._seen.clear()
        self._up = self._down = 0

    def _enough(self, rows: list[float], context: RunContext) -> bool:
        """Return whether so many rows in a row, all of them up, show a leap."""
        if len(rows) < ROWS_ABOVE_CHANCE:
            return False
        chance, lowest = context.chance_loss, min(rows[-LONG:])
        most = chance or log(LARGEST_VOCABULARY)
        if self._span >= AVERAGED and lowest > most:
            return True
        if rows[-1] > max(most, FAR * max(self._highest, LOWEST)):
            return True
        if len(rows) < ROWS or (len(rows) < LONG and rows[-1] < STAYS * max(rows)):
            return False
        least = chance or log(SMALLEST_VOCABULARY)
        if self._highest < BELOW_CHANCE * least and lowest > least:
            return True
        if self._before in LEAP_FROM:
            return lowest > LEAP_FROM[self._before] * self._highest
        return median(rows[-LONG:]) > LEAP * max(self._highest, LOWEST)
