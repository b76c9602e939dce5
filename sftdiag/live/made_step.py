"""A step that is made, and whether the steps are what the trainer logs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod, sqrt
from typing import Any

from sftdiag.sources.every_step import MEASURED

AGREES = 1e-3
"""Share by which a log row's loss may differ from the mean of its steps: losses in bfloat16 are
added up in float32 here and there, in another order."""

ROUNDED = 1e-4
"""Likewise in nats: some trainers round what they log to four decimals."""


Skip = tuple[float | None, float | None, float | None]


Made = tuple[int, int, bool, int, Any, float | None, float | None, float, int, Skip]
"""A step that is made, as far as it is known before its losses are brought over:

- steps done with it;
- micro-batches, whose losses stand in the ring, one after another;
- whether its gradient norm stands there after them;
- in how many parts the ranks have that: see :func:`part_of_norm`;
- the learning rate that it was made with, where it is a float;
- epochs done with it;
- when the step before it ended, None where something else came between, and when it did;
- tokens in its batches;
- why it was kept out of the weights, the usual loss then and the bound above it.
"""

NOT_SKIPPED: Skip = (None, None, None)


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


def measured(trainer: Any, batches: Sequence[int]) -> list[list[float | None]]:
    """Return the means over steps' micro-batches of what TRL keeps as numbers for its log.

    Args:
        trainer: adds a number a micro-batch, and forgets them once its log row is written.
        batches: micro-batches of each step since then; the last of them is the newest.
    """
    kept = getattr(trainer, "_metrics", None)
    if not isinstance(kept, dict):
        return [[None] * len(MEASURED)] * len(batches)
    lists = kept.get("train", {})
    columns: list[Sequence[float | None]] = [_means(lists.get(n, ()), batches) for n in MEASURED]
    return [list(row) for row in zip(*columns, strict=True)]


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
    if not all(map(isfinite, losses)):
        return True
    mean = sum(losses) / len(losses)
    return abs(mean - loss) <= ROUNDED + AGREES * max(abs(mean), abs(loss))
