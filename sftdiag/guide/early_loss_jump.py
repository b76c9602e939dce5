"""SFT109, guide curve 3 as it mostly looks with Adam: a jump at the start, then a quiet descent."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import CauseRule, Symptom
from sftdiag.guide.learning_rate import lower_learning_rate, rate_against_ranges, warm_up

SYMPTOM = Symptom(
    "SFT109",
    "early-loss-jump",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (rate_against_ranges,),
            (lower_learning_rate, warm_up),
        ),
        GRADIENT_NOT_DIVIDED,
    ),
)
