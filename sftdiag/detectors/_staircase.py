"""The note epoch-staircase of SFT201: steps of the train loss at the epochs' edges."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from sftdiag.evaluations import Evaluation
from sftdiag.findings import Detection, Scalar, Severity
from sftdiag.noise import noise_scale
from sftdiag.signals import Signals

EDGE_ROWS = 6
"""Train rows averaged on each side of an epoch's edge."""

EDGE_DROP = 0.04
"""Drop at an epoch's edge, as a share of the loss, that the eye sees as a step."""


class Staircase:
    """Compares the train loss on both sides of each epoch's edge with the fall inside epochs."""

    def __init__(self) -> None:
        self._edge: int | None = None
        self._before: list[float] = []
        self._after: list[float] = []
        self._first: list[float] = []
        self._edges = 0
        self._last_drop = (0, 0.0)
        self._noted = False

    def update(self, signals: Signals) -> None:
        """Take in the train row that ``signals`` has just taken in."""
        if self._noted or not signals.recent:
            return
        epoch, loss = signals.recent[-1]
        if epoch is None:
            return
        number = int(epoch)
        if self._edge is None or number < self._edge:
            self._edge, self._first = number, []
        if number > self._edge:
            rows = [value for at, value in signals.recent if at is not None and int(at) < number]
            self._before = rows[-EDGE_ROWS:]
            self._edge, self._after = number, []
        if self._before:
            self._after.append(loss)
            if len(self._after) == EDGE_ROWS:
                self._measure(signals.last_step)
        elif len(self._first) < EDGE_ROWS:
            self._first.append(loss)

    @property
    def seen(self) -> dict[str, Scalar]:
        """How many edges were steps, and by how much the last one dropped."""
        return {"edges": self._edges, "edge_drop": self._last_drop[1]}

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
            self._edges += 1
            self._last_drop = (step, drop / high)

    def note(
        self, code: str, signals: Signals, points: Sequence[Evaluation], step: int
    ) -> Sequence[Detection]:
        """Return the note once a step was seen and the evaluation loss is at its best."""
        if self._noted or not self._edges or len(points) < 2:
            return ()
        if points[-1].loss > min(point.loss for point in points):
            return ()
        if signals.first_loss is None or signals.block_losses[-1] >= signals.first_loss:
            return ()
        self._noted = True
        at, drop = self._last_drop
        evidence: dict[str, Scalar] = {
            "edges": self._edges,
            "drop": drop,
            "epoch": signals.epoch,
            "eval_loss_first": points[0].loss,
            "eval_loss_last": points[-1].loss,
        }
        return (Detection(code, "epoch-staircase", Severity.INFO, step, at, "loss", evidence),)
