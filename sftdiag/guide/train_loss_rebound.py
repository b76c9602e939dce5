"""SFT102, guide row 2: the training loss falls, then rises again."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix, missing
from sftdiag.guide.learning_rate import (
    evaluation_rises_too,
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
)

MANY_EPOCHS = 3.0
"""The guide: beyond 3 epochs a run nearly always overfits."""


def passes_over_the_rows(case: Case) -> Evidence | None:
    """How often every row was seen."""
    epoch = case.number("epoch")
    if epoch is None:
        return None
    weight = Weight.SUPPORTS if epoch > MANY_EPOCHS else Weight.AGAINST
    return Evidence(weight, "passes", {"epoch": epoch})


SYMPTOM = Symptom(
    "SFT102",
    "train-loss-rebound",
    Severity.WARNING,
    (
        CauseRule(
            "learning-rate-too-high",
            (rate_against_ranges, rate_near_its_peak, evaluation_rises_too),
            (lower_learning_rate,),
        ),
        CauseRule("too-many-epochs", (passes_over_the_rows,), (fix("fewer_epochs"),)),
        CauseRule("data-order", (missing("order_unseen"),), (fix("shuffle"),)),
    ),
)
