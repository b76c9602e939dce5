"""Label smoothing as the cause of a loss that stays high."""

from __future__ import annotations

from math import log

from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Weight
from sftdiag.guide.from_checks import observed

USUAL_TEXT = 4.0
"""Nats that text costs a pretrained model at the most: what is above is something else's."""


def least_loss(smoothing: float, vocabulary: int) -> float:
    """Return the loss, in nats, of a model that gives each token just what its label does.

    Targets that are spread over the vocabulary have an entropy, and no cross entropy is below it.

    Examples:
        >>> round(least_loss(0.1, 49_152), 2), round(least_loss(0.9, 49_152), 2)
        (1.41, 10.05)
    """
    others = smoothing / vocabulary
    right = 1.0 - smoothing + others
    return -right * log(right) - (vocabulary - 1) * others * log(others)


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
