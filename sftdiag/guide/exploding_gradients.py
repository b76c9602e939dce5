"""SFT117: the gradient norm leaves its level while the loss falls no more. Not in the table."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix, missing
from sftdiag.guide.checkpoints import GO_BACK, back_to
from sftdiag.guide.dialect import LOOP
from sftdiag.guide.learning_rate import (
    evaluation_rises_too,
    keep_clipping,
    lower_learning_rate,
    rate_against_ranges,
)


def loops_of_ones_own(case: Case) -> Evidence | None:
    """Where no trainer zeroes and unscales the gradient, it may be what was forgotten."""
    if case.context.framework != LOOP:
        return None
    return Evidence(Weight.MISSING, "own_loop")


def go_back(case: Case) -> FixText:
    """To the newest checkpoint from before the growth."""
    return back_to(case, case.detection.onset_step, GO_BACK)


SYMPTOM = Symptom(
    "SFT117",
    "exploding-gradients",
    Severity.WARNING,
    (
        CauseRule(
            "learning-rate-too-high",
            (rate_against_ranges, evaluation_rises_too),
            (lower_learning_rate, keep_clipping, go_back),
        ),
        CauseRule("poor-data", (missing("rows_unseen"),), (fix("look_at_rows"),)),
        CauseRule(
            "optimizer-settings", (loops_of_ones_own,), (fix("own_loop"),), needs_evidence=True
        ),
    ),
)
