"""A step in the making, and whether the steps are what the trainer logs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod, sqrt
from typing import Any

from sftdiag.sources.every_step import MEASURED, Step

AGREES = 1e-3
"""Share by which a log row's loss may differ from the mean of its steps: losses in bfloat16 are
added up in float32 here and there, in another order."""

ROUNDED = 1e-4
"""Likewise in nats: some trainers round what they log to four decimals."""


class OpenStep:
    """A step in the making."""

    __slots__ = (
        *("bound", "epoch", "level", "losses", "measured", "normed", "parts", "rate", "seconds"),
        *("skipped", "step", "tokens"),
    )

    def __init__(self) -> None:
        self.step, self.losses, self.tokens = 0, 0, 0
        self.normed = False
        self.parts = 1
        self.measured: list[float | None] = []
        self.rate: float | None = None
        self.epoch: float | None = None
        self.seconds: float | None = None
        self.skipped: float | None = None
        self.level: float | None = None
        self.bound: float | None = None

    def norm(self, mean: float) -> float:
        """Return the gradient norm, of the mean over the ranks of what each kept of it."""
        return sqrt(mean * self.parts) if self.parts > 1 else mean


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


def measured(trainer: Any, batches: int) -> list[float | None]:
    """Return the means over a step's micro-batches of what TRL keeps as numbers for its log."""
    kept = getattr(trainer, "_metrics", None)
    if not isinstance(kept, dict):
        return [None] * len(MEASURED)
    lists = kept.get("train", {})
    last = (lists.get(name, ())[-batches:] if batches else () for name in MEASURED)
    return [sum(values) / batches if len(values) == batches > 0 else None for values in last]


def agree(steps: Sequence[Step], loss: float) -> bool:
    """Return whether a log row's loss is the mean of its steps; a NaN in it settles nothing."""
    losses = [step.loss for step in steps]
    if not all(map(isfinite, losses)):
        return True
    mean = sum(losses) / len(losses)
    return abs(mean - loss) <= ROUNDED + AGREES * max(abs(mean), abs(loss))
