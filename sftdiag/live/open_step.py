"""A step in the making, and whether the steps are what the trainer logs."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
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
        *("bound", "epoch", "level", "losses", "measured", "normed", "rate", "seconds", "skipped"),
        *("step", "tokens"),
    )

    def __init__(self) -> None:
        self.step, self.losses, self.tokens = 0, 0, 0
        self.normed = False
        self.measured: list[float | None] = []
        self.rate: float | None = None
        self.epoch: float | None = None
        self.seconds: float | None = None
        self.skipped: float | None = None
        self.level: float | None = None
        self.bound: float | None = None


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
