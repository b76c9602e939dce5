"""SFT104, guide curve 3: the loss blows up and does not come back."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import CauseRule, Symptom, fix, missing
from sftdiag.guide.learning_rate import (
    evaluation_rises_too,
    keep_clipping,
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
)
from sftdiag.guide.resume import (
    ADAPTER_STATE,
    OPTIMIZER_STATE,
    ROWS_AT_RESUME,
    steps_did_not_do_it,
)

SYMPTOM = Symptom(
    "SFT104",
    "loss-divergence",
    Severity.ERROR,
    (
        CauseRule(
            "learning-rate-too-high",
            (rate_against_ranges, rate_near_its_peak, evaluation_rises_too, steps_did_not_do_it),
            (lower_learning_rate, keep_clipping, fix("go_back")),
        ),
        CauseRule("poor-data", (missing("rows_unseen"),), (fix("look_at_rows"),)),
        GRADIENT_NOT_DIVIDED,
        ADAPTER_STATE,
        OPTIMIZER_STATE,
        ROWS_AT_RESUME,
    ),
)
