"""A step that is made, and whether the steps are what the trainer logs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, repeat, zip_longest
from math import isfinite, prod, sqrt
from operator import methodcaller
from typing import Any

from sftdiag.sources.every_step import MEASURED, PLACES, packed_columns

AGREES = 1e-3
"""Share by which a log row's loss may differ from the mean of its steps: losses in bfloat16 are
added up in float32 here and there, in another order."""

ROUNDED = 1e-4
"""Likewise in nats: some trainers round what they log to four decimals."""


Skip = tuple[float | None, float | None, float | None]


NOT_SKIPPED: Skip = (None, None, None)
"""Why a step was kept out of the weights, the usual loss then and the bound above it."""


class Taken:
    """Steps that were brought over.

    Args:
        columns: as in the rows of :mod:`sftdiag.sources.every_step`; None for one of which nothing
            is known, as for those behind the last.
    """

    def __init__(self, *columns: Sequence[Any] | None) -> None:
        self.columns = columns
        self._rows: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self.columns)

    def column(self, name: str) -> Sequence[Any]:
        """Return a column; of one of which nothing is known, nothing."""
        place = PLACES[name]
        return (self.columns[place] if place < len(self.columns) else None) or ()

    @property
    def rows(self) -> bytes:
        """Them as rows of their file, made where they are first asked for."""
        if self._rows is None:
            self._rows = packed_columns(self.columns)
        return self._rows


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


_SIZE = methodcaller("numel")


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


def agree(losses: Sequence[float], loss: float) -> bool:
    """Return whether a log row's loss is the mean of its steps' losses; a NaN settles nothing."""
    mean = sum(losses) / len(losses)
    if not isfinite(mean):
        return True
    return abs(mean - loss) <= ROUNDED + AGREES * max(abs(mean), abs(loss))
