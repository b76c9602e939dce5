"""How soon a run that is broken must be stopped: within two rows of the log."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from sftdiag.context import RunContext
from sftdiag.findings import Severity
from sftdiag.monitor import Monitor

BROKEN = ("nan-all", "nan-one", "nan-gradient", "blow-up")
"""The cases of a fault; a number behind them says how often they log."""

STEPS = 24
"""Optimizer steps of a case, unless it says otherwise."""

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


def rows_since(case: str, run: Mapping[str, Any], until: int) -> int:
    """Return the rows from that in which it broke up to a step; 0 where it did not break."""
    for number, (step, loss, _) in enumerate(run["log"]):
        broken = step > breaks_at(every(case))
        if case.startswith("blow-up"):
            broken = not isfinite(loss) or loss == 0.0 or loss > BLOWN_UP
        if broken:
            return sum(row[0] <= until for row in run["log"][number:])
    return 0


def late(case: str, run: Mapping[str, Any]) -> str | None:
    """Return how late a run was stopped; None where it was in time, or breaks nothing."""
    if not every(case):
        return None
    rows = rows_since(case, run, run["step"])
    if not rows:
        return "it did not break"
    return f"stopped {rows} rows after it broke" if rows > ROWS else None


def today(run: Mapping[str, Any], result: Mapping[str, Any]) -> int | None:
    """Return the step at which the code as it is finds an error in a run's rows."""
    monitor = Monitor(
        context=RunContext(
            world_size=result.get("world", 2),
            precision="bf16" if result["device"] == "cuda" else None,
            deepspeed=result["backend"].startswith("zero"),
        )
    )
    for step, loss, grad_norm in run["log"]:
        found = monitor.feed_entry({"step": step, "loss": loss, "grad_norm": grad_norm})
        if any(finding.severity is Severity.ERROR for finding in found):
            return int(step)
    return None
