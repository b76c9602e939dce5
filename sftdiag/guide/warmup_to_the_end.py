"""SFT118: the learning rate rises to the end of the run. Not in the guide's table."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.ranges import WARMUP_SHARE


def a_line_from_0(case: Case) -> Evidence:
    """Every rate on one line from 0 is a warm-up by itself: nothing else in a trainer makes it."""
    return Evidence(Weight.CONFIRMS, "line")


def warm_up_less(case: Case) -> FixText:
    """A tenth of the steps, in numbers where the plan's own are known."""
    old, steps = case.context.warmup_steps, case.context.max_steps
    if not old or not steps:
        return FixText("less")
    new = round(WARMUP_SHARE * steps)
    return FixText("less_than", {"old": old, "new": new}, {"SFTConfig.warmup_steps": (old, new)})


SYMPTOM = Symptom(
    "SFT118",
    "warmup-to-the-end",
    Severity.INFO,
    (CauseRule("schedule", (a_line_from_0,), (warm_up_less, fix("count_steps"))),),
)
