"""Row log: which rows of the training set the last steps were made of.

The batch sampler's numbers are looked at as they pass by: its class is replaced by one that hands
on what it iterates over, so that nothing is drawn, drawn earlier or in another order. Workers and
the loader's look ahead take batches before they are trained on; each step is made of the oldest
that are waiting. A stream has no sampler: its rows are told by their place.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sftdiag.findings import StepRows

MOST = 2**16
"""Row numbers kept, 8 bytes each: half a megabyte, and of 128 rows a step the last 400 steps."""

AT_ONCE = 64
"""Steps whose rows are put in their places together: behind each step it would be slow."""

OF_A_BATCH, OF_A_STEP = 12, 24
"""What else is kept of a micro-batch and of a step, in row numbers."""


class RowLog:
    """Follows the rows of one rank.

    Args:
        rank: of this process.
        world: how many there are.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self._rank, self._world = rank, world
        self._undo: tuple[Any, type] | None = None
        self._reset()

    def _reset(self) -> None:
        self._drawn: deque[array[int]] = deque()
        self._steps: deque[tuple[int, float | None, list[array[int]]]] = deque()
        self._waiting: list[tuple[int, float | None, int]] = []
        self._kept = 0
        self._skip = 0
        self._skip_first = 0
        self._listening = False
        self._next: int | None = None
        self._stream = False

    def begin(self, loader: Any, args: Any, step: int) -> None:
        """Look at a loader's sampler from now on.

        Args:
            loader: the trainer's, as accelerate prepared it.
            args: the run's TrainingArguments.
            step: the optimizer steps done before, of a resume.
        """
        from torch.utils.data import BatchSampler, IterableDataset

        self.end()
        self._reset()
        if not getattr(args, "dataloader_in_order", True):
            return  # Workers that overtake each other: which batch came is not known.
        dataset = getattr(loader, "dataset", None)
        self._stream = isinstance(dataset, IterableDataset)
        sampler = getattr(loader, "batch_sampler", None)
        if not isinstance(sampler, BatchSampler):
            sampler = getattr(loader, "sampler", None)
        accumulated = args.gradient_accumulation_steps
        batches = _length(loader)
        if args.ignore_data_skip:
            self._skip_first = 0
        elif batches is None:
            self._skip_first = step * accumulated
        else:
            # As the trainer counts the batches that it passes over in the epoch it resumes in.
            updates = max(batches // accumulated + (batches % accumulated > 0), 1)
            self._skip_first = step % updates * accumulated
        if self._stream:
            workers = args.dataloader_num_workers
            self._next = self._skip_first if workers <= 1 else None
        elif isinstance(sampler, BatchSampler) and not (self._world > 1 and _dispatches(loader)):
            self._look_at(sampler)

    def _look_at(self, sampler: Any) -> None:
        kind, passed = type(sampler), self._passed

        def iterate(self: Any) -> Iterator[Any]:
            return passed(kind.__iter__(self))

        sampler.__class__ = type(kind.__name__, (kind,), {"__iter__": iterate})
        self._undo = sampler, kind

    def end(self) -> None:
        """Leave the sampler as it was."""
        if self._undo is not None:
            sampler, kind = self._undo
            sampler.__class__ = kind
            self._undo = None

    def epoch_begins(self) -> None:
        """Note that the trainer is about to iterate over its loader, from the beginning."""
        self.place()
        self._drawn.clear()
        self._skip, self._skip_first = self._skip_first, 0
        if self._next is not None:
            self._next = self._skip
        self._listening = True

    def _passed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Hand on a sampler's batches; those that the trainer asked for are kept."""
        if not self._listening:
            yield from batches
            return
        self._listening = False
        for batch in batches:
            if self._skip:
                self._skip -= 1
            else:
                self._drawn.append(_numbers(batch))
            yield batch

    @property
    def by_place(self) -> bool:
        """Whether a micro-batch's rows are told by how many there are: of a stream."""
        return self._next is not None

    def trained(self, batch: Any) -> None:
        """Note a micro-batch of this rank's, of a stream."""
        place, rows = self._next or 0, len(batch) if batch is not None else 0
        first = (place * self._world + self._rank) * rows
        self._drawn.append(array("q", range(first, first + rows)))
        if rows:
            self._next = place + 1

    def given(self, step: int, epoch: float | None, rows: Any) -> None:
        """Note the rows of an optimizer step as a loop of one's own tells them."""
        self._drawn.append(_numbers(rows))
        self.stepped(step, epoch, 1)

    def stepped(self, step: int, epoch: float | None, batches: int) -> None:
        """Note that an optimizer step was made of the oldest micro-batches that are waiting.

        Args:
            step: optimizer steps done with it.
            epoch: epochs done with it.
            batches: how many micro-batches.
        """
        self._waiting.append((step, epoch, batches))
        if len(self._waiting) >= AT_ONCE:
            self.place()

    def place(self) -> None:
        """Take for each step that waits the oldest micro-batches drawn."""
        drawn = self._drawn
        for step, epoch, batches in self._waiting:
            taken = [drawn.popleft() for _ in range(min(batches, len(drawn)))]
            self._steps.append((step, epoch, taken))
            self._kept += _cost(taken)
        self._waiting.clear()
        while self._kept > MOST and len(self._steps) > 1:
            self._kept -= _cost(self._steps.popleft()[2])

    def of(self, steps: Sequence[int]) -> list[StepRows]:
        """Return the rows of these steps, of those that are still known."""
        self.place()
        wanted = set(steps)
        return [
            StepRows(
                step, epoch, tuple(n for rows in taken for n in rows), self._rank, self._stream
            )
            for step, epoch, taken in self._steps
            if step in wanted and taken
        ]


def _cost(taken: Sequence[array[int]]) -> int:
    return OF_A_STEP + OF_A_BATCH * len(taken) + sum(map(len, taken))


def _dispatches(loader: Any) -> bool:
    """Return whether one rank reads the batches of all and hands them on."""
    return any(kind.__name__ == "DataLoaderDispatcher" for kind in type(loader).__mro__)


def _numbers(batch: Any) -> array[int]:
    """Return a batch's row numbers; none where they are no numbers."""
    try:
        return array("q", batch)
    except (TypeError, ValueError, OverflowError):
        return array("q")


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None
