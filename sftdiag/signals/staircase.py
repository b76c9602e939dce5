"""Staircase: steps of the train loss at the epochs' edges, as remembered rows make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

from sftdiag.findings import Scalar
from sftdiag.signals.noise import noise_scale

EDGE_ROWS = 6
"""Train rows averaged on each side of an epoch's edge."""

EDGE_DROP = 0.04
"""Drop at an epoch's edge, as a share of the loss, that the eye sees as a step."""


class Staircase:
    """Compares the train loss on both sides of each epoch's edge with the fall inside epochs.

    Attributes:
        steps: how many edges were steps of the loss.
        last_step: the optimizer step at which the last of them was seen; 0 while there is none.
        last_drop: its drop, as a share of the loss before it.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.last_step = 0
        self.last_drop = 0.0
        self._edge: int | None = None
        self._before: list[float] = []
        self._after: list[float] = []
        self._first: list[float] = []

    def add(
        self, epoch: float, loss: float, step: int, recent: Iterable[tuple[float | None, float]]
    ) -> None:
        """Take in a train row.

        Args:
            epoch: the row's epoch, finite.
            loss: its loss.
            step: its optimizer step.
            recent: epochs and losses of the last train rows, oldest first.
        """
        number = int(epoch)
        if number == self._edge and not self._before and len(self._first) == EDGE_ROWS:
            return
        if self._edge is None or number < self._edge:
            self._edge, self._first = number, []
        if number > self._edge:
            rows = [value for at, value in recent if at is not None and int(at) < number]
            self._before = rows[-EDGE_ROWS:]
            self._edge, self._after = number, []
        if self._before:
            self._after.append(loss)
            if len(self._after) == EDGE_ROWS:
                self._measure(step)
        elif len(self._first) < EDGE_ROWS:
            self._first.append(loss)

    def passes(self, epochs: Sequence[float]) -> bool:
        """Return whether rows of these epochs lie far from the edge behind them, if any."""
        inside = self._edge is not None and self._edge <= min(epochs) and not self._before
        return inside and int(max(epochs)) == self._edge

    def take(self, losses: Sequence[float]) -> None:
        """Take in rows that passed."""
        self._first += losses[: EDGE_ROWS - len(self._first)]

    @property
    def evidence(self) -> dict[str, Scalar]:
        """How many edges were steps, and by how much the last one dropped, for a detection."""
        return {"edges": self.steps, "edge_drop": self.last_drop}

    def _measure(self, step: int) -> None:
        before, after, first = self._before, self._after, self._first
        self._before, self._after, self._first = [], [], list(after)
        if min(len(before), len(first)) < EDGE_ROWS:
            return
        low, high = sum(after) / EDGE_ROWS, sum(before) / EDGE_ROWS
        if high <= 0.0:
            return
        start = sum(first) / EDGE_ROWS
        error = max(noise_scale(before), noise_scale(after)) * sqrt(2 / EDGE_ROWS)
        inside, drop = start - high, high - low
        if drop > max(EDGE_DROP * high, 4 * error, 2 * inside):
            self.steps += 1
            self.last_step, self.last_drop = step, drop / high
