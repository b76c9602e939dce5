"""Blocks: the train loss of a run of any length as at most :data:`MAX_BLOCKS` means."""

from __future__ import annotations

from math import isfinite

from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows, added
from sftdiag.values import Value

MAX_BLOCKS = 64
"""Enough for a trend and its noise, small enough to look at all of them when a block closes."""

COMPANIONS = ("grad_norm", "learning_rate", "entropy", "mean_token_accuracy")
_COMPANIONS = tuple(enumerate(COMPANIONS))


class Block(Value):
    """The mean of consecutive train rows; companions are None where no row had them."""

    count: int
    first_step: int
    last_step: int
    loss: float
    grad_norm: float | None = None
    learning_rate: float | None = None
    entropy: float | None = None
    mean_token_accuracy: float | None = None

    def __init__(
        self,
        count: int,
        first_step: int,
        last_step: int,
        loss: float,
        grad_norm: float | None = None,
        learning_rate: float | None = None,
        entropy: float | None = None,
        mean_token_accuracy: float | None = None,
    ) -> None:
        # Half of the rows of a short log make one: a third of the time of Value's own.
        fields = self.__dict__
        fields["count"], fields["first_step"], fields["last_step"] = count, first_step, last_step
        fields["loss"], fields["grad_norm"] = loss, grad_norm
        fields["learning_rate"], fields["entropy"] = learning_rate, entropy
        fields["mean_token_accuracy"] = mean_token_accuracy

    def merged(self, later: Block) -> Block:
        """Return the mean of this block and the next."""
        early, late = self.count, later.count
        count = early + late
        loss = (self.loss * early + later.loss * late) / count
        companions: list[float | None] = []
        for name in COMPANIONS:
            a, b = getattr(self, name), getattr(later, name)
            if a is None or b is None:
                companions.append(b if a is None else a)
            else:
                companions.append((a * early + b * late) / count)
        return Block(count, self.first_step, later.last_step, loss, *companions)


class Blocks:
    """The blocks that are closed, oldest first, and the one that is filling.

    When there are MAX_BLOCKS they are merged in pairs and later ones are twice as wide, so a run is
    seen at a resolution of 1/64 to 1/32 of itself.
    """

    def __init__(self) -> None:
        self.closed: list[Block] = []
        self.losses: list[float] = []
        self._width = 1
        self._open()

    def _open(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._first = 0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._counts = [0, 0, 0, 0]

    def add(self, record: LogRecord) -> bool:
        """Take in a train record with a finite loss; return whether it closed a block."""
        metrics, get = record.metrics, record.metrics.get
        if self._width == 1:
            # Adding to 0 is what a sum of one does: it makes -0.0 a 0.0.
            known: list[float | None] = []
            for name in COMPANIONS:
                value = get(name)
                known.append(value + 0.0 if value is not None and isfinite(value) else None)
            step, loss = record.step, metrics["loss"] + 0.0
            self._append(Block(1, step, step, loss, *known), loss)
            return True
        if self._count == 0:
            self._first = record.step
        self._count += 1
        self._sum += metrics["loss"]
        sums, counts = self._sums, self._counts
        for index, name in _COMPANIONS:
            value = get(name)
            if value is not None and isfinite(value):
                sums[index] += value
                counts[index] += 1
        if self._count < self._width:
            return False
        self._close(record.step)
        return True

    @property
    def room(self) -> int:
        """How many rows fit in before one closes the block."""
        return self._width - self._count - 1

    def take(self, rows: Rows) -> None:
        """Take in rows that there is room for."""
        if self._count == 0:
            self._first = rows.steps[0]
        self._count += rows.count
        self._sum = added(self._sum, rows.losses)
        for index, name in enumerate(COMPANIONS):
            if (values := rows.get(name)) is not None:
                self._sums[index] = added(self._sums[index], values)
                self._counts[index] += rows.count

    def _close(self, step: int) -> None:
        companions = [
            total / count if count else None
            for total, count in zip(self._sums, self._counts, strict=True)
        ]
        loss = self._sum / self._count
        block = Block(self._count, self._first, step, loss, *companions)
        self._open()
        self._append(block, loss)

    def _append(self, block: Block, loss: float) -> None:
        self.closed.append(block)
        if len(self.closed) == MAX_BLOCKS:
            pairs = zip(self.closed[::2], self.closed[1::2], strict=True)
            self.closed = [first.merged(second) for first, second in pairs]
            self._width *= 2
            self.losses = [block.loss for block in self.closed]
        else:
            self.losses.append(loss)

    def rewind(self, step: int) -> None:
        """Forget the rows from this step on; blocks are as wide as before unless none is left."""
        self.closed = [block for block in self.closed if block.last_step < step]
        self.losses = [block.loss for block in self.closed]
        if not self.closed:
            self._width = 1
        self._open()
