"""SFT115: tokens per second have fallen for good. Not in the guide's table."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import CauseRule, Symptom, fix, missing

SYMPTOM = Symptom(
    "SFT115",
    "throughput-fall",
    Severity.WARNING,
    (
        CauseRule("machine", (missing("see_clocks"),), (fix("look_at_clocks"),)),
        CauseRule("input-pipeline", (missing("see_loader"),), (fix("more_workers"),)),
    ),
)
