"""SFT116: the learning rate leaves its schedule upwards. Not in the guide's table."""

from __future__ import annotations

from sftdiag.detectors.learning_rate_jump import PLANNED
from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.checkpoints import back_to


def above_what_was_asked(case: Case) -> Evidence:
    """The log's rate against the settings' own peak is proof by itself."""
    numbers = {"rate": case.number("rate_after"), "asked": case.number("asked")}
    return Evidence(Weight.CONFIRMS, "above_asked", numbers)


def never_above(case: Case) -> Evidence | None:
    """A schedule of transformers' is never above its peak: something beside it set the rate."""
    scheduler = case.context.lr_scheduler_type
    if scheduler is None or scheduler.split(",")[0] not in PLANNED:
        return None
    return Evidence(Weight.SUPPORTS, "never_above", {"scheduler": scheduler})


def own_schedule(case: Case) -> Evidence | None:
    """A schedule of the user's own makes the rate."""
    scheduler = case.context.lr_scheduler_type
    if scheduler is None or scheduler.split(",")[0] in PLANNED:
        return None
    return Evidence(Weight.SUPPORTS, "own", {"scheduler": scheduler})


def go_back(case: Case) -> FixText:
    """To weights from before the jump."""
    keys = ("go_back", "go_back_none", "go_back_unseen")
    return back_to(case, case.detection.onset_step, keys)


SYMPTOM = Symptom(
    "SFT116",
    "learning-rate-jump",
    Severity.ERROR,
    (
        CauseRule(
            "schedule",
            (above_what_was_asked, never_above, own_schedule),
            (fix("mend"), go_back, fix("on_purpose")),
        ),
    ),
)
