"""Blocks: the train loss of a run of any length as at most :data:`MAX_BLOCKS` means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from operator import add

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


class Closing:
    """The blocks that rows will close, behind those that are closed; none is merged meanwhile.

    Attributes:
        before: how many are closed already.
        blocks: these, and those that the rows close.
        losses: the losses of all of them.
        sums: the sums of the first so many losses, none to all.
        rows: how many of the rows the last of them takes.
    """

    __slots__ = ("before", "blocks", "losses", "rows", "sums")

    def __init__(self, closed: Sequence[Block], losses: Sequence[float], new: list[Block]) -> None:
        self.before = len(closed)
        self.blocks = [*closed, *new]
        self.losses = [*losses, *(block.loss for block in new)]
        self.sums = [*accumulate(self.losses, initial=0.0)]
        self.rows = 0

    @property
    def counts(self) -> range:
        """How many blocks there are after each one that closes."""
        return range(self.before + 1, len(self.blocks) + 1)


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
        """How many rows fit in before blocks are merged."""
        return self._width * (MAX_BLOCKS - len(self.closed)) - self._count - 1

    def closing(self, rows: Rows) -> Closing | None:
        """Return the blocks that rows will close for which there is room; None where none."""
        width = self._width
        begun = width - self._count if self._count else 0
        whole = (rows.count - begun) // width
        if rows.count < begun or begun + whole == 0:
            return None
        end = begun + whole * width
        steps, last = rows.steps, slice(begun + width - 1, end, width)
        means = [
            _means(rows.get(name), self._sums[index], self._counts[index], begun, end, width)
            for index, name in enumerate(COMPANIONS)
        ]
        new = map(
            Block,
            [width] * (whole + (begun > 0)),
            [self._first, *steps[begun:end:width]] if begun else steps[:end:width],
            [steps[begun - 1], *steps[last]] if begun else steps[last],
            _means(rows.losses, self._sum, self._count, begun, end, width),
            *means,
        )
        closing = Closing(self.closed, self.losses, [*new])
        closing.rows = end
        return closing

    def take(self, rows: Rows) -> None:
        """Take in rows that there is room for."""
        done = 0
        if (closing := rows.closing) is not None:
            self.closed, self.losses, done = closing.blocks, closing.losses, closing.rows
            self._open()
        if done == rows.count:
            return
        if self._count == 0:
            self._first = rows.steps[done]
        self._count += rows.count - done
        self._sum = added(self._sum, rows.losses[done:])
        for index, name in enumerate(COMPANIONS):
            if (values := rows.get(name)) is not None:
                self._sums[index] = added(self._sums[index], values[done:])
                self._counts[index] += rows.count - done

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


def _means(
    column: Sequence[float] | None, total: float, count: int, begun: int, end: int, width: int
) -> list[float | None]:
    """Return the means of blocks, added up as one by one.

    Args:
        column: what each row has, or None.
        total: the sum over the rows of the block that is filling.
        count: how many of these had any.
        begun: rows with which that block closes; 0 where none is filling.
        end: the row behind the last block.
        width: rows of each block.
    """
    means: list[float | None] = []
    if column is None:
        if begun:
            means.append(total / count if count else None)
        return means + [None] * ((end - begun) // width)
    if begun:
        means.append(added(total, column[:begun]) / (count + begun))
    totals = column[begun:end:width]
    for place in range(begun + 1, min(begun + width, end)):
        totals = [*map(add, totals, column[place:end:width])]
    return means + [each / width for each in totals]
