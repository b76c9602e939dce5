"""Rows: a stretch of ordinary train rows as columns, for what can take them in all at once.

Offline, most rows of a log change nobody's mind: every number in them is near the ones before, and
the blocks that they close say what those before them said. Whoever follows the rows one by one then
says so for a whole stretch (``passes``) and takes it in at once (``take``), to the state in which
the rows one by one would have left it. Where one of them cannot say so, the stretch is fed row by
row.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import takewhile
from math import isfinite
from operator import add, le

from sftdiag.hints import TYPE_CHECKING, Any
from sftdiag.records import LARGEST, MAX_EPOCHS, MAX_STEPS, SMALLEST, are_plain, as_float

if TYPE_CHECKING:
    from sftdiag.signals.blocks import Closing

Entry = Mapping[str, Any]

COLUMNS = (
    *("loss", "epoch", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy"),
    *("step_seconds", "step_tokens"),
)
"""Metrics that a detector or a signal reads of each train row; of ``num_tokens`` the last does."""

_VALUES: Any = dict.values
"""Of a row, in the order of its names."""

_SUM_ADDS = sys.version_info < (3, 12)

SHORTEST = 6
"""Rows from which looking at them at once costs less than one by one."""

LONGEST = 128
"""Rows looked at at once: an odd one among them sends all of them to be fed one by one."""


class Rows:
    """Train rows in order, each with the same metrics, all of them above 0 and finite.

    Attributes:
        count: how many there are, :data:`SHORTEST` at least.
        steps: their steps, each later than the one before.
        losses: their losses.
        low: the lowest of them; ``high`` the highest.
        columns: of the metrics in :data:`COLUMNS` those that the rows have.
        closings: the blocks that they close; the signals know, before anyone else looks.
    """

    __slots__ = ("_entries", "closings", "columns", "count", "high", "losses", "low", "steps")

    def __init__(
        self, entries: Sequence[Entry], steps: list[int], columns: dict[str, list[float]]
    ) -> None:
        self.count = len(steps)
        self._entries, self.steps, self.columns = entries, steps, columns
        self.losses = columns["loss"]
        self.low, self.high = min(self.losses), max(self.losses)
        self.closings: tuple[Closing, ...] = ()

    def head(self) -> Rows:
        """Return their first half."""
        half = self.count // 2
        columns = {name: column[:half] for name, column in self.columns.items()}
        return Rows(self._entries[:half], self.steps[:half], columns)

    @property
    def tokens(self) -> float | None:
        """The last one's token count, or None."""
        tokens = as_float(self._entries[-1].get("num_tokens"))
        return tokens if tokens is not None and isfinite(tokens) else None

    @property
    def names(self) -> Iterable[str]:
        """The names of the metrics that each of the rows has, whatever they are."""
        return self._entries[0]

    def have(self, name: str) -> bool:
        """Return whether the rows have a metric, one of :data:`COLUMNS` or any other."""
        return name in self._entries[0]

    def get(self, name: str) -> list[float] | None:
        """Return a column, or None where the rows have none."""
        return self.columns.get(name)


class Lines:
    """Train rows that are known by their columns; each becomes a row where it is asked for.

    Args:
        steps: whole numbers.
        columns: floats by names among :data:`COLUMNS`, in the order of a row's.
        beside: what every row has besides; of a name that is in both the column counts.
    """

    __slots__ = ("_beside", "_columns", "_steps")

    def __init__(
        self, steps: list[int], columns: dict[str, list[float]], beside: Mapping[str, Any]
    ) -> None:
        self._steps, self._columns, self._beside = steps, columns, beside

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, place: int) -> dict[str, Any]:
        own = {name: column[place] for name, column in self._columns.items()}
        return {"step": self._steps[place], **own, **self._beside, **own}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.__getitem__, range(len(self._steps)))

    def stretch(self, start: int, end: int) -> tuple[Rows | None, int]:
        """Return the stretch of ordinary train rows among these, or None, and where it ends."""
        first, epochs = self[start], self._columns.get("epoch")
        if not are_plain(tuple(first)):
            return None, start + 1
        if epochs is not None:
            end = start + _within_epoch(epochs[start:end])
        count = end - start
        if count < SHORTEST:
            return None, end
        every: dict[str, Sequence[Any]] = {n: [value] * count for n, value in self._beside.items()}
        every |= {name: column[start:end] for name, column in self._columns.items()}
        every["step"] = self._steps[start:end]
        return _checked([first] * count, every), end


def _alike(entries: Sequence[Entry]) -> int:
    """Return how many of the rows, from the first on, have its names in its order."""
    first, count = entries[0], 0
    for entry in entries:
        if type(entry) is not dict or len(entry) != len(first):
            break
        count += 1
    alike = entries[:count]
    for name, column in zip(first, zip(*alike, strict=True), strict=True):
        if column.count(name) < count:
            return len([*takewhile(tuple(first).__eq__, map(tuple, alike))])
    return count


def _within_epoch(epochs: Sequence[Any]) -> int:
    """Return how many rows stand before an epoch begins: its edge is looked at row by row."""
    count = len(epochs)
    if set(map(type, epochs)) != {float} or not 0.0 <= epochs[0] <= epochs[-1] < MAX_EPOCHS:
        return count
    if int(epochs[0]) == int(epochs[-1]):
        return count
    return bisect_left(epochs, float(int(epochs[0]) + 1))


def _are_ordinary(numbers: list[Any]) -> bool:
    """Return whether all of them are floats above 0 that a float32 could be."""
    least, most = SMALLEST, LARGEST
    for number in numbers:
        if type(number) is not float:
            return False
        value: float = number
        if not least <= value <= most:
            return False
    return True


def _checked(entries: Sequence[Entry], every: Mapping[str, Sequence[Any]]) -> Rows | None:
    """Return the rows where :func:`~sftdiag.records.parse_entry` takes all numbers as they are."""
    count = len(entries)
    steps = [*every["step"][:count]]
    if set(map(type, steps)) != {int} or steps[0] < 0 or steps[-1] > MAX_STEPS:
        return None
    if any(map(le, steps[1:], steps)):
        return None
    columns = {name: [*every[name][:count]] for name in COLUMNS if name in every}
    if not all(map(_are_ordinary, columns.values())):
        return None
    if "epoch" in columns and max(columns["epoch"]) >= MAX_EPOCHS:
        return None
    return Rows(entries, steps, columns)


def rows_of(entries: Sequence[Entry] | Lines, start: int, most: int) -> tuple[Rows | None, int]:
    """Return the stretch of ordinary train rows from here on, or None, and where it ends.

    Args:
        entries: a log's rows, as written, or known by their columns.
        start: where to begin.
        most: rows at the most.
    """
    end = min(start + most, start + LONGEST, len(entries))
    if isinstance(entries, Lines):
        return entries.stretch(start, end)
    first = entries[start]
    if type(first) is not dict or "step" not in first or not are_plain(tuple(first)):
        return None, start + 1
    stretch = entries[start:end]
    stretch = stretch[: _alike(stretch)]
    if len(stretch) < SHORTEST:
        return None, start + len(stretch)
    # By column at once: no name is looked up in each of the rows.
    every = dict(zip(first, zip(*map(_VALUES, stretch), strict=True), strict=True))
    if "epoch" in every:
        stretch = stretch[: _within_epoch(every["epoch"])]
    if len(stretch) < SHORTEST:
        return None, start + len(stretch)
    return _checked(stretch, every), start + len(stretch)


def added(total: float, values: Sequence[float]) -> float:
    """Return the total with each value added in turn, as one by one: newer sum() rounds less."""
    return sum(values, total) if _SUM_ADDS else reduce(add, values, total)
