"""Whether a run is all warm-up: every rate on one line from 0 until the plan is nearly over."""

from __future__ import annotations

from sftdiag.ranges import LONG_WARMUP, TRIAL_STEPS
from sftdiag.signals.stream import Signals

ROWS = 4
"""Points that lie on one line through 0: a schedule has no noise, and three lie on many curves."""

OFF = 0.02
"""Share of the newest rate by which a rate may miss the line: consoles round to two digits. A step
more, since rows show the rate of their step or of the next."""


def is_late(step: int, steps: int | None) -> bool:
    """Return whether so little of the plan is left that a warm-up until then is far too long."""
    return steps is not None and steps >= TRIAL_STEPS and step >= LONG_WARMUP * steps


def is_a_line(signals: Signals, step: int, rate: float) -> bool:
    """Return whether all rates lie on the line from 0 to the newest one."""
    columns = signals.columns
    rates = columns.of("learning_rate")
    if len(rates) < ROWS:
        return False
    off = (OFF + 1.0 / step) * rate
    # A block's rate is that of its middle: rows come at equal distances.
    for first, last, mean in zip(columns.first_steps, columns.last_steps, rates, strict=True):
        if mean is None or abs(mean - rate * (first + last) / 2 / step) > off:
            return False
    return True


def ends_in_warmup(signals: Signals) -> bool:
    """Return whether the rate still rises on its line where the plan is all but over."""
    rate, step = signals.learning_rate, signals.last_train_step
    if rate is None or not signals.learning_rate_rises or not is_late(step, signals.max_steps):
        return False
    return is_a_line(signals, step, rate)
