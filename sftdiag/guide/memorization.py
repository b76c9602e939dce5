"""SFT202: the train loss is about 0, nothing checks it. The guide: beyond 3 epochs runs overfit."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide import empty_answers
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
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


def no_evaluation(case: Case) -> Evidence | None:
    """Where no evaluation was made, how to get one."""
    return None if case.signals.main_evaluations else Evidence(Weight.MISSING, "no_evaluation")


def evaluation_is_nothing(case: Case) -> Evidence | None:
    """An evaluation loss next to nothing, of rows that should be new."""
    if case.detection.variant != "evaluation_too":
        return None
    return Evidence(Weight.SUPPORTS, "evaluation_too", {"loss": case.number("eval_loss")})


def nothing_evaluated(case: Case) -> Evidence | None:
    """Without an evaluation no training row can be among its rows."""
    if case.signals.evaluations_seen:
        return None
    return Evidence(Weight.RULES_OUT, "no_evaluation")


def hold_rows_out(case: Case) -> FixText | None:
    """Evaluate, where the run does not."""
    return None if case.signals.main_evaluations else FixText("add_evaluation")


SYMPTOM = Symptom(
    "SFT202",
    "memorization",
    Severity.WARNING,
    (
        *empty_answers.CAUSES,
        CauseRule(
            "too-many-epochs",
            (passes_over_the_rows, certainty, no_evaluation),
            (fewer_epochs, hold_rows_out),
        ),
        CauseRule(
            "eval-leak",
            (check("train-rows-in-eval"), evaluation_is_nothing, nothing_evaluated),
            (fix("other_evaluation_rows"),),
        ),
        CauseRule(
            "low-diversity-data",
            (check("duplicate-rows"), check("low-diversity-answers")),
            (hold_rows_out, fix("add_rows")),
        ),
    ),
)
