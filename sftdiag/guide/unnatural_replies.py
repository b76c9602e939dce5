"""SFT303, guide row 6: the replies sound unnatural."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix
from sftdiag.guide.from_checks import check

MOST = 0.5
"""Share of the reference answers that makes it the rule."""

SOME = 0.1
"""Share of the reference answers with template tokens from which they teach them."""


def references_marked(case: Case) -> Evidence | None:
    """Template tokens in the answers themselves are learned from them."""
    share = case.number("reference_marked")
    if share is None or not case.detection.variant.startswith("marked"):
        return None
    values = {"share": share}
    if share >= SOME:
        return Evidence(Weight.SUPPORTS, "answers_marked", values)
    return Evidence(Weight.AGAINST, "answers_clean", values)


def template_marks(case: Case) -> Evidence | None:
    """Template tokens that no answer holds come from the template or the mask."""
    share = case.number("reference_marked")
    if share is None or not case.detection.variant.startswith("marked"):
        return None
    values = {"share": share}
    if share >= SOME:
        return Evidence(Weight.AGAINST, "answers_marked", values)
    return Evidence(Weight.SUPPORTS, "answers_clean", values)


def end_of_turn(case: Case) -> Evidence | None:
    """Whether an end token reaches the loss, and what the model makes of it."""
    ends = case.number("reference_ends")
    if case.detection.variant not in ("does_not_end", "end_not_given"):
        return None
    if ends is None:
        return Evidence(Weight.SUPPORTS, "end_unknown")
    if ends < MOST:
        return Evidence(Weight.CONFIRMS, "end_not_trained", {"share": ends})
    return Evidence(Weight.SUPPORTS, "end_not_learned", {"share": ends})


def ends_by_itself(case: Case) -> Evidence | None:
    """A template fault shows in ends and marks, not in the length of replies that end."""
    ended = case.number("ended")
    if ended is None or not case.detection.variant.startswith("too_"):
        return None
    return Evidence(Weight.AGAINST, "ends", {"ended": ended})


def odd_answers(case: Case) -> Evidence | None:
    """Replies of an odd length that end by themselves were learned that way."""
    factor = case.number("length_factor")
    if factor is None or not case.detection.variant.startswith("too_"):
        return None
    return Evidence(Weight.SUPPORTS, "learned_length", {"factor": factor})


SYMPTOM = Symptom(
    "SFT303",
    "unnatural-replies",
    Severity.WARNING,
    (
        CauseRule(
            "poor-data",
            (references_marked, odd_answers, check("low-diversity-answers", clean=None)),
            (fix("clean_data"),),
        ),
        CauseRule(
            "chat-template",
            (
                end_of_turn,
                template_marks,
                ends_by_itself,
                check("end-of-turn-untrained"),
                check("template-mismatch", clean=None),
                check("double-bos", clean=None),
            ),
            (fix("check_template"), fix("train_the_end")),
        ),
    ),
    seen_by="model",
)
