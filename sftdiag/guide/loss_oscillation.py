"""SFT103, curve 3: the training loss swings."""

from __future__ import annotations

from math import ceil

from sftdiag.detectors._swings import IN_PHASE
from sftdiag.findings import Severity
from sftdiag.guide.accumulation import GRADIENT_NOT_DIVIDED
from sftdiag.guide.base import Case, CauseRule, Evidence, FixText, Symptom, Weight, fix
from sftdiag.guide.learning_rate import (
    lower_learning_rate,
    rate_against_ranges,
    rate_near_its_peak,
)
from sftdiag.guide.row_order import sorted_rows_found, swings_with_length
from sftdiag.ranges import EFFECTIVE_BATCH

SMALL_BATCH = 8
"""The guide's table of batch sizes: 4 to 8 rows an optimizer step are unstable."""


def gradient_in_phase(case: Case) -> Evidence | None:
    """The gradient norm against the loss: a step that is too large moves both."""
    correlation = case.number("correlation")
    if correlation is None:
        return Evidence(Weight.MISSING, "gradient_unknown")
    values = {"correlation": correlation}
    if correlation >= IN_PHASE:
        return Evidence(Weight.SUPPORTS, "gradient_in_phase", values)
    return Evidence(Weight.AGAINST, "gradient_apart", values)


def batch_is_small(case: Case) -> Evidence | None:
    """Few rows an optimizer step make a noisy loss at any learning rate."""
    size = case.context.effective_batch_size
    if size is None:
        return Evidence(Weight.MISSING, "batch_unknown")
    if size <= SMALL_BATCH:
        return Evidence(Weight.AGAINST, "small_batch", {"size": size})
    return Evidence(Weight.SUPPORTS, "large_batch", {"size": size})


def larger_batch(case: Case) -> FixText | None:
    """Accumulate to the guide's recommended batch; one that is there already stays."""
    context = case.context
    size, old = context.effective_batch_size, context.gradient_accumulation_steps
    if size is None or old is None:
        return FixText("larger_batch")
    least = EFFECTIVE_BATCH["full"][0].low
    if size >= least:
        return None
    new = ceil(least * old / size)
    values = {"size": size, "rows": size // old * new, "old": old, "new": new}
    changes = {"SFTConfig.gradient_accumulation_steps": (old, new)}
    return FixText("larger_batch_by", values, changes)


SYMPTOM = Symptom(
    "SFT103",
    "loss-oscillation",
    Severity.WARNING,
    (
        CauseRule(
            "learning-rate-too-high",
            (gradient_in_phase, rate_against_ranges, rate_near_its_peak, batch_is_small),
            (lower_learning_rate, larger_batch),
        ),
        CauseRule("data-order", (swings_with_length, sorted_rows_found), (fix("shuffle"),)),
        GRADIENT_NOT_DIVIDED,
    ),
)
