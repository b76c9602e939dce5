"""A run that blew up in the steps of its first row: no row before it says where it began."""

from __future__ import annotations

from math import isfinite

from sftdiag.records import TRAIN, LogRecord
from sftdiag.signals.leap import AVERAGED, blew_up_within
from sftdiag.signals.stream import Signals

FELL = 0.5
"""Share of the first row below which the second lies: a loss in a unit of its own stays there."""


def is_dead(signals: Signals, record: LogRecord) -> bool:
    """Return whether the second row shows it: far below the first, and without a gradient."""
    if signals.train_rows != 2 or record.kind != TRAIN:
        return False
    first, before = signals.first_loss, signals.previous_train_step
    grad_norm = record.get("grad_norm")
    if first is None or before is None:
        return False
    if grad_norm is None or (isfinite(grad_norm) and grad_norm > 0.0):
        return False
    if signals.lost or record.step - before < AVERAGED:
        return False
    high = blew_up_within(first, before, signals.context)
    return high and record.metrics["loss"] < FELL * first
