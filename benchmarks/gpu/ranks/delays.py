"""How soon a run that is broken must be stopped: within two rows of the log."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

BROKEN = ("nan-all", "nan-one", "nan-gradient", "blow-up")
"""The cases of a fault; a number behind them says how often they log."""

EVERY = (1, 10, 50)
"""Steps between their rows."""

ROWS = 2
"""Rows, that in which it breaks among them, after which it must be stopped."""

BLOWN_UP = 8.4
"""Loss at which a run has blown up: twice the blind guess of the example's model, whose vocabulary
has 63 tokens. It begins there."""


def breaks_at(every: int) -> int:
    """Return the steps that are made before a fault: ten rows or more, and half of the next."""
    return max(20, 10 * every) + every // 2


def every(case: str) -> int:
    """Return the steps between the rows of a case of a fault; 0 for other cases."""
    name, _, number = case.rpartition("-")
    return int(number) if name in BROKEN else 0


def late(case: str, run: Mapping[str, Any]) -> str | None:
    """Return how late a run was stopped; None where it was in time, or breaks nothing."""
    if not every(case):
        return None
    rows = [(step, loss) for step, loss, _ in run["log"]]
    for number, (step, loss) in enumerate(rows):
        if case.startswith("blow-up"):
            broken = not isfinite(loss) or loss == 0.0 or loss > BLOWN_UP
        else:
            broken = step > breaks_at(every(case))
        if broken:
            after = len(rows) - number
            return f"stopped {after} rows after it broke" if after > ROWS else None
    return "it did not break"
