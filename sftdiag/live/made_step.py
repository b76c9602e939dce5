"""A step that is made, and whether the steps are what the trainer logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise, repeat, zip_longest
from math import isfinite, prod, sqrt
from operator import itemgetter, methodcaller, sub
from typing import Any, NamedTuple

from sftdiag.sources.every_step import MEASURED, PLACES, packed_columns

AGREES = 1e-3
"""Share by which a log row's loss may differ from the mean of its steps: losses in bfloat16 are
added up in float32 here and there, in another order."""

ROUNDED = 1e-4
"""Likewise in nats: some trainers round what they log to four decimals."""


Skip = tuple[float | None, float | None, float | None]


NOT_SKIPPED: Skip = (None, None, None)
"""Why a step was kept out of the weights, the usual loss then and the bound above it."""


Columns = Sequence[Sequence[Any] | None]
"""As in the rows of :mod:`sftdiag.sources.every_step`; None for one of which nothing is known, as
for those behind the last."""


class Brought(NamedTuple):
    """Steps as they were brought over: what is made of them waits until it is asked for.

    Attributes:
        ended: them, as the tape noted them.
        batches: tokens and learning rate of each micro-batch.
        values: the losses of these, and gradient norms.
        known: which steps have a norm.
        parts: see :func:`part_of_norm`.
        clock: when the step before them was done.
        untimed: places of those before which something else came.
        skips: of those that were skipped, by their places.
        beside: columns of what the trainer measured.
    """

    ended: Sequence[tuple[int, float | None, float, int, int]]
    batches: Sequence[tuple[int, Any]]
    values: list[float]
    known: Sequence[bool]
    parts: int
    clock: float
    untimed: Collection[int]
    skips: Mapping[int, Skip]
    beside: Columns

    def is_plain(self) -> bool:
        """Return whether each step is a micro-batch and has a norm, of one part, and was made."""
        ended, batches = self.ended, self.batches
        alike = len(ended) == len(batches) == len(self.values) - len(batches)
        return alike and self.parts == 1 and not self.skips and type(batches[-1][1]) is float

    def columns(self) -> Columns:
        """Return what is known of the steps."""
        steps, epochs, times, ends, _ = zip(*self.ended, strict=True)
        done = len(self.batches)
        losses, rates, tokens = by_step(self.values[:done], self.batches, ends)
        seconds: list[float | None] = [*map(sub, times, (self.clock, *times))]
        for place in self.untimed:
            if place < len(seconds):
                seconds[place] = None
        norms = norms_of(self.values[done:], self.known, self.parts)
        kept = [self.skips.get(place, NOT_SKIPPED) for place in range(len(steps))]
        skipped = zip(*kept, strict=True) if self.skips else NOT_SKIPPED
        return [steps, losses, norms, rates, epochs, seconds, tokens, *skipped, *self.beside]


class Taken:
    """Steps that were brought over.

    Args:
        columns: what is known of them.
        brought: what the columns are made of where they are first asked for, instead.
    """

    def __init__(self, *columns: Sequence[Any] | None, brought: Brought | None = None) -> None:
        self._columns: Columns | None = None if brought is not None else columns
        self._brought = brought
        self._rows: bytes | None = None

    def __bool__(self) -> bool:
        return self._brought is not None or bool(self._columns)

    @property
    def columns(self) -> Columns:
        """What is known of them."""
        if self._columns is None:
            assert self._brought is not None
            self._columns = self._brought.columns()
        return self._columns

    def column(self, name: str) -> Sequence[Any]:
        """Return a column; of one of which nothing is known, nothing."""
        place = PLACES[name]
        return (self.columns[place] if place < len(self.columns) else None) or ()

    @property
    def last(self) -> int:
        """Steps done with the last of them."""
        brought = self._brought
        return brought.ended[-1][0] if brought is not None else int(self.column("step")[-1])

    def looked_at(self) -> tuple[Sequence[float], Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Return losses, norms, rates and reasons of a skip: in what is usual nothing is made."""
        brought = self._brought
        if brought is not None and brought.is_plain():
            done = len(brought.batches)
            values = brought.values
            return values[:done], values[done:], [*map(_RATE, brought.batches)], ()
        losses, norms, known, skipped = (self.column(name) for name in _LOOKED_AT)
        return losses, norms, known, skipped

    @property
    def rows(self) -> bytes:
        """Them as rows of their file, made where they are first asked for."""
        if self._rows is None:
            self._rows = packed_columns(self.columns)
        return self._rows


NO_STEPS = Taken()

_LOOKED_AT = ("loss", "grad_norm", "learning_rate", "skipped")
"""What tells a NaN, a zero, a spike, a blow-up, a rate that jumps or only the log row knows, a step
that a guard skipped."""


def joined(parts: Sequence[Taken]) -> Taken:
    """Return steps that were brought over one after another as one."""
    if len(parts) == 1:
        return parts[0]
    whole = zip_longest(*(part.columns for part in parts))
    counts = [len(part.column("step")) for part in parts]
    return Taken(
        *(
            [
                value
                for column, count in zip(columns, counts, strict=True)
                for value in (column or repeat(None, count))
            ]
            for columns in whole
        )
    )


def whole_norm(mean: float, parts: int) -> float:
    """Return the gradient norm, of the mean over the ranks of what each kept of it."""
    return sqrt(mean * parts) if parts > 1 else mean


def part_of_norm(norm: Any) -> tuple[Any, int] | None:
    """Return what this rank keeps of a DTensor gradient norm, and in how many parts that is.

    Under FSDP2 a rank has the norm of its own gradients, until the trainer logs: asking for the
    whole is a collective, and at every step. The square of its own is kept instead, which the mean
    over the ranks adds up; of a norm in one part, the norm. None where it is neither.
    """
    sizes = []
    for size, place in zip(norm.device_mesh.shape, norm.placements, strict=True):
        if place.is_replicate():
            continue
        if not place.is_partial() or getattr(place, "norm_type", None) != 2:
            return None
        sizes.append(size)
    parts = prod(sizes)
    own = norm.detach().to_local().float()
    return (own.square() if parts > 1 else own), parts


_SIZE, _RATE = methodcaller("numel"), itemgetter(1)


def last_of_each(norms: Sequence[Any], ends: Sequence[int]) -> tuple[list[Any], list[bool]]:
    """Return the last gradient norm of each step that has one, and which steps have.

    What is not one number is none.

    Args:
        norms: of all steps.
        ends: how many there were by the end of each.
    """
    try:
        if [*ends] == [*range(1, len(norms) + 1)] and {*map(_SIZE, norms)} == {1}:
            return [*norms], [True] * len(norms)
    except AttributeError:
        pass  # Numbers are among them.
    single = [
        [norm for norm in norms[start:end] if isinstance(norm, (int, float)) or norm.numel() == 1]
        for start, end in pairwise((0, *ends))
    ]
    return [of_step[-1] for of_step in single if of_step], [bool(of_step) for of_step in single]


def norms_of(values: Sequence[float], known: Sequence[bool], parts: int) -> Sequence[float | None]:
    """Return the gradient norm of each step, None where it has none.

    Args:
        values: of the steps that have one, in order; there may be more behind them.
        known: whether each step has.
        parts: see :func:`part_of_norm`.
    """
    if parts == 1 and all(known):
        return values[: len(known)]
    rest = iter(values)
    return [whole_norm(next(rest), parts) if one else None for one in known]


def by_step(
    losses: list[float], batches: Sequence[tuple[int, Any]], ends: Sequence[int]
) -> tuple[list[float], Sequence[float | None], Sequence[int | None]]:
    """Return the losses of steps, their learning rates and tokens.

    Args:
        losses: of micro-batches.
        batches: tokens and learning rate of each.
        ends: how many there were by the end of each step.
    """
    if [*ends] == [*range(1, len(losses) + 1)]:
        # A batch a step, as nearly always: without a loop of Python's.
        tokens, rates = zip(*batches, strict=True)
        if {*map(type, rates)} == {float} and 0 not in tokens:
            return losses, rates, tokens
    places = [*pairwise((0, *ends))]
    return (
        [sum(losses[a:b]) for a, b in places],
        [_known(batches[b - 1][1]) if b > a else None for a, b in places],
        [sum(count for count, _ in batches[a:b]) or None for a, b in places],
    )


def _known(rate: Any) -> float | None:
    """Return a rate; a tensor would have to be waited for, and the log row says it."""
    return float(rate) if isinstance(rate, (int, float)) else None


def measured(trainer: Any, batches: Sequence[int]) -> Sequence[Sequence[float | None]]:
    """Return the means over steps' micro-batches of what TRL keeps as numbers for its log.

    A column for each of :data:`~sftdiag.sources.every_step.MEASURED`; none of other trainers.

    Args:
        trainer: adds a number a micro-batch, and forgets them once its log row is written.
        batches: micro-batches of each step since then; the last of them is the newest.
    """
    kept = getattr(trainer, "_metrics", None)
    if not isinstance(kept, dict):
        return ()
    lists = kept.get("train", {})
    return [_means(lists.get(name, ()), batches) for name in MEASURED]


def _means(values: Sequence[float], batches: Sequence[int]) -> Sequence[float | None]:
    """Return the mean of each step, from the last on; None where the numbers do not reach."""
    if not values:
        return [None] * len(batches)
    means: list[float | None] = []
    end = len(values)
    for count in reversed(batches):
        start = end - count
        known = 0 <= start < end
        means.append(sum(values[start:end]) / count if known else None)
        end = start
    return means[::-1]


def agree(mean: float, loss: float) -> bool:
    """Return whether a log row's loss is this mean of its steps' losses; a NaN settles nothing."""
    if not isfinite(mean):
        return True
    return abs(mean - loss) <= ROUNDED + AGREES * max(abs(mean), abs(loss))
