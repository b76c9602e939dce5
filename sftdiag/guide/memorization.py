"""SFT202: the train loss is about 0, nothing checks it. The guide: beyond 3 epochs runs overfit."""

from __future__ import annotations

from sftdiag.detectors._eval_rise import MIN_RISE
from sftdiag.findings import Severity
from sftdiag.guide import empty_answers
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.epochs import fewer_epochs, passes_over_the_rows, whole_epochs
from sftdiag.guide.from_checks import HELD_UP, check


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


def answers_cut_short(case: Case) -> Evidence | None:
    """Answers of which the maximum length leaves the beginning, which may be certain beforehand."""
    seen = check("answers-truncated", clean=None)(case)
    found = seen.check.evidence if seen is not None and seen.check is not None else {}
    lost = found.get("lost")
    return seen if isinstance(lost, float) and lost >= HELD_UP else None


def nothing_evaluated(case: Case) -> Evidence | None:
    """Without an evaluation no training row can be among its rows."""
    if case.signals.evaluations_seen:
        return None
    return Evidence(Weight.RULES_OUT, "no_evaluation")


def as_many_as_the_evaluation_asks_for(case: Case) -> FixText | None:
    """To the first evaluation that was as good as the best, within what seeds differ by.

    Where no evaluation rests above the train loss, the guide's most for so many rows.
    """
    points = case.signals.main_evaluations
    if case.detection.variant != "gap" or not points:
        return fewer_epochs(case)
    good = (1.0 + MIN_RISE) * min(point.loss for point in points)
    first = next(point for point in points if point.loss <= good)
    planned = case.context.num_train_epochs
    values = {"loss": first.loss, "step": first.step, "epoch": first.epoch}
    if first.epoch is None or planned is None or (most := whole_epochs(first.epoch)) >= planned:
        return FixText("stop_where_it_rests", values)
    changes = {"SFTConfig.num_train_epochs": (planned, most)}
    return FixText("epochs_until_it_rests", {**values, "planned": planned, "most": most}, changes)


def hold_rows_out(case: Case) -> FixText | None:
    """Evaluate, where the run does not."""
    if case.signals.main_evaluations:
        return None
    return FixText("fill_evaluation" if case.context.eval_samples == 0 else "add_evaluation")


SYMPTOM = Symptom(
    "SFT202",
    "memorization",
    Severity.WARNING,
    (
        *empty_answers.CAUSES,
        CauseRule(
            "sequence-length",
            (answers_cut_short,),
            (fix("raise_max_length"),),
            only=("evaluation_too",),
            needs_evidence=True,
        ),
        CauseRule(
            "too-many-epochs",
            (passes_over_the_rows, certainty, no_evaluation),
            (as_many_as_the_evaluation_asks_for, hold_rows_out),
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
