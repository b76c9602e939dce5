"""Blocks: the train loss of a run of any length as at most :data:`MAX_BLOCKS` means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from math import isfinite
from operator import add

from sftdiag.hints import Any
from sftdiag.records import LogRecord
from sftdiag.signals.rows import Rows, added

MAX_BLOCKS = 64
"""Enough for a trend and its noise, small enough to look at all of them when a block closes."""

COMPANIONS = ("grad_norm", "learning_rate", "entropy", "mean_token_accuracy")
_COMPANIONS = tuple(enumerate(COMPANIONS))


class Block:
    """The mean of consecutive train rows; companions are None where no row had them.

    Half of the rows of a short log make one, so it is no Value: a third of the time.
    """

    __slots__ = ("count", "first_step", "last_step", "loss", *COMPANIONS)

    count: int
    first_step: int
    last_step: int
    loss: float
    grad_norm: float | None
    learning_rate: float | None
    entropy: float | None
    mean_token_accuracy: float | None

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
        self.count, self.first_step, self.last_step = count, first_step, last_step
        self.loss, self.grad_norm, self.learning_rate = loss, grad_norm, learning_rate
        self.entropy, self.mean_token_accuracy = entropy, mean_token_accuracy

    def merged(self, later: Block) -> Block:
        """Return the mean of this block and the next."""
        early, late = self.count, later.count
        count = early + late
        return Block(
            count,
            self.first_step,
            later.last_step,
            (self.loss * early + later.loss * late) / count,
            _mean(self.grad_norm, early, later.grad_norm, late),
            _mean(self.learning_rate, early, later.learning_rate, late),
            _mean(self.entropy, early, later.entropy, late),
            _mean(self.mean_token_accuracy, early, later.mean_token_accuracy, late),
        )


def _mean(a: float | None, early: int, b: float | None, late: int) -> float | None:
    """Return the mean of two means over so many rows each; the other's where one has none."""
    if a is None or b is None:
        return b if a is None else a
    return (a * early + b * late) / (early + late)


class Closing:
    """Blocks that rows will close, behind those that are closed, until blocks are merged.

    Attributes:
        before: how many stand before the first that closes; of merged ones all but the last.
        blocks: these, and those that the rows close.
        losses: the losses of all of them.
        sums: the sums of the first so many losses, none to all.
        rows: how many of the rows the last of them takes.
        width: rows of a block from then on.
    """

    __slots__ = ("before", "blocks", "losses", "rows", "sums", "width")

    def __init__(
        self, closed: Sequence[Block], new: Sequence[Block], rows: int, width: int
    ) -> None:
        self.before = len(closed)
        self.blocks = [*closed, *new]
        self.losses = [block.loss for block in self.blocks]
        self.sums = [*accumulate(self.losses, initial=0.0)]
        self.rows, self.width = rows, width

    @property
    def new(self) -> list[float]:
        """The losses of the blocks that close."""
        return self.losses[self.before :]

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

    def closings(self, rows: Rows) -> tuple[Closing, ...]:
        """Return the blocks that rows will close: a part for each time that blocks are merged."""
        found: list[Closing] = []
        closed, width = self.closed, self._width
        new: list[Block] = []
        done, begun = 0, width - self._count if self._count else 0
        while (left := rows.count - done) >= (begun or width):
            room = MAX_BLOCKS - len(closed) - len(new) - (begun > 0)
            end = done + begun + min(room, (left - begun) // width) * width
            new = [*new, *self._new(rows, done, begun, end, width)]
            if len(closed) + len(new) == MAX_BLOCKS:
                if len(new) > 1:
                    found.append(Closing(closed, new[:-1], end, width))
                closed, width = _merged([*closed, *new]), 2 * width
                # What all of them say now is looked at once the last one closes.
                new = [closed.pop()]
            done, begun = end, 0
        if new:
            found.append(Closing(closed, new, done, width))
        return tuple(found)

    def _new(self, rows: Rows, done: int, begun: int, end: int, width: int) -> Iterable[Block]:
        """Return the blocks of the rows from one to another; some may end the one that fills."""
        first, steps = done + begun, rows.steps
        starts, ends = steps[first:end:width], steps[first + width - 1 : end : width]
        if begun:
            starts, ends = [self._first, *starts], [steps[begun - 1], *ends]
        taken = (begun, first, end, width)
        columns = (
            _means(rows.get(name), self._sums[index], self._counts[index], *taken)
            for index, name in _COMPANIONS
        )
        losses = _means(rows.losses, self._sum, self._count, *taken)
        return map(Block, repeat(width), starts, ends, losses, *columns)

    def take(self, rows: Rows) -> None:
        """Take in rows that there is room for."""
        done = 0
        if rows.closings:
            last = rows.closings[-1]
            self.closed, self.losses = last.blocks, last.losses
            self._width, done = last.width, last.rows
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
            self.closed = _merged(self.closed)
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


def _merged(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks in pairs."""
    return [*map(Block.merged, blocks[::2], blocks[1::2])]


def _means(
    column: Sequence[float] | None,
    total: float,
    count: int,
    begun: int,
    first: int,
    end: int,
    width: int,
) -> list[Any]:
    """Return the means of blocks, added up as one by one.

    Args:
        column: what each row has, or None.
        total: the sum over the rows of the block that is filling.
        count: how many of these had any.
        begun: rows that end that block, 0 where none is filling.
        first: the row behind these.
        end: the row behind the last block.
        width: rows of each block.
    """
    filled: list[Any] = []
    if column is None:
        if begun:
            filled.append(total / count if count else None)
        return filled + [None] * ((end - first) // width)
    if begun:
        filled.append(added(total, column[:begun]) / (count + begun))
    totals: Sequence[float] = column[first:end:width]
    for place in range(first + 1, min(first + width, end)):
        totals = [*map(add, totals, column[place:end:width])]
    return [*filled, *(totals if width == 1 else (each / width for each in totals))]
