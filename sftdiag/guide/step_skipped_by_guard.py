"""SFT113: a guard kept steps out of the weights. Not in the guide's table; its causes are."""

from __future__ import annotations

from sftdiag.findings import Severity
from sftdiag.guide.base import Case, CauseRule, Evidence, Symptom, Weight, fix, missing
from sftdiag.guide.learning_rate import lower_learning_rate, rate_against_ranges
from sftdiag.guide.lost_numbers import HARDWARE, number_format

FEW = 3
"""Steps so far from which a rate or a number format would be worth a thought."""


def apart(case: Case) -> Evidence | None:
    """Single steps amid others that were made: the batch, not the weights."""
    skipped = case.number("skipped") or 0
    first, last = case.number("first_step") or 0, case.number("last_step") or 0
    if skipped >= FEW and last - first + 1 <= skipped:
        return None
    return Evidence(Weight.SUPPORTS, "apart", {"skipped": int(skipped)})


def together(case: Case) -> Evidence | None:
    """The same against what lies in the weights."""
    piece = apart(case)
    return None if piece is None else Evidence(Weight.AGAINST, "apart", piece.values)


SYMPTOM = Symptom(
    "SFT113",
    "step-skipped-by-guard",
    Severity.WARNING,
    (
        CauseRule("poor-data", (apart, missing("see_rows")), (fix("look_at_rows"),)),
        CauseRule(
            "learning-rate-too-high",
            (together, rate_against_ranges),
            (lower_learning_rate,),
        ),
        CauseRule("quantization-or-dtype", (number_format,), (fix("use_bf16"),)),
        HARDWARE,
    ),
)
