"""SFT202: the train loss is about 0, nothing checks it. The guide: beyond 3 epochs runs overfit."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix, missing
from sftdiag.guide.epochs import fewer_epochs, passes_over_the_rows
from sftdiag.guide.from_checks import check


def certainty(case: Case) -> Evidence | None:
    """Token accuracy of the last block: rows known by heart have no wrong token."""
    accuracy = next(
        (
            block.mean_token_accuracy
            for block in reversed(case.signals.blocks)
            if block.mean_token_accuracy is not None
        ),
        None,
    )
    return (
        None if accuracy is None else Evidence(Weight.SUPPORTS, "accuracy", {"accuracy": accuracy})
    )


SYMPTOM = Symptom(
    "SFT202",
    "memorization",
    Severity.WARNING,
    (
        CauseRule(
            "too-many-epochs",
            (passes_over_the_rows, certainty, missing("no_evaluation")),
            (fewer_epochs, fix("add_evaluation")),
        ),
        CauseRule(
            "low-diversity-data",
            (check("duplicate-rows"), check("low-diversity-answers")),
            (fix("add_rows"),),
        ),
    ),
)
