"""SFT107: the loss is exactly 0. Not in the guide's table; its cause, the wrong mask, is."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.from_checks import check
from sftdiag.guide.learning_rate import BEYOND_EVERY_RANGE, beyond_before


def no_gradient(case: Case) -> Evidence | None:
    """Loss 0 with gradient norm 0 is a sum over no token."""
    grad_norm = case.number("grad_norm")
    if grad_norm is None:
        return Evidence(Weight.MISSING, "gradient_unknown")
    values = {"tokens": case.number("num_tokens"), "records": case.number("records")}
    key = "no_gradient" if values["tokens"] is None else "no_gradient_tokens"
    return Evidence(Weight.CONFIRMS, key, values)


def from_the_start(case: Case) -> Evidence | None:
    """A mask is wrong from the first row; a NaN comes later."""
    before = case.number("loss_before")
    if before is not None:
        return Evidence(Weight.AGAINST, "fell_to_zero", {"loss": before})
    if case.number("grad_norm") is None:
        return None
    return Evidence(Weight.SUPPORTS, "never_above_zero")


def hidden_nan(case: Case) -> Evidence | None:
    """Without grad_norm, a loss that drops to 0 in one jump is how the trainer logs NaN."""
    before, grad_norm = case.number("loss_before"), case.number("grad_norm")
    if grad_norm is not None:
        return Evidence(Weight.RULES_OUT, "gradient_finite", {"grad_norm": grad_norm})
    if before is None:
        # A NaN from the very first step reads 0 from the first record, too.
        return Evidence(Weight.MISSING, "gradient_unknown")
    return Evidence(Weight.SUPPORTS, "fell_to_zero", {"loss": before})


def marks(case: Case) -> FixText | None:
    """Where the labels come from, unless the template is known to have no part in it."""
    return None if case.context.assistant_only_loss is False else FixText("marks_unseen")


def lost_by_the_rate(case: Case) -> Evidence | None:
    """A rate that breaks any model: the trainer logs the NaN as 0, and no grad_norm denies it."""
    if case.number("grad_norm") is not None:
        return None
    return beyond_before(case)


SYMPTOM = Symptom(
    "SFT107",
    "zero-loss",
    Severity.ERROR,
    (
        CauseRule(
            "label-mask",
            (
                no_gradient,
                from_the_start,
                check("no-supervised-token", Weight.CONFIRMS),
                check("answers-truncated", clean=None),
            ),
            (fix("check_mask"), marks, fix("length")),
        ),
        CauseRule(
            "chat-template",
            (check("generation-markers"), check("template-mismatch", clean=None)),
            (fix("check_template"),),
        ),
        BEYOND_EVERY_RANGE.replace(looks=(lost_by_the_rate,)),
        CauseRule("quantization-or-dtype", (hidden_nan,), (fix("use_bf16"),)),
    ),
)
