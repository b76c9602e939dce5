"""Label smoothing as the cause of a loss that stays high."""

from __future__ import annotations

from sftdiag.detectors._levels import least_loss
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight
from sftdiag.guide.from_checks import observed

USUAL_TEXT = 4.0
"""Nats that text costs a pretrained model at the most: what is above is something else's."""


def held_up(case: Case) -> Evidence | None:
    """The level against the loss that the smoothing alone costs."""
    share, vocabulary = case.context.label_smoothing, case.context.vocab_size
    level = case.number("loss_level")
    if not share or not vocabulary or vocabulary < 2 or not 0.0 < share < 1.0:
        return None
    least = least_loss(share, vocabulary)
    values = {"smoothing": share, "least": least, "loss": level}
    proof = least > USUAL_TEXT and level is not None and level - least <= USUAL_TEXT
    return Evidence(Weight.CONFIRMS if proof else Weight.FITS, "smoothing", values)


def leave_out(case: Case) -> FixText:
    """Train on the labels alone: the loss is that of the text then."""
    change = {"SFTConfig.label_smoothing_factor": (case.context.label_smoothing, 0.0)}
    return FixText("without_smoothing", changes=change)


SMOOTHING = CauseRule(
    "regularization",
    (held_up, observed("regularization", "smoothing", Weight.SUPPORTS)),
    (leave_out,),
    needs_evidence=True,
)
