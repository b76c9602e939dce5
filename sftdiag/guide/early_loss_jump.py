"""SFT109, guide curve 3 as it mostly looks with Adam: a jump at the start, then a quiet descent."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight
from sftdiag.guide.learning_rate import (
    lower_learning_rate,
    rate_against_ranges,
    rates_up_to,
    warm_up,
)

CLIMBED = 2.0
"""Times the first rate from which it has climbed: a rate that only decays or stays does not."""


def rate_climbed(case: Case) -> Evidence | None:
    """The rate over the steps in which the loss rose: a warm-up that goes too high."""
    to = case.number("jump_step") or case.detection.step
    rates = rates_up_to(case, int(to))
    if len(rates) < 2 or max(rates) < CLIMBED * rates[0]:
        return None
    return Evidence(Weight.SUPPORTS, "rate_climbed", {"low": rates[0], "high": max(rates)})


SYMPTOM = Symptom(
    "SFT109",
    "early-loss-jump",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (rate_climbed, rate_against_ranges),
            (lower_learning_rate, warm_up),
        ),
        GRADIENT_NOT_DIVIDED,
    ),
)
