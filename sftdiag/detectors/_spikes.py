"""Spikes of the train loss one by one, for SFT105: each is found as soon as the loss is back."""

from __future__ import annotations

from collections import deque
from math import inf

from sftdiag.signals.noise import cautious_noise, median
from sftdiag.signals.rows import Rows
from sftdiag.signals.stream import RECENT, Signals
from sftdiag.values import Value

OPENING_ROWS = 20
"""Rows at the start that are never told: the loss is still falling from its first values."""

CALM_ROWS = RECENT - 1
"""Calm rows whose median is the level: the window of Signals less the row that is judged."""

FEW_CALM_ROWS = 8
"""Calm rows from which the level is one; fewer follow a loss that has climbed and stayed."""

NOISE_FACTOR = 10.0
"""Noise units above the level; the factor of the prototype on 115 public runs."""

TAIL_FACTOR = 3.0
"""Times the largest other rise of the run. With a tail as heavy as Student's t with 3 degrees the
chance that the third largest value is three times the fourth is 3 ** -9 at any look."""

LEVEL_SHARE = 0.5
"""Rise as a share of the level: a smaller one is no spike to the eye."""

START_SHARE = 0.1
"""Rise as a share of the starting loss: at a loss near 0 every odd row is many times the level."""

START_ROWS = 5
"""First rows whose median is the starting loss."""

MAX_ROWS = 3
"""Rows in a row above the bar; a fourth makes it a climb."""

BACK_ROWS = 3
"""Rows in a row that must be back below the bar, their median below half of it."""


class Spike(Value):
    """A spike: the number of its first row, its first step, and how far it rose."""

    row: int
    step: int
    rows: int
    loss: float
    level: float
    edge: bool

    @property
    def rise(self) -> float:
        """How far the loss stood above the level before."""
        return self.loss - self.level


class _Rising:
    """A spike in the making."""

    def __init__(self, row: int, step: int, level: float, bar: float) -> None:
        self.row, self.step, self.level, self.bar = row, step, level, bar
        self.high: list[float] = []
        self.in_a_row = 0
        self.back: list[float] = []
        self.edge = False


class SpikeFinder:
    """Follows the train loss row by row.

    Attributes:
        rows: train rows taken in.
        largest: the largest rise above the level of the calm rows that was no spike.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.largest = 0.0
        self._calm: deque[float] = deque(maxlen=CALM_ROWS)
        self._rising: _Rising | None = None
        self._epoch: int | None = None
        self._edge_row = -BACK_ROWS
        self._largest_then = 0.0
        self._floor = inf

    def take(self, signals: Signals, loss: float, step: int) -> Spike | None:
        """Take in the train row that ``signals`` has taken in; return the spike it confirms."""
        self.rows += 1
        if (epoch := signals.epoch) is not None and (number := int(epoch)) != self._epoch:
            self._see_edge(number)
        if loss < self._floor:
            self._floor = loss
        rising = self._rising
        if rising is not None:
            return self._follow(rising, loss)
        calm = self._calm
        # No level is below the lowest row since the last look: most rows rise too little above it.
        if len(calm) < FEW_CALM_ROWS or loss - self._floor <= self.largest:
            calm.append(loss)
            return None
        ordered = sorted(calm)
        self._floor = min(ordered[0], loss)
        level = ordered[CALM_ROWS // 2] if len(calm) == CALM_ROWS else median(ordered)
        rise = loss - level
        if rise > self.largest:
            if rise > self._bar(signals, level) and not signals.learning_rate_rises:
                self._rising = _Rising(self.rows, step, level, self._bar(signals, level))
                self._follow(self._rising, loss)
                return None
            self.largest = rise
        calm.append(loss)
        return None

    def bound(self, signals: Signals, *, rises: bool) -> tuple[float, float] | None:
        """Return the level and how far above it the next loss is a spike; None while unknown.

        Args:
            signals: the run up to the row before.
            rises: whether the next step's learning rate is above that row's.
        """
        if self._rising is not None or len(self._calm) < FEW_CALM_ROWS or rises:
            return None
        level = median(self._calm)
        bar = self._bar(signals, level)
        return (level, bar) if bar < inf else None

    def passes(self, signals: Signals, rows: Rows) -> bool:
        """Return whether none of these rows begins a spike; keeps what they make the largest."""
        calm, epochs = self._calm, rows.get("epoch")
        if self._rising is not None:
            return False
        if epochs is None:
            inside = signals.epoch is None or int(signals.epoch) == self._epoch
        else:
            inside = int(min(epochs)) == int(max(epochs)) == self._epoch
        if not inside:
            return False
        losses = [*calm, *rows.losses]
        before, largest = len(calm), self.largest
        for start in range(max(before, FEW_CALM_ROWS), len(losses), CALM_ROWS):
            # Half of any window lies at its median or above: no median is below this.
            near = sorted(losses[max(0, start - CALM_ROWS) : start + CALM_ROWS])
            least = near[(min(CALM_ROWS, start) - 1) // 2]
            for place, loss in enumerate(losses[start : start + CALM_ROWS], start):
                if loss - least <= largest:
                    continue
                ordered = sorted(losses[max(0, place - CALM_ROWS) : place])
                level = ordered[CALM_ROWS // 2] if place >= CALM_ROWS else median(ordered)
                rise = loss - level
                if rise <= largest:
                    continue
                told = self.rows + place - before >= OPENING_ROWS
                if told and rise > max(TAIL_FACTOR * largest, LEVEL_SHARE * level):
                    return False
                largest = rise
        self._largest_then = largest
        return True

    def take_all(self, rows: Rows) -> None:
        """Take in rows that passed."""
        self.rows += rows.count
        self.largest = self._largest_then
        self._floor = min(self._floor, rows.low)
        self._calm.extend(rows.losses[-CALM_ROWS:])

    def _see_edge(self, epoch: int) -> None:
        """Remember the row at which an epoch began; a spike one row beside it is at the edge."""
        if self._epoch is not None:
            self._edge_row = self.rows
        self._epoch = epoch

    def _bar(self, signals: Signals, level: float) -> float:
        """Return how far above the level a spike must stand."""
        if self.rows <= OPENING_ROWS or level <= 0.0:
            return inf
        return max(
            NOISE_FACTOR * cautious_noise(list(self._calm)),
            TAIL_FACTOR * self.largest,
            LEVEL_SHARE * level,
            START_SHARE * starting_loss(signals),
        )

    def _follow(self, rising: _Rising, loss: float) -> Spike | None:
        """Follow a spike in the making; return it once the loss is back."""
        rising.edge = rising.edge or self.rows - self._edge_row <= 1
        if loss - rising.level > rising.bar:
            rising.high.append(loss)
            rising.in_a_row += 1
            rising.back.clear()
            if rising.in_a_row > MAX_ROWS or len(rising.high) > 2 * MAX_ROWS:
                # A climb: a new level has to be found.
                self._rising = None
                self._calm.clear()
            return None
        rising.in_a_row = 0
        rising.back.append(loss)
        if len(rising.back) < BACK_ROWS:
            return None
        self._rising = None
        if median(rising.back) - rising.level > rising.bar / 2:
            self._calm.clear()
            return None
        self._calm.extend(rising.back)
        return Spike(
            rising.row, rising.step, len(rising.high), max(rising.high), rising.level, rising.edge
        )


def starting_loss(signals: Signals) -> float:
    """Return the loss the run started with."""
    return abs(median(signals.opening[:START_ROWS])) if signals.opening else 0.0
