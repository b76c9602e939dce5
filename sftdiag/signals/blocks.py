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

    Made for who asks for one, so it is no Value: a third of the time.
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


class Columns:
    """Blocks of the same width, oldest first: what each of them has, by column.

    Attributes:
        first_steps: the first step of each.
        last_steps: its last.
        losses: its mean loss.
        companions: its means of each of :data:`COMPANIONS`, or None.
    """

    __slots__ = ("companions", "first_steps", "last_steps", "losses")

    def __init__(
        self,
        first_steps: list[int],
        last_steps: list[int],
        losses: list[float],
        companions: list[list[Any]],
    ) -> None:
        self.first_steps, self.last_steps = first_steps, last_steps
        self.losses, self.companions = losses, companions

    def followed(self, later: Columns) -> Columns:
        """Return these blocks and later ones."""
        return Columns(
            self.first_steps + later.first_steps,
            self.last_steps + later.last_steps,
            self.losses + later.losses,
            [mine + other for mine, other in zip(self.companions, later.companions, strict=True)],
        )

    def first(self, count: int) -> Columns:
        """Return the first so many."""
        companions = [column[:count] for column in self.companions]
        steps = self.first_steps[:count], self.last_steps[:count]
        return Columns(*steps, self.losses[:count], companions)

    @property
    def grad_norms(self) -> list[float | None]:
        """The mean gradient norm of each, or None."""
        return self.of("grad_norm")

    @property
    def accuracies(self) -> list[float | None]:
        """The mean token accuracy of each, or None."""
        return self.of("mean_token_accuracy")

    def of(self, name: str) -> list[float | None]:
        """Return the mean of one of :data:`COMPANIONS` of each, or None."""
        return self.companions[COMPANIONS.index(name)]

    def merged(self) -> Columns:
        """Return the blocks in pairs, an even number of them."""
        return Columns(
            self.first_steps[::2],
            self.last_steps[1::2],
            _in_pairs(self.losses),
            [*map(_in_pairs, self.companions)],
        )

    def made(self, width: int, start: int) -> Iterable[Block]:
        """Return the blocks from a place on, of so many rows each."""
        columns = [column[start:] for column in self.companions]
        steps = self.first_steps[start:], self.last_steps[start:]
        return map(Block, repeat(width), *steps, self.losses[start:], *columns)


def _in_pairs(means: Sequence[Any]) -> list[Any]:
    """Return the mean of each two means over equally many rows."""
    early, late = means[::2], means[1::2]
    try:
        return [both / 2 for both in map(add, early, late)]
    except TypeError:
        return [*map(_mean, early, late)]


def _mean(a: float | None, b: float | None) -> float | None:
    """Return the mean of two means; the other's where one has none."""
    if a is None or b is None:
        return b if a is None else a
    return (a + b) / 2


class Closing:
    """Blocks that rows will close, behind those that are closed, until blocks are merged.

    Attributes:
        before: how many stand before the first that closes; of merged ones all but the last.
        columns: these, and those that the rows close.
        losses: the losses of all of them.
        sums: the sums of the first so many losses, none to all.
        rows: how many of the rows the last of them takes.
        width: rows of a block from then on.
    """

    __slots__ = ("before", "columns", "losses", "rows", "sums", "width")

    def __init__(self, before: int, columns: Columns, rows: int, width: int) -> None:
        self.before, self.columns, self.losses = before, columns, columns.losses
        self.sums = [*accumulate(columns.losses, initial=0.0)]
        self.rows, self.width = rows, width

    @property
    def new(self) -> list[float]:
        """The losses of the blocks that close."""
        return self.losses[self.before :]

    @property
    def counts(self) -> range:
        """How many blocks there are after each one that closes."""
        return range(self.before + 1, len(self.losses) + 1)


class Blocks:
    """The blocks that are closed, oldest first, and the one that is filling.

    When there are MAX_BLOCKS they are merged in pairs and later ones are twice as wide, so a run is
    seen at a resolution of 1/64 to 1/32 of itself.
    """

    def __init__(self) -> None:
        self.columns = Columns([], [], [], [[], [], [], []])
        self._made: list[Block] = []
        self._width = 1
        self._open()

    def _open(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._first = 0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._missing = [0, 0, 0, 0]

    @property
    def closed(self) -> list[Block]:
        """The closed ones; each is made once, when it is first asked for."""
        made = self._made
        if len(made) < len(self.columns.losses):
            made += self.columns.made(self._width, len(made))
        return made

    def add(self, record: LogRecord) -> bool:
        """Take in a train record with a finite loss; return whether it closed a block."""
        metrics, get = record.metrics, record.metrics.get
        if self._width == 1:
            # Adding to 0 is what a sum of one does: it makes -0.0 a 0.0.
            for column, name in zip(self.columns.companions, COMPANIONS, strict=True):
                value = get(name)
                known = value is not None and isfinite(value)
                column.append(value + 0.0 if known and value is not None else None)
            self._append(record.step, record.step, metrics["loss"] + 0.0)
            return True
        if self._count == 0:
            self._first = record.step
        self._count += 1
        self._sum += metrics["loss"]
        sums = self._sums
        for index, name in _COMPANIONS:
            value = get(name)
            if value is None or not isfinite(value):
                self._missing[index] += 1
            else:
                sums[index] += value
        if self._count < self._width:
            return False
        self._close(record.step)
        return True

    def closings(self, rows: Rows) -> tuple[Closing, ...]:
        """Return the blocks that rows will close: a part for each time that blocks are merged."""
        found: list[Closing] = []
        closed, width = self.columns, self._width
        before, seen = len(closed.losses), 0
        done, begun = 0, width - self._count if self._count else 0
        while (left := rows.count - done) >= (begun or width):
            room = MAX_BLOCKS - len(closed.losses) - (begun > 0)
            end = done + begun + min(room, (left - begun) // width) * width
            closed = closed.followed(self._new(rows, done, begun, end, width))
            seen = end
            if len(closed.losses) == MAX_BLOCKS:
                if before < MAX_BLOCKS - 1:
                    found.append(Closing(before, closed.first(MAX_BLOCKS - 1), end, width))
                # What all of them say now is looked at once the last one closes.
                closed, width = closed.merged(), 2 * width
                before = MAX_BLOCKS // 2 - 1
            done, begun = end, 0
        if before < len(closed.losses):
            found.append(Closing(before, closed, seen, width))
        return tuple(found)

    def _new(self, rows: Rows, done: int, begun: int, end: int, width: int) -> Columns:
        """Return the blocks of the rows from one to another; some may end the one that fills."""
        first, steps = done + begun, rows.steps
        starts, ends = steps[first:end:width], steps[first + width - 1 : end : width]
        if begun:
            starts, ends = [self._first, *starts], [steps[begun - 1], *ends]
        taken = (begun, first, end, width)
        companions = [
            _means(rows.get(name), self._sums[index], self._count - self._missing[index], *taken)
            for index, name in _COMPANIONS
        ]
        losses = _means(rows.losses, self._sum, self._count, *taken)
        return Columns(starts, ends, losses, companions)

    def take(self, rows: Rows) -> None:
        """Take in rows that there is room for."""
        done = 0
        if rows.closings:
            last = rows.closings[-1]
            self.columns = last.columns
            if last.width != self._width:
                self._made, self._width = [], last.width
            done = last.rows
            self._open()
        if done == rows.count:
            return
        if self._count == 0:
            self._first = rows.steps[done]
        self._count += rows.count - done
        self._sum = added(self._sum, rows.losses[done:])
        for index, name in _COMPANIONS:
            if (values := rows.get(name)) is not None:
                self._sums[index] = added(self._sums[index], values[done:])
            else:
                self._missing[index] += rows.count - done

    def _close(self, step: int) -> None:
        columns = zip(self.columns.companions, self._sums, self._missing, strict=True)
        for column, total, missing in columns:
            count = self._count - missing
            column.append(total / count if count else None)
        first, loss = self._first, self._sum / self._count
        self._open()
        self._append(first, step, loss)

    def _append(self, first_step: int, last_step: int, loss: float) -> None:
        """Close a block; its companions stand in their columns."""
        columns = self.columns
        columns.first_steps.append(first_step)
        columns.last_steps.append(last_step)
        columns.losses.append(loss)
        if len(columns.losses) == MAX_BLOCKS:
            self.columns = columns.merged()
            self._made, self._width = [], 2 * self._width

    def rewind(self, step: int) -> None:
        """Forget the rows from this step on; blocks are as wide as before unless none is left."""
        left = [last for last in self.columns.last_steps if last < step]
        self.columns, self._made = self.columns.first(len(left)), []
        if not left:
            self._width = 1
        self._open()


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
    if width == 1 and column is not None:
        return [*column[first:end]]
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
    return filled + [each / width for each in totals]
